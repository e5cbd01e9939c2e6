"""Does a discriminator that rejects views find the invalid ones, and does that help? (docs/article.md, row C4)

    python benchmarks/gate.py              # 9 rows of 400 steps, narrow encoder, batches of 128; finished rows are skipped
    python benchmarks/gate.py --quick      # to see that it runs (writes no record)
    python benchmarks/gate.py --tables     # the table of the records there are

SimCLR on `shapes` without a gate, with the discriminator, and with a random gate that rejects as many draws. Crops are as
small as SimCLR's on ImageNet (8 % of the area and more): with the recipe's own (40 % and more) hardly a view is invalid.
All rows take the same number of steps; what a gate costs is told by the seconds per epoch.

A view is invalid if less than 20 % of the object is left in it, by its mask, which no method sees. Of test pictures:
AUC        how well the score tells invalid from valid views, 0.5 is chance; "by crop": the area of the crop as the score
rejected   the share of first draws that the gate does not let through
invalid    the share of views that are, as first drawn, and after the gate
Writes one JSON file per row into benchmarks/records/gate/.
"""

from __future__ import annotations

import torch
from _rows import main, probes, small, table, train
from sklearn.metrics import roc_auc_score

from sslkit import augment, evaluation, seeds
from sslkit.augment import Policy
from sslkit.methods.gate import choose

SEEDS = (0, 1, 2)
POLICY = Policy(scale=(0.08, 1.0), hue=0.5, gray=0.5)
INVALID = 0.2
BUILD = {
    "no gate": ("simclr", {}),
    "discriminator": ("gated_simclr", {"gate": "discriminator"}),
    "random gate": ("gated_simclr", {"gate": "random"}),
}


def measure(what, seed, data, budget):
    name, options = BUILD[what]
    method = small(name, data, seed, policies=(POLICY, POLICY), **options)
    run, record = train(method, data, budget, seed)
    values = probes(evaluation.split_features(run.encoder, data), data)
    per_epoch = len(data.train) // run.config.batch_size
    values = {
        **values,
        **judged(run.method, data.test),
        "seconds per epoch": run.history.seconds / run.history.step * per_epoch,
    }
    return {"what": what, **record, "values": values}


def judged(method, test) -> dict[str, float]:
    """What the gate does to views of the test pictures."""
    tries, generator = getattr(method, "max_tries", 1), seeds.generator("gate")
    draws = [augment.draw(POLICY, len(test), test.shape, generator) for _ in range(tries)]
    left = torch.stack([object_left(test.masks, draw) for draw in draws])  # (T, B)
    invalid = left < INVALID
    values = {"invalid at first": invalid[0].float().mean().item()}
    if tries == 1:
        return values
    views = torch.stack([augment.apply(test.images, draw) for draw in draws])
    scores = method.score(views, generator)  # (T, B)
    values["invalid after"] = choose(invalid.float(), scores, method.threshold).mean().item()
    values["rejected"] = (scores[0] < method.threshold).float().mean().item()
    if 0 < invalid.sum() < invalid.numel():
        area = torch.stack([draw.box[:, 2] * draw.box[:, 3] for draw in draws])
        values["AUC"] = roc_auc_score(~invalid.flatten(), scores.flatten())
        values["AUC by crop"] = roc_auc_score(~invalid.flatten(), area.flatten())
    return values


def object_left(masks, draw):
    """Which share of the object each crop holds. (B, 1, H, W) -> (B,)."""
    area = (draw.box[:, 2] * draw.box[:, 3]).float()
    inside = augment.apply(masks, augment.of_masks(draw)).mean((1, 2, 3)) * area  # pixels of the picture
    return inside / (masks.float().sum((1, 2, 3)) / 255)


ROWS = {
    f"{what.replace(' ', '-')}-{seed}": lambda data, budget, what=what, seed=seed: measure(what, seed, data, budget)
    for seed in SEEDS
    for what in BUILD
}
DIGITS = {"RankMe": 1, "seconds per epoch": 1, "invalid at first": 3, "invalid after": 3, "rejected": 3}


def tables(records: list[dict]) -> str:
    """The records as Markdown."""
    return table(records, first="`shapes`", digits=DIGITS)


if __name__ == "__main__":
    main(
        "gate",
        __doc__.splitlines()[0],
        ROWS,
        tables,
        budget={"steps": 400},
        masks=True,
    )

"""Is a learnt similarity better than the cosine? SimCLR's wiring with a critic in its place (docs/article.md, row A4).

    python benchmarks/critic.py              # 18 rows of 200 steps, narrow encoder; finished rows are skipped
    python benchmarks/critic.py --quick      # to see that it runs (writes no record)
    python benchmarks/critic.py --tables     # the tables of the records there are

Encoder, head, views and steps are the same for all rows; only the loss differs. InfoNCE with the cosine stands between:
it differs from NT-Xent in its negatives only, and from the critics in the similarity only.
"partner found": how often a test picture's second view has the highest score among 256, by the row's own similarity.
Writes one JSON file per row into benchmarks/records/critic/.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from _rows import main, probes, small, table, train
from torch import nn

from sslkit import evaluation, seeds

SEEDS = (0, 1, 2)


class Cosine(nn.Module):
    """The similarity that has nothing to learn, with SimCLR's temperature."""

    def forward(self, a, b):
        return F.cosine_similarity(a, b, dim=-1) / 0.5


def with_cosine(data, seed):
    method = small("critic_nce", data, seed)
    method.loss.critic, method.spec = Cosine(), None
    return method


BUILD = {
    "cosine, NT-Xent": lambda data, seed: small("simclr", data, seed, temperature=0.5),
    "cosine, InfoNCE": with_cosine,
    "bilinear critic, InfoNCE": lambda data, seed: small("critic_nce", data, seed),
    "MLP critic, InfoNCE": lambda data, seed: small("critic_nce", data, seed, kind="mlp"),
    "MLP critic, same image or not": lambda data, seed: small("critic_pairs", data, seed),
}


def measure(what, seed, data, budget):
    method = BUILD[what](data, seed)
    run, record = train(method, data, budget, seed)
    values = probes(evaluation.split_features(run.encoder, data), data)
    return {"what": what, **record, "values": {**values, "partner found": partner_found(run.method, data.test)}}


def untrained(seed, data, budget):
    encoder = small("simclr", data, seed).encoder
    return {"what": "random encoder", "seed": seed, "values": probes(evaluation.split_features(encoder, data), data)}


@torch.no_grad()
def partner_found(method, test, size=256):
    similarity, found = getattr(method.loss, "critic", Cosine()), []
    for start in range(0, len(test) - len(test) % min(size, len(test)), size):
        images = test.images[start : start + size]
        batch = method.collect(images, torch.arange(len(images)), None, seeds.generator("partner", start))
        z1, z2 = (method.head(method.encoder(view)) for view in batch.views)
        scores = similarity(z1[:, None], z2[None])
        found.append((scores.argmax(1) == torch.arange(len(images))).float())
    return torch.cat(found).mean().item()


ROWS = {
    f"{what.lower().replace(',', '').replace(' ', '-')}-{seed}": lambda data, budget, what=what, seed=seed: (
        untrained(seed, data, budget) if what == "random encoder" else measure(what, seed, data, budget)
    )
    for seed in SEEDS
    for what in (*BUILD, "random encoder")
}


def tables(records: list[dict]) -> str:
    """The records as Markdown."""
    return table(records, first="`shapes`", digits={"RankMe": 1})


if __name__ == "__main__":
    main(
        "critic",
        __doc__.splitlines()[0],
        ROWS,
        tables,
        budget={"steps": 200},
    )

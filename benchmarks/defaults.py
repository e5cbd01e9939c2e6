"""Which settings suit a laptop's two minutes? One option of a method at a time, on validation pictures of `shapes`.

    python benchmarks/defaults.py              # about four minutes a row; finished rows are skipped
    python benchmarks/defaults.py --quick      # to see that it runs (writes no record)
    python benchmarks/defaults.py --tables     # the tables of the records there are

For the methods whose papers train for hundreds of epochs: what suits these may never get going in two hundred steps.
Encoder and minutes are those of the race. What has three seeds was decided by them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache, partial

import torch
from _rows import QUICK, frame, table, train
from race import SPEED

from sslkit import datasets, evaluation, race, recipes


@dataclass(frozen=True)
class Change:
    """Options of the method, settings of the training, and what a step costs beside SimCLR's, if the change alters it."""

    options: dict | Callable[[datasets.Images], dict] = field(default_factory=dict)
    training: dict = field(default_factory=dict)
    cost: float | None = None


def small_views(cost: float, **more) -> Change:
    """Four small views beside the two."""
    return Change(lambda data: recipes.multi_crop(data) | more, cost=cost)


CHANGES = {
    "byol": {
        "momentum 0.99": Change(),
        "momentum 0.9": Change({"momentum": 0.9}),
        "momentum 0.95": Change({"momentum": 0.95}),
        "momentum 0.996": Change({"momentum": 0.996}),
        "learning rate 0.01": Change(training={"lr": 1e-2}),
    },
    "dino": {
        "two views": Change(),
        "two views, momentum 0.9": Change({"momentum": 0.9}),
        "two views, learning rate 0.01": Change(training={"lr": 1e-2}),
        "four small views more": small_views(1.829),
        "four small views more, momentum 0.9": small_views(1.829, momentum=0.9),
        "four small views more, momentum 0.9, 256 outputs": small_views(1.829, momentum=0.9, n_prototypes=256),
    },
    "swav": {
        "two views": Change(),
        "two views, learning rate 0.01": Change(training={"lr": 1e-2}),
        "four small views more": small_views(1.572),
        "four small views more, 64 prototypes": small_views(1.572, n_prototypes=64),
        "four small views more, temperature 0.2": small_views(1.572, temperature=0.2),
    },
    "mae": {
        "learning rate 0.003": Change({"lr_scale": 1.0}),
        "learning rate 0.001": Change({"lr_scale": 1 / 3}),
        "learning rate 0.0003": Change({"lr_scale": 0.1}),
        "learning rate 0.003, half is hidden": Change({"lr_scale": 1.0, "mask_ratio": 0.5}),
        "learning rate 0.001, half is hidden": Change({"lr_scale": 1 / 3, "mask_ratio": 0.5}),
    },
    "bigan": {
        "learning rate 0.0003": Change({"lr_scale": 0.1}),
        "learning rate 0.0001": Change({"lr_scale": 0.03}),
        "learning rate 0.001": Change({"lr_scale": 0.3}),
    },
}


@cache
def pictures(quick: bool) -> datasets.Images:
    return datasets.shapes(QUICK["n"]) if quick else datasets.load("shapes")


def measure(name: str, what: str, seed: int, options) -> dict:
    torch.set_num_threads(1)
    data, change = pictures(options.quick), CHANGES[name][what]
    given = change.options(data) if callable(change.options) else change.options
    speed, minutes = SPEED["shapes"], race.MINUTES["shapes"]
    steps = round(60 * minutes * speed / change.cost) if change.cost else race.fair_steps(name, minutes, speed)
    budget = QUICK["budget"] if options.quick else {"steps": steps}
    method = recipes.method(name, data, seed=seed, **given)
    batch = min(256, len(data.train) // 2)
    run, record = train(method, data, budget, seed, **{"batch_size": batch} | change.training)
    h, val_h = (evaluation.features(run.encoder, part.images) for part in (data.train, data.val))
    pairs = (h, data.train.labels, val_h, data.val.labels)
    values = {"steps": run.history.step, "kNN": evaluation.knn(*pairs), "linear probe": evaluation.linear_probe(*pairs)}
    values["RankMe"] = evaluation.collapse(val_h)["rankme"]
    return record | {
        "what": f"{name}, {what}", "threads": 1, "values": {key: float(value) for key, value in values.items()}
    }  # fmt: skip


ROWS = {
    f"{name}-{what}-{seed}".replace(" ", "_"): partial(measure, name, what, seed)
    for seed in (0, 1, 2)
    for name, changes in CHANGES.items()
    for what in changes
}


def tables(records: list[dict]) -> str:
    digits = {"steps": ",.0f", "kNN": 3, "linear probe": 3, "RankMe": 1}
    return table(records, first="`shapes`, 2 min", digits=digits)


if __name__ == "__main__":
    quick = [row for row in ROWS if row.endswith("-0")][::4]
    frame("defaults", __doc__.splitlines()[0], ROWS, tables, minutes=4, quick=quick)

"""Which settings suit a laptop's two minutes? One option of a method at a time, on validation pictures of `shapes`.

    python benchmarks/defaults.py              # about four minutes a row; finished rows are skipped
    python benchmarks/defaults.py --quick      # to see that it runs (writes no record)
    python benchmarks/defaults.py --tables     # the tables of the records there are

For the methods whose papers train for hundreds of epochs: what suits these may never get going in two hundred steps.
Encoder and steps are those of the race. A change that alters what a step costs says whose steps it gets instead. Every
change has one seed; what is a default, and what came closest to it, has three.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache, partial

import torch
from _rows import QUICK, frame, table, train
from race import SPEED

from sslkit import augment, datasets, evaluation, race, recipes


@dataclass(frozen=True)
class Change:
    """Options of the method, settings of the training, and the method whose steps it gets, if not its own."""

    options: dict = field(default_factory=dict)
    training: dict = field(default_factory=dict)
    steps_of: str | None = None


def two_views(data: datasets.Images) -> tuple[augment.Policy, ...]:
    return (recipes.views_for(data),) * 2


CHANGES = {
    "byol": {
        "momentum 0.99": Change({"momentum": 0.99}),
        "momentum 0.9": Change({"momentum": 0.9}),
        "momentum 0.95": Change({"momentum": 0.95}),
        "momentum 0.996": Change({"momentum": 0.996}),
        "learning rate 0.01": Change(training={"lr": 1e-2}),
    },
    "dino": {
        "momentum 0.99": Change({"momentum": 0.99}),
        "momentum 0.9": Change({"momentum": 0.9}),
        "momentum 0.9, 256 outputs": Change({"momentum": 0.9, "n_prototypes": 256}),
        "momentum 0.9, no small views": Change({"momentum": 0.9, "policies": two_views}, steps_of="byol"),
        "no small views": Change({"policies": two_views}, steps_of="byol"),
        "no small views, learning rate 0.01": Change({"policies": two_views}, {"lr": 1e-2}, steps_of="byol"),
    },
    "swav": {
        "256 prototypes": Change({"n_prototypes": 256}),
        "64 prototypes": Change({"n_prototypes": 64}),
        "no small views": Change({"policies": two_views}, steps_of="simclr"),
        "no small views, learning rate 0.01": Change({"policies": two_views}, {"lr": 1e-2}, steps_of="simclr"),
        "temperature 0.2": Change({"temperature": 0.2}),
    },
    "mae": {
        "75 % hidden": Change({"mask_ratio": 0.75}),
        "50 % hidden": Change({"mask_ratio": 0.5}),
        "learning rate 0.001": Change(training={"lr": 1e-3}),
        "learning rate 0.01": Change(training={"lr": 1e-2}),
    },
    "bigan": {
        "lr 0.1": Change({"lr": 0.1}),
        "lr 0.03": Change({"lr": 0.03}),
        "lr 0.3": Change({"lr": 0.3}),
    },
}


@cache
def pictures(quick: bool) -> datasets.Images:
    return datasets.shapes(QUICK["n"]) if quick else datasets.load("shapes")


def measure(name: str, what: str, seed: int, options) -> dict:
    torch.set_num_threads(1)
    data, change = pictures(options.quick), CHANGES[name][what]
    given = {key: value(data) if callable(value) else value for key, value in change.options.items()}
    steps = race.fair_steps(change.steps_of or name, race.MINUTES["shapes"], SPEED["shapes"])
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
    f"{name}-{what}-{seed}".replace(" ", "_").replace("%", "percent"): partial(measure, name, what, seed)
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

"""The second step: learn from labels, on top of a pretrained encoder or, for the ceiling, from nothing."""

from __future__ import annotations

import copy
from dataclasses import replace
from numbers import Integral

import torch

from sslkit import recipes, seeds
from sslkit.augment import Policy
from sslkit.datasets import Images
from sslkit.errors import unknown
from sslkit.evaluation import Score, accuracy, r2
from sslkit.methods import Supervised
from sslkit.nets import Encoder
from sslkit.train import TrainConfig, check_budget, fit, steps_for


def fine_tune(
    encoder: Encoder,
    data: Images,
    *,
    target: str = "labels",
    per_class: int | None = None,
    steps: int | None = None,
    minutes: float | None = None,
    encoder_lr: float = 0.1,
    policy: Policy | None = None,
    seed: int = 0,
    **options,
) -> tuple[Supervised, Score]:
    """Train a copy of `encoder` and a linear layer on it with labels. The encoder itself is not changed.

    target: "labels", or the name of a factor: whole numbers are classified (the score is accuracy), real numbers are
    regressed (the score is R^2). per_class: use so many labelled pictures of each class. encoder_lr: the factor on the
    encoder's learning rate; 0.1 is careful with what it knows, 1 is right for an untrained network, 0 freezes it.
    policy: how the pictures are varied while it learns. It must leave the target as it is: by default crops and flips as
    in pretraining for labels, and nothing for factors, which a crop or a flip may change.
    options: fields of `TrainConfig`. Returns the trained model (`model.predict(images)`) and its score on the test split.
    Raises ValueError for an unknown target, missing labels or test pictures, two budgets, and numbers out of range, and
    KeyboardInterrupt if it is stopped.
    """
    check_budget(minutes, steps)
    if not hasattr(encoder, "dim"):
        raise TypeError(f"encoder is a {type(encoder).__name__}; give an encoder, such as run.encoder.")
    if not isinstance(data, Images):
        raise TypeError(f"data is a {type(data).__name__}; give Images.")
    if "marks" in options:
        raise ValueError("marks is no option of fine_tune: looks at the representation belong to pretraining.")
    if per_class is not None and not (isinstance(per_class, Integral) and per_class >= 1):
        raise ValueError(f"per_class is {per_class!r}; give a whole number of at least 1, or None for all.")
    if not encoder_lr >= 0:
        raise ValueError(f"encoder_lr is {encoder_lr!r}; it is a factor on the learning rate, at least 0.")
    if not (data.split == 2).any():
        raise ValueError(f"{data.name!r} has no test pictures, on which the score is measured.")
    y = _target(data, target)
    if per_class is not None and y.is_floating_point():
        raise ValueError(f"per_class is {per_class}, but {target!r} is a number and has no classes: leave it out.")
    if not y.is_floating_point() and y.min() < 0:
        raise ValueError(f"{target} has classes down to {int(y.min())}; they are numbered from 0.")
    known = y.isfinite().all(1) if y.is_floating_point() else torch.ones(len(y), dtype=torch.bool)
    keep = known & ((data.split != 0) | _chosen(y, data, per_class, seed))
    data, y = data[keep], y[keep]
    train_y, test_y = y[data.split == 0], y[data.split == 2]
    for part, few in {"training": len(train_y) < 2, "test": len(test_y) < 1}.items():
        if few:
            raise ValueError(
                f"{target!r} is known of too few {part} pictures of {data.name!r}; two are needed to learn, one to test."
            )
    if y.is_floating_point():  # regress standardised numbers, so that one learning rate fits all targets
        mean, scale = train_y.mean(0), train_y.std(0).clamp_min(1e-6)
        train_y = (train_y - mean) / scale
    with seeds.fixed(seed):
        outputs = y.shape[1] if y.is_floating_point() else int(y.max()) + 1
        if policy is None:
            policy = recipes.views_for(data) if target == "labels" else Policy(**recipes.whole(data))
            policy = replace(policy, jitter=0.0, gray=0.0)
        model = Supervised(copy.deepcopy(encoder), train_y, outputs=outputs, policies=(policy,), encoder_lr=encoder_lr)
    size = options.pop("batch_size", 256)
    size = size if size < 2 else max(2, min(size, len(train_y)))  # TrainConfig refuses what is below 2
    config = TrainConfig(steps=1 if steps is None else steps, batch_size=size, seed=seed, marks=0, **options)
    if steps is None:
        config = steps_for(0.5 if minutes is None else minutes, model, data, config)
    if fit(model, data, config).step < config.steps:  # Ctrl-C ends a training in good order, but this is no result
        raise KeyboardInterrupt
    model.to("cpu", memory_format=torch.contiguous_format).eval()
    if y.is_floating_point():
        with torch.no_grad():  # from here on it tells the numbers themselves
            model.head.weight.mul_(scale[:, None])
            model.head.bias.mul_(scale).add_(mean)
        return model, r2(test_y - model.predict(data.test.images), test_y)
    return model, accuracy(model.predict(data.test.images).argmax(1) == test_y)


def supervised_ceiling(encoder: Encoder, data: Images, *, minutes: float = 0.4, seed: int = 0) -> Score:
    """What the same network reaches with all labels, from scratch, in less than half a minute."""
    return fine_tune(encoder, data, minutes=minutes, encoder_lr=1.0, seed=seed)[1]


def _target(data: Images, target: str) -> torch.Tensor:
    if target == "labels":
        if data.labels is None:
            raise ValueError(
                f"{data.name!r} has no labels to learn from; fine-tuning needs them, pretraining does not."
            )
        return data.labels
    if target not in data.factors:
        raise unknown("target", target, ["labels", *data.factors])
    return data.factors[target]


def _chosen(y: torch.Tensor, data: Images, per_class: int | None, seed: int) -> torch.Tensor:
    """Which pictures may be learned from: all, or so many of each class, drawn by seed. (N,) bool."""
    if per_class is None:
        return torch.ones(len(y), dtype=torch.bool)
    chosen = torch.zeros(len(y), dtype=torch.bool)
    order = torch.randperm(len(y), generator=seeds.generator(seed, "labelled"))
    order = order[data.split[order] == 0]
    for label in y.unique():
        chosen[order[y[order] == label][:per_class]] = True
    return chosen

"""Factor probes: which of the things that vary in the pictures can still be read from the features?"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from sslkit.evaluation._probe import DECAYS, Axes, hold_out, linear_probe
from sslkit.evaluation._score import Score, check_features, r2


def factors(
    train_x: Tensor,
    train_factors: dict,
    test_x: Tensor,
    test_factors: dict,
    *,
    val_x=None,
    val_factors=None,
    seed: int = 0,
    axes: Axes | None = None,
) -> dict[str, Score]:
    """Probe every factor linearly: R^2 of ridge regression for numbers (N, d), accuracy for classes (N,) int64.

    Rows with NaN ("a circle has no angle") are left out. The decay is chosen on validation images; if there are none, a
    fifth of the training images is put aside for it. A factor that too few images have scores NaN. axes: `Axes(train_x)`,
    if they are known and there are validation images.
    """
    train_x = check_features("train", train_x)
    test_x = check_features("test", test_x, dim=train_x.shape[1])
    if val_x is None or not len(val_x):
        held = hold_out(torch.zeros(len(train_x)), seed)
        val_x, val_factors = train_x[held], {name: value[held] for name, value in train_factors.items()}
        train_x, train_factors = train_x[~held], {name: value[~held] for name, value in train_factors.items()}
        axes = None
    parts = [(train_x, train_factors), (val_x, val_factors), (test_x, test_factors)]
    scores, made = {}, {}

    def axes_of(rows: Tensor) -> Axes:
        key = rows.numpy().tobytes()
        if key not in made:  # most factors have the same rows
            made[key] = axes if axes is not None and rows.all() else Axes(train_x[rows])
        return made[key]

    for name, value in train_factors.items():
        if any(name not in values or len(values[name]) != len(x) for x, values in parts):
            raise ValueError(f"Factor {name!r} needs one row for every training, validation and test image.")
        if not value.is_floating_point():
            if len(value.unique()) < 2:
                scores[name] = Score(torch.nan, torch.nan, torch.nan, len(test_x))
                continue
            how = {
                "val_x": val_x,
                "val_y": val_factors[name],
                "axes": axes_of(torch.ones(len(value), dtype=torch.bool)),
            }
            scores[name] = linear_probe(train_x, value, test_x, test_factors[name], seed=seed, **how)
            continue
        targets = [values[name].reshape(len(x), -1).float() for x, values in parts]
        known = [~y.isnan().any(1) for y in targets]
        y, val_y, test_y = (y[rows] for y, rows in zip(targets, known))
        if min(len(y), len(val_y), len(test_y)) < 2:
            scores[name] = Score(torch.nan, torch.nan, torch.nan, len(test_y))
            continue
        mine = axes_of(known[0])
        val_z, test_z = mine.standardise(val_x[known[1]]), mine.standardise(test_x[known[2]])
        path = ridge(mine, y, DECAYS)
        _, weight, bias = min(path, key=lambda fit: (val_z @ fit[1] + fit[2] - val_y).square().mean())
        scores[name] = r2(test_z @ weight + bias - test_y, test_y, seed=seed)
    return scores


def ridge(features: Axes, y: Tensor, decays: Sequence[float]) -> Iterator[tuple]:
    """Ridge regression of targets y (N, d): the minimum of mean |error|^2 / 2 + decay / 2 |W|^2, for each decay.

    Yields decay, weight (D, d) of standardised features, bias (d,).
    """
    along = features.along.T @ (y - y.mean(0)) / len(y)  # (R, d)
    for decay in decays:
        yield decay, features.axes @ (along / (features.squares[:, None] + decay)), y.mean(0)

"""Factor probes: which of the things that vary in the pictures can still be read from the features?"""

import torch
from torch import Tensor

from sslkit.evaluation._probe import DECAYS, hold_out, linear_probe, principal_axes, standard
from sslkit.evaluation._score import Score, check_features, r2


def factors(
    train_x: Tensor, train_factors: dict, test_x: Tensor, test_factors: dict, *, val_x=None, val_factors=None, seed=0
) -> dict[str, Score]:
    """Probe every factor linearly: R^2 of ridge regression for numbers (N, d), accuracy for classes (N,) int64.

    Rows with NaN ("a circle has no angle") are left out. The decay is chosen on validation images; if there are none, a
    fifth of the training images is put aside for it. A factor that too few images have scores NaN.
    """
    train_x = check_features("train", train_x)
    test_x = check_features("test", test_x, dim=train_x.shape[1])
    if val_x is None or not len(val_x):
        held = hold_out(torch.zeros(len(train_x)), seed)
        val_x, val_factors = train_x[held], {name: value[held] for name, value in train_factors.items()}
        train_x, train_factors = train_x[~held], {name: value[~held] for name, value in train_factors.items()}
    parts = [(train_x, train_factors), (val_x, val_factors), (test_x, test_factors)]
    scores, fits = {}, {}
    for name, value in train_factors.items():
        if any(name not in values or len(values[name]) != len(x) for x, values in parts):
            raise ValueError(f"Factor {name!r} needs one row for every training, validation and test image.")
        if not value.is_floating_point():
            val = {"val_x": val_x, "val_y": val_factors[name]}
            scores[name] = linear_probe(train_x, value, test_x, test_factors[name], seed=seed, **val)
            continue
        targets = [values[name].reshape(len(x), -1).float() for x, values in parts]
        known = [~y.isnan().any(1) for y in targets]
        y, val_y, test_y = (y[rows] for y, rows in zip(targets, known))
        if min(len(y), len(val_y), len(test_y)) < 2:
            scores[name] = Score(torch.nan, torch.nan, torch.nan, len(test_y))
            continue
        key = known[0].numpy().tobytes()
        if key not in fits:  # most factors have the same rows
            fits[key] = Ridge(train_x[known[0]])
        predict = fits[key].predict
        decay = min(DECAYS, key=lambda decay: (predict(val_x[known[1]], y, decay) - val_y).square().mean())
        scores[name] = r2(predict(test_x[known[2]], y, decay) - test_y, test_y, seed=seed)
    return scores


class Ridge:
    """Ridge regression of any targets on the same features: the minimum of mean |error|^2 / 2 + decay / 2 |W|^2."""

    def __init__(self, x: Tensor):
        self.mean, self.scale = standard(x)
        self.z = (x - self.mean) / self.scale
        self.squares, self.axes = principal_axes(self.z)

    def predict(self, x: Tensor, y: Tensor, decay: float) -> Tensor:
        """Fit the targets y (N, d) of the training features, and predict those of others: (M, D) -> (M, d)."""
        along = self.axes.T @ (self.z.T @ (y - y.mean(0))) / len(y)  # (R, d)
        weight = self.axes @ (along / (self.squares[:, None] + decay))  # (D, d)
        return (x - self.mean) / self.scale @ weight + y.mean(0)

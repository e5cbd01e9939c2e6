"""Exercises of notebook 09: how much of a factor can be read, and an accuracy for every group instead of one for all.

Both are numbers in which a mistake still looks like a result: an R² of 0.9 that should be 0.2, an average in which
those who pay cannot be seen.
"""

from __future__ import annotations

import torch
from torch import Tensor

from sslkit.exercises._facts import Probe, randn
from sslkit.exercises._framework import Exercise, Zoo

# 09a: R squared ---------------------------------------------------------------------------------------------


def r_squared(predicted: Tensor, actual: Tensor) -> Tensor:
    """1 - squared errors / squared distances from the mean, each summed over pictures and columns: (N, d), (N, d) -> ()."""
    return 1 - _squares(actual - predicted) / _squares(actual - actual.mean(dim=0))


def _squares(x: Tensor) -> Tensor:
    return x.square().sum()


read = Zoo()
read.add(
    "the share that is *not* explained",
    "It is 0 where R² is 1: take it from 1.",
    lambda predicted, actual: 1 - r_squared(predicted, actual),
)
read.add(
    "1 minus the mean squared error",
    "That depends on the units of the factor. Divide by how much the factor varies.",
    lambda predicted, actual: 1 - (actual - predicted).square().mean(),
)
read.add(
    "R² with squares instead of distances from the mean",
    "The comparison is an answer that is always the *mean*: actual - actual.mean(dim=0).",
    lambda predicted, actual: 1 - _squares(actual - predicted) / _squares(actual),
)
read.add(
    "R² with one mean for all columns",
    "The cosine and the sine of an angle have a mean each: mean(dim=0).",
    lambda predicted, actual: 1 - _squares(actual - predicted) / _squares(actual - actual.mean()),
)
read.add(
    "R² with a mean for each picture",
    "The mean is over pictures, dim=0.",
    lambda predicted, actual: 1 - _squares(actual - predicted) / _squares(actual - actual.mean(dim=1, keepdim=True)),
)
read.add(
    "the mean of an R² for each column",
    "Sum over both columns first, then divide once: a column that varies little must not count as much as the other.",
    lambda predicted, actual: torch.stack(
        [r_squared(p[:, None], a[:, None]) for p, a in zip(predicted.T, actual.T)]
    ).mean(),
)
read.add(
    "R² beside the mean of the predictions",
    "The comparison is an answer that is always the mean of what is *true*: actual.mean(dim=0).",
    lambda predicted, actual: 1 - _squares(actual - predicted) / _squares(actual - predicted.mean(dim=0)),
)
read.add(
    "R² with the two arguments changed",
    "The denominator is about what is true, not about what was predicted.",
    lambda predicted, actual: r_squared(actual, predicted),
)
read.add(
    "the squared correlation",
    "It forgives a wrong scale and a wrong level; R² does not.",
    lambda predicted, actual: torch.corrcoef(torch.stack([predicted.flatten(), actual.flatten()]))[0, 1] ** 2,
)
read.add(
    "R² without the error of the mean",
    "You subtracted the mean error. A prediction that is always too high by 1 is wrong, and R² counts it.",
    lambda predicted, actual: (
        1 - _squares((actual - predicted) - (actual - predicted).mean(dim=0)) / _squares(actual - actual.mean(dim=0))
    ),
)
read.add(
    "an R² that cannot be negative",
    "A prediction can be worse than the mean, and one wants to know: no clamp.",
    lambda predicted, actual: r_squared(predicted, actual).clamp(min=0),
)
read.add(
    "R² with absolute instead of squared errors",
    "Square the errors, and square the distances from the mean.",
    lambda predicted, actual: 1 - (actual - predicted).abs().sum() / (actual - actual.mean(dim=0)).abs().sum(),
)
read.add(
    "R² with a root",
    "R² is a ratio of squares, without a root.",
    lambda predicted, actual: 1 - (1 - r_squared(predicted, actual)).sqrt(),
)
read.add(
    "R² that divides by N above and by N - 1 below",
    "torch.var divides by N - 1. Take sums in both places, or correction=0.",
    lambda predicted, actual: 1 - (actual - predicted).square().mean(dim=0).sum() / actual.var(dim=0).sum(),
)


def _guesses(seed: int, n: int, d: int, *, scale: float = 0.8, noise: float = 0.5, level: float = 0.3):
    """A factor whose columns differ in width and mean, and predictions that are wrong in scale, level and detail."""

    def make():
        widths = torch.arange(1, d + 1, dtype=torch.float32)
        actual = randn(seed, n, d) * widths + 2 * widths - 1
        return (scale * actual + level + noise * randn(seed + 1, n, d), actual), {}

    return make


r2_exercise = Exercise(
    id="09a",
    prompt=(
        "Write `r_squared(predicted, actual)`: 1 minus the sum of squared errors, divided by the sum of squared distances "
        "of `actual` from its mean over the pictures."
    ),
    stub='''\
def r_squared(predicted, actual):
    """R² of predictions (N, d) of a factor (N, d): one number. Squares are summed over pictures and
    columns, above and below, and divided once; each column of `actual` has its own mean."""
    return None  # your lines here
''',
    reference=r_squared,
    probes=(
        Probe("6 pictures and a factor of 2 numbers", _guesses(1, 6, 2)),
        Probe("9 pictures and a factor of 1 number", _guesses(11, 9, 1)),
        Probe("8 pictures and predictions worse than the mean", _guesses(21, 8, 2, scale=0.1, noise=2.0)),
        Probe("5 pictures and perfect predictions", _guesses(31, 5, 2, scale=1.0, noise=0.0, level=0.0)),
    ),
    mistakes=read,
    verified="Errors are compared with the mean of each column, summed before the one division, and may be negative.",
    usual="Averaging an R² per column, or clipping it at 0: then nobody sees that a factor is read worse than by its mean.",
    minutes=8,
)

# 09b: accuracy by group -------------------------------------------------------------------------------------


def group_accuracy(predictions: Tensor, labels: Tensor, groups: Tensor) -> Tensor:
    """The share of right predictions in each group 0, 1, ..., G - 1: (N,), (N,), (N,) -> (G,)."""
    return _shares(predictions == labels, groups)


def _shares(right: Tensor, groups: Tensor) -> Tensor:
    return torch.stack([right[groups == g].float().mean() for g in range(int(groups.max()) + 1)])


def _counts(right: Tensor, groups: Tensor) -> Tensor:
    return torch.stack([(right & (groups == g)).sum() for g in range(int(groups.max()) + 1)]).float()


apart = Zoo()
apart.add(
    "one accuracy for all pictures",
    "In an average those who pay cannot be seen: one number for each group.",
    lambda predictions, labels, groups: (predictions == labels).float().mean(),
)
apart.add(
    "the accuracy of each class",
    "The groups are given in `groups`; a class is something else.",
    lambda predictions, labels, groups: _shares(predictions == labels, labels),
)
apart.add(
    "how often each predicted class is right",
    "Pictures belong to the group in `groups`, whatever was predicted for them.",
    lambda predictions, labels, groups: _shares(predictions == labels, predictions),
)
apart.add(
    "the number of right predictions in each group",
    "Divide by the number of pictures in the group.",
    lambda predictions, labels, groups: _counts(predictions == labels, groups),
)
apart.add(
    "right predictions of each group, divided by all pictures",
    "Divide by the number of pictures in the *group*, else small groups look bad.",
    lambda predictions, labels, groups: _counts(predictions == labels, groups) / len(labels),
)
apart.add(
    "the share that each group has in all right predictions",
    "Divide by the pictures of the group, not by the right predictions of everybody.",
    lambda predictions, labels, groups: _counts(predictions == labels, groups) / (predictions == labels).sum(),
)
apart.add(
    "the error of each group",
    "That is 1 minus the accuracy.",
    lambda predictions, labels, groups: 1 - group_accuracy(predictions, labels, groups),
)
apart.add(
    "the accuracies sorted by size",
    "Keep them in the order of the groups' numbers, so that one knows whose they are.",
    lambda predictions, labels, groups: group_accuracy(predictions, labels, groups).sort().values,
)
apart.add(
    "the accuracy of the worst group only",
    "Give all groups. Which of them is the worst is the next question.",
    lambda predictions, labels, groups: group_accuracy(predictions, labels, groups).min(),
)
apart.add(
    "the mean accuracy of the groups",
    "It counts every group the same, which is something; but give one number for each group.",
    lambda predictions, labels, groups: group_accuracy(predictions, labels, groups).mean(),
)
apart.add(
    "the number of the worst group",
    "Give the accuracies themselves, one for each group.",
    lambda predictions, labels, groups: group_accuracy(predictions, labels, groups).argmin(),
)
apart.add(
    "accuracies without those of the last group",
    "The groups go from 0 to groups.max(), included: range(groups.max() + 1).",
    lambda predictions, labels, groups: group_accuracy(predictions, labels, groups)[:-1],
)
apart.add(
    "accuracies that are rounded down to 0 or 1",
    "`//` throws the fraction away: divide with `/`.",
    lambda predictions, labels, groups: group_accuracy(predictions, labels, groups).floor(),
)


def _answers(seed: int, n: int, sizes: tuple[int, ...], classes: int):
    """Predictions that are right more often in some groups than in others; the groups are mixed."""

    def make():
        g = torch.Generator().manual_seed(seed)
        groups = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))[torch.randperm(n, generator=g)]
        labels = torch.randint(classes, (n,), generator=g)
        wrong = torch.rand(n, generator=g) < (0.25 + 0.5 * (groups % 2))
        return (torch.where(wrong, (labels + 1) % classes, labels), labels, groups), {}

    return make


group_exercise = Exercise(
    id="09b",
    prompt=(
        "Write `group_accuracy(predictions, labels, groups)`: the share of right predictions in each group, in the order "
        "of the groups' numbers."
    ),
    stub='''\
def group_accuracy(predictions, labels, groups):
    """Predictions, labels and groups are whole numbers (N,); the groups go from 0 to G - 1, and each has
    a picture. The accuracy in each group, a tensor (G,), group 0 first."""
    return None  # your lines here
''',
    reference=group_accuracy,
    probes=(
        Probe("20 pictures in 3 groups", _answers(1, 20, (9, 7, 4), 4)),
        Probe("15 pictures in 2 groups", _answers(2, 15, (11, 4), 3)),
        Probe("12 pictures in 4 groups", _answers(3, 12, (3, 4, 3, 2), 2)),
    ),
    mistakes=apart,
    verified="Each group has its own accuracy, divided by its own number of pictures, in the order of the groups.",
    usual="Dividing by all pictures, so that a small group always looks bad; or giving one average, in which it is hidden.",
    minutes=6,
)

EXERCISES = (r2_exercise, group_exercise)

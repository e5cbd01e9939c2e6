"""Exercises of notebook 04: the learning rate over time, and how many dimensions a representation really uses."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from sslkit.exercises._facts import Probe, randn
from sslkit.exercises._framework import Exercise, Zoo
from sslkit.schedules import warmup_cosine

# 04a: warm-up and cosine ------------------------------------------------------------------------------------


def learning_rate(step: int, *, steps: int, peak: float, warmup: int) -> float:
    """A straight rise to the peak, then half a cosine down to 0."""
    return peak * warmup_cosine(step, steps=steps, warmup=warmup)


def _half_cosine(progress: float) -> float:
    return (1 + math.cos(math.pi * progress)) / 2


def _after_warmup(fall: Callable[[float], float]) -> Callable:
    """A schedule with the right warm-up and another way down; `fall` takes the progress from 0 to 1."""

    def schedule(step: int, *, steps: int, peak: float, warmup: int) -> float:
        return peak * ((step + 1) / warmup if step < warmup else fall((step - warmup) / (steps - warmup)))

    return schedule


late = Zoo()
late.add(
    "a cosine without warm-up",
    "The first `warmup` steps must rise in a straight line.",
    lambda step, *, steps, peak, warmup: peak * _half_cosine(step / steps),
)
late.add(
    "a warm-up that starts at 0",
    "Some codes do so, and their first step learns nothing. The task asks for peak / warmup at step 0.",
    lambda step, *, steps, peak, warmup: (
        peak * step / warmup if step < warmup else peak * _half_cosine((step - warmup) / (steps - warmup))
    ),
)
late.add(
    "a cosine that does not wait for the warm-up",
    "There is a jump where the warm-up ends: the cosine must start there, at the peak.",
    lambda step, *, steps, peak, warmup: peak * ((step + 1) / warmup if step < warmup else _half_cosine(step / steps)),
)
late.add(
    "a cosine of a whole period",
    "It comes up again at the end. Half a period: from cos(0) to cos(pi).",
    _after_warmup(lambda p: (1 + math.cos(2 * math.pi * p)) / 2),
)
late.add(
    "a quarter of a period",
    "cos(pi / 2 · progress) falls steeply at the end. Half a period is flat at both ends.",
    _after_warmup(lambda p: math.cos(math.pi / 2 * p)),
)
late.add(
    "a cosine that becomes negative",
    "A negative learning rate climbs the loss. Shift the cosine up by 1 and halve it.",
    _after_warmup(lambda p: math.cos(math.pi * p)),
)
late.add(
    "a cosine that starts at twice the peak",
    "1 + cos starts at 2: halve it.",
    _after_warmup(lambda p: 1 + math.cos(math.pi * p)),
)
late.add(
    "a straight way down",
    "After the warm-up the rate follows a cosine, not a line.",
    _after_warmup(lambda p: 1 - p),
)
late.add(
    "a constant rate after the warm-up",
    "After the warm-up the rate falls to 0.",
    _after_warmup(lambda p: 1.0),
)
late.add(
    "a cosine in degrees",
    "math.cos takes radians: half a turn is math.pi, not 180.",
    _after_warmup(lambda p: (1 + math.cos(180 * p)) / 2),
)
late.add(
    "a schedule that ends after the last step",
    "The whole fall takes steps - warmup steps, not steps.",
    lambda step, *, steps, peak, warmup: (
        peak * ((step + 1) / warmup if step < warmup else _half_cosine((step - warmup) / steps))
    ),
)
late.add(
    "a warm-up that is one step too long",
    "Steps 0 to warmup - 1 are the warm-up: `step < warmup`. Yours rises above the peak once.",
    lambda step, *, steps, peak, warmup: (
        peak * ((step + 1) / warmup if step <= warmup else _half_cosine((step - warmup) / (steps - warmup)))
    ),
)
late.add(
    "a schedule that is 0 at its last step",
    "The last step would learn nothing. The task asks for 0 at step `steps`, one later: divide by steps - warmup.",
    lambda step, *, steps, peak, warmup: (
        peak * ((step + 1) / warmup if step < warmup else _half_cosine((step - warmup) / (steps - 1 - warmup)))
    ),
)
late.add(
    "the share of the peak, not the learning rate",
    "Multiply by the peak.",
    lambda step, *, steps, peak, warmup: warmup_cosine(step, steps=steps, warmup=warmup),
)


@late.keep(
    "a cosine with restarts",
    "The rate jumps back to the peak again and again. One fall, from the end of the warm-up to the last step.",
)
def _restarts(step: int, *, steps: int, peak: float, warmup: int) -> float:
    if step < warmup:
        return peak * (step + 1) / warmup
    period = max(2, (steps - warmup) // 2)
    return peak * _half_cosine((step - warmup) % period / period)


def curve(schedule: Callable, probe: Probe) -> dict:
    """The learning rate at every step of a training."""
    _, kwargs = probe.make()
    rates = [schedule(step, **kwargs) for step in range(kwargs["steps"])]
    if any(rate is None for rate in rates):
        return {"value": None}
    return {"learning rate": torch.tensor([float(rate) for rate in rates], dtype=torch.float64)}


rate_exercise = Exercise(
    id="04a",
    prompt=(
        "Write `learning_rate(step, ...)`: a straight rise during the warm-up, then half a cosine from "
        "the peak towards 0."
    ),
    stub='''\
def learning_rate(step, *, steps, peak, warmup):
    """The learning rate at `step`, from 0 to steps - 1. In the warm-up it rises in a straight line: peak / warmup at
    step 0, peak at step warmup - 1. Then half a cosine, from the peak at step `warmup` down to 0 at step `steps`."""
    return None  # your lines here
''',
    reference=learning_rate,
    probes=(
        Probe("20 steps, 5 of warm-up, peak 1", lambda: ((), {"steps": 20, "peak": 1.0, "warmup": 5})),
        Probe("13 steps, 2 of warm-up, peak 0.3", lambda: ((), {"steps": 13, "peak": 0.3, "warmup": 2})),
        Probe("8 steps without warm-up, peak 2", lambda: ((), {"steps": 8, "peak": 2.0, "warmup": 0})),
    ),
    mistakes=late,
    verified="Rise, peak and fall are right at every step, with and without warm-up.",
    usual="Measuring the cosine from step 0 instead of from the end of the warm-up, which makes the rate jump.",
    facts=curve,
)

# 04b: the effective rank ------------------------------------------------------------------------------------


def rankme(features: Tensor) -> Tensor:
    """RankMe (arXiv 2210.02885): the exponential of the entropy of the singular values. (N, D) -> ()."""
    return _entropy(_shares(torch.linalg.svdvals(features))).exp()


def _shares(values: Tensor) -> Tensor:
    return values / values.sum() + 1e-7


def _entropy(p: Tensor) -> Tensor:
    return -(p * p.log()).sum()


flat = Zoo()
flat.add(
    "RankMe with squared singular values",
    "These are variances. RankMe takes the singular values themselves.",
    lambda features: _entropy(_shares(torch.linalg.svdvals(features) ** 2)).exp(),
)
flat.add(
    "RankMe of centred features",
    "The paper does not subtract the mean; a shared offset counts as a direction.",
    lambda features: rankme(features - features.mean(dim=0)),
)
flat.add(
    "RankMe of features of length 1",
    "The paper takes the features as they are: do not normalise the rows.",
    lambda features: rankme(torch.nn.functional.normalize(features, dim=1)),
)
flat.add(
    "the entropy itself",
    "Entropy is a logarithm. Its exponential is the number of directions.",
    lambda features: _entropy(_shares(torch.linalg.svdvals(features))),
)
flat.add(
    "an entropy in bits under a natural exponential",
    "log2 and exp do not undo each other: use log and exp.",
    lambda features: (_entropy(_shares(torch.linalg.svdvals(features))) / math.log(2)).exp(),
)
flat.add(
    "the plain rank",
    "Counting directions that are not exactly 0 calls almost everything full rank. Weigh them by their size.",
    lambda features: torch.linalg.matrix_rank(features).float(),
)
flat.add(
    "shares of the largest singular value",
    "The shares must sum to 1: divide by the sum, not by the maximum.",
    lambda features: _entropy(torch.linalg.svdvals(features) / torch.linalg.svdvals(features).max() + 1e-7).exp(),
)
flat.add(
    "a softmax of the singular values",
    "Shares are values divided by their sum; a softmax exaggerates the largest.",
    lambda features: _entropy(torch.linalg.svdvals(features).softmax(dim=0)).exp(),
)
flat.add(
    "RankMe with its sign reversed",
    "Entropy is minus the sum of p log p; without the minus you get one divided by the rank.",
    lambda features: (-_entropy(_shares(torch.linalg.svdvals(features)))).exp(),
)
flat.add(
    "a share of the dimensions",
    "Do not divide by the number of dimensions: the answer is a number of directions.",
    lambda features: rankme(features) / features.shape[1],
)


flat.add(
    "RankMe with 1e-7 added to the singular values",
    "It belongs to the shares, after the division: else it depends on how large the features are.",
    lambda features: _entropy(
        (torch.linalg.svdvals(features) + 1e-7) / (torch.linalg.svdvals(features) + 1e-7).sum()
    ).exp(),
)
flat.add(
    "RankMe with a guard of 1e-5",
    "The paper adds 1e-7. With many dimensions a larger number counts directions that are not there.",
    lambda features: _entropy(torch.linalg.svdvals(features) / torch.linalg.svdvals(features).sum() + 1e-5).exp(),
)


@flat.keep("RankMe without a guard for zeros", "0 · log 0 is not a number: add 1e-7 to every share first.")
def _no_guard(features: Tensor) -> Tensor:
    values = torch.linalg.svdvals(features)
    return _entropy(values / values.sum()).exp()


def _rank_3(seed: int) -> Tensor:
    return randn(seed, 40, 3) @ randn(seed + 1, 3, 8)


rankme_exercise = Exercise(
    id="04b",
    prompt="Write `rankme(features)`: how many directions the features really use, from their singular values.",
    stub='''\
def rankme(features):
    """RankMe of features (N, D): the exponential of the entropy of p = (singular values) / (their sum) + 1e-7."""
    return None  # your lines here
''',
    reference=rankme,
    probes=(
        Probe(
            "60 features in 6 dimensions with an offset",
            lambda: ((randn(1, 60, 6) * torch.arange(1.0, 7.0) + 2.0,), {}),
        ),
        Probe("features in 3 of 8 dimensions", lambda: ((_rank_3(2),), {})),
        Probe("features that have collapsed to one point", lambda: ((torch.ones(20, 5) * torch.arange(1.0, 6.0),), {})),
        Probe("tiny features in 3 of 8 dimensions", lambda: ((1e-6 * _rank_3(4),), {})),
        Probe(
            "features in 16 of 512 dimensions",
            lambda: ((randn(6, 600, 16, dtype=torch.float64) @ randn(7, 16, 512, dtype=torch.float64),), {}),
        ),
        Probe("features along two axes of four", lambda: ((torch.diag(torch.tensor([3.0, 2.0, 0.0, 0.0])),), {})),
    ),
    mistakes=flat,
    verified="Spread, low-rank and collapsed features all get the right number of directions.",
    usual=(
        "Squaring the singular values, as for explained variance. "
        "The number becomes too small, and papers cannot be compared."
    ),
    outputs=("effective rank",),
    tolerance=2e-3,
)

EXERCISES = (rate_exercise, rankme_exercise)

"""Exercises of notebook 11: the difference of two methods over seeds with its interval, and the correlation of two rankings.

Both decide what a table of results may say. Their mistakes make intervals that are too narrow, and rankings that agree.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from sslkit.exercises._facts import Probe, randn
from sslkit.exercises._framework import Exercise, Zoo

# 11a: a difference over seeds -------------------------------------------------------------------------------


def paired_difference(a: Tensor, b: Tensor, t: float) -> tuple[Tensor, Tensor]:
    """How far a is ahead of b on average, and half the width of the interval: (S,), (S,), () -> (), ()."""
    gaps = a - b
    return gaps.mean(), t * _error(gaps)


def _error(x: Tensor, correction: int = 1) -> Tensor:
    """The standard error of a mean."""
    return x.std(correction=correction) / len(x) ** 0.5


ahead = Zoo()
ahead.add(
    "an interval from the standard deviation",
    "That is how far one seed strays. The mean of S seeds strays less: divide by √S.",
    lambda a, b, t: ((a - b).mean(), t * (a - b).std()),
)
ahead.add(
    "an interval that is divided by S instead of √S",
    "Four times the seeds make the interval half as wide, not a quarter: divide by √S.",
    lambda a, b, t: ((a - b).mean(), t * (a - b).std() / len(a)),
)
ahead.add(
    "an interval with the deviation that divides by S",
    "The mean was estimated from the same numbers, so divide by S - 1: it is what torch.std does by itself.",
    lambda a, b, t: ((a - b).mean(), t * _error(a - b, correction=0)),
)
ahead.add(
    "an interval with √(S - 1) where √S belongs",
    "S - 1 belongs into the standard deviation only, and torch.std has it already.",
    lambda a, b, t: ((a - b).mean(), t * (a - b).std() / (len(a) - 1) ** 0.5),
)
ahead.add(
    "an interval that forgets which scores belong together",
    "Both methods had the same seeds: subtract seed by seed, then take the deviation of the *differences*.",
    lambda a, b, t: ((a - b).mean(), t * (_error(a).square() + _error(b).square()).sqrt()),
)
ahead.add(
    "the sum of the two methods' own intervals",
    "Two intervals that touch do not decide about a difference. Subtract seed by seed, and make one interval.",
    lambda a, b, t: ((a - b).mean(), t * (_error(a) + _error(b))),
)
ahead.add(
    "the difference of the two methods' own intervals",
    "Noise is never subtracted from noise. Subtract the scores seed by seed, and make one interval.",
    lambda a, b, t: ((a - b).mean(), t * (_error(a) - _error(b)).abs()),
)
ahead.add(
    "an interval for scores that were sorted first",
    "Sorting destroys the pairs: the first score of each method belongs to the same seed.",
    lambda a, b, t: paired_difference(a.sort().values, b.sort().values, t),
)
ahead.add(
    "an interval with 1.96 in the place of t",
    "1.96 is for many seeds. The deviation of a few is a guess itself, and t is larger for this reason.",
    lambda a, b, t: paired_difference(a, b, 1.96),
)
ahead.add(
    "an interval with 2 in the place of t",
    "2 is for many seeds. The deviation of a few is a guess itself, and t is larger for this reason.",
    lambda a, b, t: paired_difference(a, b, 2.0),
)
ahead.add(
    "one standard error without t",
    "The interval reaches t standard errors to each side.",
    lambda a, b, t: paired_difference(a, b, 1.0),
)
ahead.add(
    "the whole width of the interval",
    "Give half of it: how far the interval reaches to each side.",
    lambda a, b, t: paired_difference(a, b, 2 * t),
)
ahead.add(
    "an interval from the variance",
    "Take the root: a variance is in squared points.",
    lambda a, b, t: ((a - b).mean(), t * (a - b).var() / len(a) ** 0.5),
)
ahead.add(
    "the difference with its sign reversed",
    "How far a is ahead of b is a - b.",
    lambda a, b, t: paired_difference(b, a, t),
)
ahead.add(
    "the size of each difference, without its sign",
    "Where b was better, the difference is negative, and it counts against a.",
    lambda a, b, t: paired_difference((a - b).abs(), torch.zeros_like(a), t),
)
ahead.add(
    "the size of the mean difference, without its sign",
    "Below 0 it says that b is ahead: keep the sign.",
    lambda a, b, t: ((a - b).mean().abs(), t * _error(a - b)),
)
ahead.add(
    "the difference of the best seeds",
    "The best of several seeds is partly luck, and more of it the more seeds there are. Take the mean.",
    lambda a, b, t: (a.max() - b.max(), t * _error(a - b)),
)
ahead.add(
    "the difference of the medians",
    "The interval is one of the mean, so take the mean.",
    lambda a, b, t: (a.median() - b.median(), t * _error(a - b)),
)
ahead.add(
    "the two ends of the interval",
    "Give the mean difference and the half width. The ends are their difference and their sum.",
    lambda a, b, t: ((a - b).mean() - t * _error(a - b), (a - b).mean() + t * _error(a - b)),
)


def _seeds(seed: int, n: int, t: float, *, gap: float = 1.5, shared: float = 3.0) -> Callable[[], tuple]:
    """Scores in points. A lucky seed is lucky for both methods, which is why they are compared seed by seed."""

    def make():
        luck = shared * randn(seed, n)
        return (60 + gap + luck + 1.2 * randn(seed + 1, n), 60 + luck + 1.7 * randn(seed + 2, n), t), {}

    return make


difference_exercise = Exercise(
    id="11a",
    prompt=(
        "Write `paired_difference(a, b, t)`: the mean of the differences seed by seed, and t standard errors of that mean."
    ),
    stub='''\
def paired_difference(a, b, t):
    """Scores of two methods, (S,) each; a[s] and b[s] have the same seed. Two numbers: how far a is ahead of b
    on average, and half the width of the interval: t times the standard error of the mean difference, which is
    the standard deviation of the differences (with S - 1) divided by √S."""
    return None  # your lines here
''',
    reference=paired_difference,
    probes=(
        Probe("3 seeds", _seeds(1, 3, 4.303)),
        Probe("5 seeds, and t for 5", _seeds(11, 5, 2.776)),
        Probe("4 seeds, and b ahead of a", _seeds(21, 4, 3.182, gap=-2.0)),
    ),
    mistakes=ahead,
    verified="Scores are subtracted seed by seed, and the interval is that of the mean difference.",
    usual="An interval for each method and a look at whether they overlap: the luck that both share is counted as noise.",
    minutes=10,
    outputs=("difference", "half width"),
)

# 11b: do two rankings agree? --------------------------------------------------------------------------------


def rank_correlation(x: Tensor, y: Tensor) -> Tensor:
    """Spearman's: the correlation of the ranks, where equal values share the mean of their ranks. (N,), (N,) -> ()."""
    return _correlation(_ranks(x), _ranks(y))


def _ranks(x: Tensor) -> Tensor:
    """1 for the smallest; equal values share the mean of the places that they take together."""
    return (_below(x) + _below(x) + _equal(x) + 1) / 2


def _below(x: Tensor) -> Tensor:
    return (x[:, None] > x).sum(dim=1).double()


def _equal(x: Tensor) -> Tensor:
    return (x[:, None] == x).sum(dim=1).double()


def _places(x: Tensor) -> Tensor:
    """Ranks in which equal values get different places, the first one the lower."""
    return x.argsort(stable=True).argsort().double()


def _correlation(x: Tensor, y: Tensor) -> Tensor:
    x, y = (v.double() - v.double().mean() for v in (x, y))
    return (x * y).sum() / (x.square().sum() * y.square().sum()).sqrt()


def _textbook(x: Tensor, y: Tensor) -> Tensor:
    n = len(x)
    return 1 - 6 * (x - y).square().sum() / (n * (n**2 - 1))


def _signs(x: Tensor) -> Tensor:
    """(N (N - 1) / 2,) which of two is larger, for all pairs."""
    i, j = torch.triu_indices(len(x), len(x), offset=1)
    return (x[i] - x[j]).sign().double()


agree = Zoo()
agree.add(
    "the correlation of the values",
    "Only the order shall count. Replace the values by their ranks first.",
    lambda x, y: _correlation(x, y),
)
agree.add(
    "the correlation of the ranks of x with the values of y",
    "Both sides need ranks.",
    lambda x, y: _correlation(_ranks(x), y),
)
agree.add(
    "the correlation of two argsorts",
    "x.argsort() says which method stands at each place. You need the place of each method: with ties shared.",
    lambda x, y: _correlation(x.argsort(stable=True), y.argsort(stable=True)),
)
agree.add(
    "a rank correlation in which equal values get different ranks",
    "Whoever stands first in the list wins the tie, for no reason. Equal values share the mean of their ranks.",
    lambda x, y: _correlation(_places(x), _places(y)),
)
agree.add(
    "a rank correlation in which equal values get the lowest of their ranks",
    "Two that share the places 3 and 4 get 3.5 each.",
    lambda x, y: _correlation(_below(x), _below(y)),
)
agree.add(
    "a rank correlation in which equal values get the highest of their ranks",
    "Two that share the places 3 and 4 get 3.5 each.",
    lambda x, y: _correlation(_below(x) + _equal(x), _below(y) + _equal(y)),
)
agree.add(
    "a rank correlation without gaps after equal values",
    "After two that share the places 3 and 4 comes place 5, not 4.",
    lambda x, y: _correlation(x.unique(return_inverse=True)[1], y.unique(return_inverse=True)[1]),
)
agree.add(
    "the formula with squared differences, where there are ties",
    "1 - 6 Σd² / (N (N² - 1)) holds without ties only. The correlation of the ranks always holds.",
    lambda x, y: _textbook(_ranks(x), _ranks(y)),
)
agree.add(
    "a rank correlation with one ranking upside down",
    "Rank both from the smallest, or both from the largest.",
    lambda x, y: -rank_correlation(x, y),
)
agree.add(
    "a rank correlation without its sign",
    "Two rankings can disagree: -1 is the opposite order. Keep the sign.",
    lambda x, y: rank_correlation(x, y).abs(),
)
agree.add(
    "a squared rank correlation",
    "Without the square: it hides the sign, and looks small.",
    lambda x, y: rank_correlation(x, y).square(),
)
agree.add(
    "the covariance of the ranks",
    "Divide by both standard deviations, so that it lies between -1 and 1.",
    lambda x, y: ((_ranks(x) - _ranks(x).mean()) * (_ranks(y) - _ranks(y).mean())).mean(),
)
agree.add(
    "the cosine of the ranks",
    "Ranks are all positive, so their cosine is near 1 whatever the order. Subtract the mean rank first.",
    lambda x, y: torch.nn.functional.cosine_similarity(_ranks(x), _ranks(y), dim=0),
)
agree.add(
    "a rank correlation that divides by N above and by N - 1 below",
    "torch.std divides by N - 1. Take sums in all three places, or correction=0.",
    lambda x, y: rank_correlation(x, y) * (len(x) - 1) / len(x),
)
agree.add(
    "Kendall's rank correlation",
    "Kendall counts the pairs in the same order. It is a good number, too, but another one: here ranks are correlated.",
    lambda x, y: torch.nn.functional.cosine_similarity(_signs(x), _signs(y), dim=0),
)
agree.add(
    "the share of pairs that both put in the same order",
    "That is between 0 and 1, and near one half by luck. Here ranks are correlated: 0 by luck.",
    lambda x, y: (_signs(x) * _signs(y) > 0).double().mean(),
)
agree.add(
    "the share of methods with the same rank on both sides",
    "A method that moves by one place has not lost everything. Correlate the ranks.",
    lambda x, y: (_ranks(x) == _ranks(y)).double().mean(),
)


def _scores(x: list[float], y: list[float]) -> Callable[[], tuple]:
    return lambda: ((torch.tensor(x), torch.tensor(y)), {})


rank_exercise = Exercise(
    id="11b",
    prompt=(
        "Write `rank_correlation(x, y)`: the correlation of the ranks of `x` with the ranks of `y`, where equal values "
        "share the mean of their ranks."
    ),
    stub='''\
def rank_correlation(x, y):
    """Two scores of the same N methods, (N,) each. Give every method its rank among the N, once by x and once
    by y; equal values share the mean of the ranks that they take together. One number: the correlation of the
    ranks, 1 for the same order and -1 for the opposite one (Spearman's)."""
    return None  # your lines here
''',
    reference=rank_correlation,
    probes=(
        Probe(
            "7 methods, with ties",
            _scores([0.61, 0.25, 0.61, 0.44, 0.70, 0.25, 0.25], [0.52, 0.20, 0.41, 0.41, 0.58, 0.33, 0.21]),
        ),
        Probe("6 methods without ties", _scores([0.1, 0.6, 0.3, 0.2, 0.9, 0.5], [20.0, 400.0, 30.0, 25.0, 60.0, 8.0])),
        Probe("5 methods in almost the opposite order", _scores([5.0, 4.0, 3.0, 2.0, 1.0], [1.0, 3.0, 2.0, 7.0, 7.0])),
    ),
    mistakes=agree,
    verified="Ranks are correlated, not values, and equal values share the mean of their ranks.",
    usual="Taking one argsort for the ranks: it is a list of methods, not of places, and its correlation means nothing.",
    minutes=10,
)

EXERCISES = (difference_exercise, rank_exercise)

"""Exercises of notebook 05: does a map keep neighbours, and what would a cloud without clusters look like?"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from sslkit.exercises._facts import Probe, randn
from sslkit.exercises._framework import Exercise, Zoo

# 05a: true neighbours and map neighbours --------------------------------------------------------------------


def neighbour_recall(x: Tensor, y: Tensor, *, k: int = 10) -> float:
    """The share of true neighbours that are also neighbours on the map: (N, D), (N, 2) -> 0 to 1."""
    return _shared(_nearest(x, k), _nearest(y, k)) / (len(x) * k)


def _distances(x: Tensor, *, itself: float = torch.inf) -> Tensor:
    return torch.cdist(x.double(), x.double()).fill_diagonal_(itself)


def _nearest(x: Tensor, k: int) -> Tensor:
    return _distances(x).topk(k, largest=False).indices  # (N, k)


def _with_itself(x: Tensor, y: Tensor, k: int) -> list[Tensor]:
    """The k nearest in both spaces, where each point is its own first neighbour."""
    return [_distances(space, itself=-1.0).topk(k, largest=False).indices for space in (x, y)]


def _shared(a: Tensor, b: Tensor) -> int:
    return int((a[:, :, None] == b[:, None, :]).sum())


vague = Zoo()
vague.add(
    "the recall with every point among its own neighbours",
    "A point always finds itself, in both spaces: that is no merit. Leave it out.",
    lambda x, y, *, k=10: _shared(*_with_itself(x, y, k)) / (len(x) * k),
)
vague.add(
    "the recall of k - 1 neighbours",
    "After leaving out the point itself, k others must remain.",
    lambda x, y, *, k=10: neighbour_recall(x, y, k=k - 1) if k > 1 else 0.0,
)
vague.add(
    "the recall of k + 1 neighbours",
    "One too many: k neighbours, without the point itself.",
    lambda x, y, *, k=10: neighbour_recall(x, y, k=k + 1),
)
vague.add(
    "the recall of k + 1 neighbours, of which one is the point itself",
    "topk(k + 1) finds the point itself first. Leave its column out, in both spaces.",
    lambda x, y, *, k=10: _shared(*_with_itself(x, y, k + 1)) / (len(x) * (k + 1)),
)
vague.add(
    "the recall of k neighbours and the point itself, divided by k",
    "topk(k + 1) finds the point itself first, which is why yours can be above 1. Leave its column out, in both spaces.",
    lambda x, y, *, k=10: _shared(*_with_itself(x, y, k + 1)) / (len(x) * k),
)
vague.add(
    "neighbours found by cosine in both spaces",
    "The task takes Euclidean distance, in both: torch.cdist.",
    lambda x, y, *, k=10: neighbour_recall(F.normalize(x, dim=1), F.normalize(y, dim=1), k=k),
)
vague.add(
    "neighbours compared in their order",
    "The third neighbour may be the first on the map: it still counts. Compare sets.",
    lambda x, y, *, k=10: float((_nearest(x, k) == _nearest(y, k)).double().mean()),
)
vague.add(
    "true neighbours found by cosine",
    "The task takes Euclidean distance, which is what the map was made from.",
    lambda x, y, *, k=10: _shared(_nearest(F.normalize(x, dim=1), k), _nearest(y, k)) / (len(x) * k),
)
vague.add(
    "map neighbours found by cosine",
    "On a map, nearness is plain distance: the direction seen from the origin means nothing.",
    lambda x, y, *, k=10: _shared(_nearest(x, k), _nearest(F.normalize(y, dim=1), k)) / (len(x) * k),
)
vague.add(
    "the farthest points instead of the nearest",
    "topk takes the largest unless largest=False.",
    lambda x, y, *, k=10: _shared(*(_distances(s, itself=-torch.inf).topk(k).indices for s in (x, y))) / (len(x) * k),
)
vague.add(
    "shared neighbours divided by all that either has",
    "That is the Jaccard index. Recall divides by the k true neighbours.",
    lambda x, y, *, k=10: float(
        torch.tensor(
            [n / (2 * k - n) for n in (_shared(a[None], b[None]) for a, b in zip(_nearest(x, k), _nearest(y, k)))]
        ).mean()
    ),
)
vague.add(
    "the number of shared neighbours, not their share",
    "Divide by k: the answer is between 0 and 1.",
    lambda x, y, *, k=10: _shared(_nearest(x, k), _nearest(y, k)) / len(x),
)
vague.add(
    "the share of points with at least one shared neighbour",
    "Count every shared neighbour, not only whether there is one.",
    lambda x, y, *, k=10: float(
        (_nearest(x, k)[:, :, None] == _nearest(y, k)[:, None, :]).flatten(1).any(dim=1).double().mean()
    ),
)


def _cloud_and_map(seed: int, n: int, k: int):
    """Points in five dimensions, far from the origin, and a map that keeps the first two, with some noise."""
    x = randn(seed, n, 5) * torch.tensor([3.0, 2.0, 1.0, 0.5, 0.5]) + 2.0
    return lambda: ((x.clone(), x[:, :2] + 0.3 * randn(seed + 1, n, 2)), {"k": k})


recall_exercise = Exercise(
    id="05a",
    prompt=(
        "Write `neighbour_recall(x, y, k)`: which share of each point's k true neighbours are also its "
        "neighbours on the map."
    ),
    stub='''\
def neighbour_recall(x, y, *, k=10):
    """Of the k nearest neighbours of each point in x (N, D), the share that is also among its k nearest on the map
    y (N, 2); the mean over all points, from 0 to 1. Euclidean distance; a point is not its own neighbour."""
    return None  # your lines here
''',
    reference=neighbour_recall,
    probes=(
        Probe("60 points, k = 5", _cloud_and_map(1, 60, 5)),
        Probe("40 points, k = 10", _cloud_and_map(3, 40, 10)),
        Probe("15 points, k = 1", _cloud_and_map(5, 15, 1)),
        Probe("a map that is the data", lambda: ((randn(7, 30, 2), randn(7, 30, 2)), {"k": 4})),
    ),
    mistakes=vague,
    verified="Each point's neighbours are compared as sets, without the point itself, for k from 1 to 10.",
    usual="Counting each point as its own neighbour, which makes every map look better than it is.",
    outputs=("recall",),
)

# 05b: the noise twin ----------------------------------------------------------------------------------------


def noise_twin(features: Tensor, *, generator: torch.Generator) -> Tensor:
    """Normal noise with the mean and the covariance of the features: (N, D) -> (N, D)."""
    return _normal(features, generator) @ _root(features.T.cov()).T + features.mean(dim=0)


def _normal(features: Tensor, generator: torch.Generator | None) -> Tensor:
    return torch.randn(features.shape, generator=generator, dtype=features.dtype)


def _root(covariance: Tensor) -> Tensor:
    """L with L Lᵀ = covariance."""
    return torch.linalg.cholesky(covariance)


alike = Zoo()
alike.add(
    "plain normal noise",
    "Its mean is 0 and its covariance 1: give it those of the features.",
    lambda features, *, generator: _normal(features, generator),
)
alike.add(
    "noise without correlations",
    "Each column has the right spread, but they no longer move together. You need the whole covariance matrix.",
    lambda features, *, generator: _normal(features, generator) * features.std(dim=0) + features.mean(dim=0),
)
alike.add(
    "noise around 0",
    "The twin has the mean of the features.",
    lambda features, *, generator: _normal(features, generator) @ _root(features.T.cov()).T,
)
alike.add(
    "noise multiplied by the covariance itself",
    "Multiplying by A gives the covariance A Aᵀ: you need a root of it, such as its Cholesky factor.",
    lambda features, *, generator: _normal(features, generator) @ features.T.cov() + features.mean(dim=0),
)
alike.add(
    "noise multiplied by the wrong side of the Cholesky factor",
    "For rows of noise the factor stands on the right, transposed: noise @ L.T.",
    lambda features, *, generator: _normal(features, generator) @ _root(features.T.cov()) + features.mean(dim=0),
)
alike.add(
    "the features in another order",
    "The same points again, with all their clusters. The twin must be drawn anew.",
    lambda features, *, generator: features[torch.randperm(len(features), generator=generator)],
)
alike.add(
    "the features with a little noise",
    "The clusters are still there. The twin keeps only mean and covariance.",
    lambda features, *, generator: features + 0.1 * features.std(dim=0) * _normal(features, generator),
)
alike.add(
    "each column shuffled by itself",
    "Shuffling keeps each column's values and loses how they move together. The twin needs the whole covariance.",
    lambda features, *, generator: torch.stack(
        [column[torch.randperm(len(features), generator=generator)] for column in features.T], dim=1
    ),
)
alike.add(
    "a twin without the generator",
    "The same seed must give the same twin: pass generator=generator to the random function.",
    lambda features, *, generator: _normal(features, None) @ _root(features.T.cov()).T + features.mean(dim=0),
)
alike.add(
    "uniform noise",
    "The twin is normal: torch.randn, not torch.rand.",
    lambda features, *, generator: (
        (torch.rand(features.shape, generator=generator, dtype=features.dtype) - 0.5)
        * 12**0.5
        @ _root(features.T.cov()).T
        + features.mean(dim=0)
    ),
)


def twin_facts(twin: Callable, probe: Probe) -> dict:
    """Moments of a twin of 4,000 points, to be compared within a wide tolerance, and what must hold exactly.

    The fourth moment along the first column tells a normal cloud (3) from two clusters (about 1) or from uniform noise.
    Of 4,000 normal draws its standard deviation is 0.08, that of means, spreads and correlations at most 0.04.
    """
    (features,), _ = probe.make()
    made = [twin(features.clone(), generator=torch.Generator().manual_seed(seed)) for seed in (0, 0, 1)]
    if any(m is None for m in made):
        return {"value": None}
    first, again, other = (torch.as_tensor(m).double() for m in made)
    if first.shape != features.shape:
        return {"shape": tuple(first.shape)}
    correlation = first.T.corrcoef()
    apart = (first[:, 0] - first[:, 0].mean()) / first[:, 0].std()
    return {
        "shape": tuple(first.shape),
        "copies of the features among them": bool((torch.cdist(first[:200], features.double()) == 0).any()),
        "mean of each column": first.mean(dim=0),
        "spread of each column": first.std(dim=0),
        "correlation of columns 1-2, 1-3, 2-3": correlation[[0, 0, 1], [1, 2, 2]],
        "fourth moment (3 is normal)": apart.pow(4).mean(),
        "the same seed gives the same twin": torch.equal(first, again),
        "another seed gives another twin": not torch.equal(first, other),
    }


def _two_clusters(seed: int) -> tuple[tuple, dict]:
    """Two clusters along the first column, and columns that move together."""
    side = torch.where(torch.arange(4000) % 2 == 0, -2.0, 2.0)
    x = randn(seed, 4000, 3)
    columns = [side + 0.4 * x[:, 0], 0.9 * side + 1.2 * x[:, 1], 1.2 * x[:, 2] - 0.9 * x[:, 1]]
    return (torch.stack(columns, dim=1) + torch.tensor([3.0, -4.0, 2.0]),), {}


twin_exercise = Exercise(
    id="05b",
    prompt=(
        "Write `noise_twin(features, generator)`: normal noise with the mean and the covariance of the "
        "features, and no clusters."
    ),
    stub='''\
def noise_twin(features, *, generator):
    """Normal noise with the shape, the mean and the covariance of `features` (N, D), drawn with `generator`."""
    return None  # your lines here
''',
    reference=noise_twin,
    probes=(Probe("4,000 features in two clusters", lambda: _two_clusters(1)),),
    mistakes=alike,
    verified="Mean, spread and correlations are those of the features, the clusters are gone, and the seed decides.",
    usual="Keeping only the spread of each column. Correlations alone can make a cloud look long or curved on a map.",
    facts=twin_facts,
    tolerance=0.1,
)

EXERCISES = (recall_exercise, twin_exercise)

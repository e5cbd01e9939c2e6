"""Exercises of notebook 00: what did learning add, and which picture is nearest?"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from sslkit.exercises._facts import Probe, randn
from sslkit.exercises._framework import Exercise, Zoo

# 00a: the gain over the best baseline -----------------------------------------------------------------------


def gain(score: float, baselines: dict[str, float]) -> float:
    """How far a score is above the best of its baselines."""
    return score - max(baselines.values())


weak = Zoo()
weak.add(
    "the score minus chance",
    "An untrained network is already above chance. Which baseline is the hardest to beat?",
    lambda score, baselines: score - baselines["chance"],
)
weak.add(
    "the score minus the mean of the baselines",
    "Weak baselines pull the mean down. A result must beat every one of them.",
    lambda score, baselines: score - sum(baselines.values()) / len(baselines),
)
weak.add(
    "the score minus the random encoder",
    "Fair, but not enough: raw pixels or PCA may be better than a random encoder.",
    lambda score, baselines: score - baselines["random encoder"],
)
weak.add(
    "the score minus raw pixels",
    "Raw pixels are not always the best baseline. Look at all of them.",
    lambda score, baselines: score - baselines["raw pixels"],
)
weak.add(
    "the score minus the weakest baseline",
    "You took the minimum. The honest comparison is the hardest one.",
    lambda score, baselines: score - min(baselines.values()),
)
weak.add(
    "the gain with its sign reversed",
    "A result above its baselines must give a positive number.",
    lambda score, baselines: max(baselines.values()) - score,
)
weak.add(
    "the gain without its sign",
    "A result below its best baseline must stay visible: it is a negative number.",
    lambda score, baselines: abs(score - max(baselines.values())),
)
weak.add(
    "the gain cut off at zero",
    "A result below its best baseline must stay visible: it is a negative number.",
    lambda score, baselines: max(score - max(baselines.values()), 0.0),
)
weak.add(
    "a ratio instead of a difference",
    "Accuracies are shares: say how many points were gained, not how many times.",
    lambda score, baselines: score / max(baselines.values()),
)
weak.add(
    "the gain in points of a hundred",
    "Right, but a hundred times too large: accuracies are shares here, from 0 to 1.",
    lambda score, baselines: 100 * (score - max(baselines.values())),
)
weak.add(
    "the gain relative to the baseline",
    "Do not divide by the baseline: the same gain would look large on a weak one.",
    lambda score, baselines: score / max(baselines.values()) - 1,
)


def _scores(score: float, chance: float, raw: float, pca: float, random: float) -> tuple[tuple, dict]:
    return (score, {"chance": chance, "raw pixels": raw, "PCA": pca, "random encoder": random}), {}


gain_exercise = Exercise(
    id="00a",
    prompt="Write `gain(score, baselines)`: how far the score is above its best baseline (0.74 and 0.47 give 0.27).",
    stub='''\
def gain(score, baselines):
    """How far `score` is above the best of the baselines, a dictionary of name -> accuracy; negative if it is below."""
    return None  # your line here
''',
    reference=gain,
    probes=(
        Probe("a score of 0.74 above all baselines", lambda: _scores(0.74, 0.125, 0.44, 0.47, 0.33)),
        Probe("a score of 0.74 below raw pixels (0.82)", lambda: _scores(0.74, 0.1, 0.82, 0.79, 0.7)),
        Probe("a random encoder that is the best baseline", lambda: _scores(0.6, 0.25, 0.31, 0.28, 0.42)),
        Probe("chance that is the best baseline", lambda: _scores(0.45, 0.5, 0.41, 0.44, 0.48)),
        Probe("raw pixels that are below chance", lambda: _scores(0.35, 0.25, 0.22, 0.28, 0.26)),
    ),
    mistakes=weak,
    verified="The gain is over the best baseline, and it is negative when the result is below it.",
    usual=(
        "Subtracting chance only. An untrained encoder is already well above chance, so the gain looks far too large."
    ),
    minutes=5,
)

# 00b: the nearest neighbour ---------------------------------------------------------------------------------


def nearest(features: Tensor) -> Tensor:
    """The other row with the largest cosine: (N, D) -> (N,)."""
    directions = F.normalize(features, dim=1)  # (N, D)
    return (directions @ directions.T).fill_diagonal_(-torch.inf).argmax(dim=1)  # (N,)


def _cosines(features: Tensor) -> Tensor:
    directions = F.normalize(features, dim=1)
    return directions @ directions.T


lost = Zoo()
lost.add(
    "the picture itself",
    "Every picture is most similar to itself. Take it out of the competition.",
    lambda features: _cosines(features).argmax(dim=1),
)
lost.add(
    "the nearest by dot product",
    "Long feature vectors win every comparison. Give all of them length 1 first.",
    lambda features: (features @ features.T).fill_diagonal_(-torch.inf).argmax(dim=1),
)
lost.add(
    "the nearest by Euclidean distance",
    "Cosine looks at directions only: lengths must not matter.",
    lambda features: torch.cdist(features, features).fill_diagonal_(torch.inf).argmin(dim=1),
)
lost.add(
    "the least similar picture",
    "A large cosine means similar: you want the maximum.",
    lambda features: _cosines(features).fill_diagonal_(torch.inf).argmin(dim=1),
)
lost.add(
    "features normalised over the wrong dimension",
    "Each row is one picture: sum the squares along a row (dim=1).",
    lambda features: (
        (F.normalize(features, dim=0) @ F.normalize(features, dim=0).T).fill_diagonal_(-torch.inf).argmax(dim=1)
    ),
)
lost.add(
    "a diagonal set to 0",
    "A cosine can be negative, and then 0 wins. Use a value below every cosine.",
    lambda features: _cosines(features).fill_diagonal_(0.0).argmax(dim=1),
)
lost.add(
    "the largest cosine without its sign",
    "A cosine of -1 means opposite, not similar.",
    lambda features: _cosines(features).abs().fill_diagonal_(-torch.inf).argmax(dim=1),
)
lost.add(
    "the similarity instead of the picture",
    "Return which picture it is (argmax), not how similar it is (max).",
    lambda features: _cosines(features).fill_diagonal_(-torch.inf).max(dim=1).values,
)
lost.add(
    "the second nearest",
    "One exclusion too many: the picture itself was already out when you took the second.",
    lambda features: (
        _cosines(features).fill_diagonal_(-torch.inf).topk(2, dim=1).indices[:, 1]
        if len(features) > 2
        else torch.arange(len(features))
    ),
)


@lost.keep(
    "the right answer, with the caller's features changed",
    "`/=` writes into the tensor that you were given. Make a new one.",
)
def _changes_features(features: Tensor) -> Tensor:
    features /= features.norm(dim=1, keepdim=True)
    return nearest(features)


def _on_circle(*degrees: float) -> Tensor:
    angle = torch.deg2rad(torch.tensor(degrees))
    return torch.stack([angle.cos(), angle.sin()], dim=1)


nearest_exercise = Exercise(
    id="00b",
    prompt="Write `nearest(features)`: for each picture the index of the most similar other picture, by cosine.",
    stub='''\
def nearest(features):
    """For each row of `features` (N, D), the index (N,) of the other row with the largest cosine similarity."""
    return None  # your lines here
''',
    reference=nearest,
    probes=(
        Probe(
            "12 features of very different lengths",
            lambda: ((randn(1, 12, 5) * torch.logspace(-1, 1, 12)[:, None],), {}),
        ),
        Probe("30 features in 3 dimensions", lambda: ((randn(2, 30, 3) + 0.3,), {})),
        Probe("3 features of which none are similar", lambda: ((_on_circle(0.0, 110.0, 240.0),), {})),
        Probe("2 features", lambda: ((_on_circle(10.0, 150.0),), {})),
    ),
    mistakes=lost,
    verified="Lengths do not matter, no picture finds itself, and negative cosines are handled.",
    usual="Forgetting that each picture is its own nearest neighbour, so that every answer is the picture itself.",
    minutes=10,
    outputs=("index",),
)

EXERCISES = (gain_exercise, nearest_exercise)

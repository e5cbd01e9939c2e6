"""Exercises of notebook 12: a split that divides no group, and the pairs of pictures that are nearly the same.

Both guard the exam of somebody's own pictures. Their mistakes let copies stand on both sides, or find copies where none are.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from sslkit.exercises._facts import Probe, WrongReturn, randn
from sslkit.exercises._framework import Exercise, Zoo

# 12a: whole groups on one side ------------------------------------------------------------------------------

SEEDS = range(100)  # so many that no verdict depends on luck


def split_by_group(groups: Tensor, generator: torch.Generator, share: float) -> Tensor:
    """True for test pictures: whole groups in random order, until they hold the share. (N,), generator, () -> bool (N,)."""
    return _fill(groups, _order(groups, generator), share)


def _order(groups: Tensor, generator: torch.Generator | None) -> Tensor:
    """The groups' ids, shuffled."""
    ids = groups.unique()
    return ids[torch.randperm(len(ids), generator=generator)]


def _fill(groups: Tensor, order: Tensor, share: float) -> Tensor:
    """Takes groups one after another, as long as the test has fewer pictures than its share."""
    test = torch.zeros(len(groups), dtype=torch.bool)
    for group in order:
        if test.sum() >= share * len(groups):
            break
        test |= groups == group
    return test


def _next_group(groups: Tensor, test: Tensor, order: Tensor) -> Tensor:
    """One more group than needed."""
    left = [group for group in order if not test[groups == group].any()]
    return test | (groups == left[0]) if left else test


def _split_facts(function: Callable, probe: Probe) -> dict:
    """What holds for every draw. Each student draws in an own way, so it is asked of many seeds, never of one."""
    (groups, share), _ = probe.make()
    before, sizes, found = groups.clone(), groups.unique(return_counts=True), []
    for seed in SEEDS:
        if (test := _mask(function(groups, torch.Generator().manual_seed(seed), share), len(groups))) is None:
            return {"test pictures": None}
        found.append(test)
    again = [_mask(function(groups, torch.Generator().manual_seed(s), share), len(groups)) for s in SEEDS[:20]]
    wanted, counts = share * len(groups), [int(test.sum()) for test in found]
    largest = [max((int(n) for i, n in zip(*sizes) if test[groups == i].any()), default=0) for test in found]
    ever = torch.stack(found).any(0)
    firsts = _fill(groups, groups.unique(), share)
    facts = {
        "divided groups": any(len(groups[t].unique()) + len(groups[~t].unique()) > len(sizes[0]) for t in found),
        "an empty test split": min(counts) == 0,
        "an empty training split": max(counts) == len(groups),
        "always enough test pictures": all(n >= wanted for n in counts),
        "never a group more than needed": all(n - most < wanted for n, most in zip(counts, largest)),
        "the same split for the same seed": all(torch.equal(a, b) for a, b in zip(again, found)),
        "other splits for other seeds": any(not torch.equal(found[0], test) for test in found),
        "every group is sometimes in the test": bool(ever.all()),
        "always the first groups": all(torch.equal(test, firsts) for test in found),
        "inputs left unchanged": torch.equal(groups, before),
    }
    if len(sizes[0]) == len(groups):  # each alone: then the number is known
        facts |= {"fewest test pictures": float(min(counts)), "most test pictures": float(max(counts))}
    return facts


def _mask(returned: object, n: int) -> Tensor | None:
    """A bool for each picture; a list of them, or a NumPy array, is welcome."""
    if returned is None:
        return None
    try:
        mask = torch.as_tensor(returned)
    except (TypeError, ValueError, RuntimeError):
        raise WrongReturn(f"a {type(returned).__name__} where a bool for each picture is expected") from None
    if mask.shape != (n,) or mask.dtype != torch.bool:
        kind = f"{str(mask.dtype).removeprefix('torch.')} of shape {tuple(mask.shape)}"
        raise WrongReturn(f"{kind} where bool of shape ({n},) is expected, True for test pictures")
    return mask


apart = Zoo()
apart.add(
    "a split of pictures, not of groups",
    "Pictures of one group stand on both sides. Shuffle the groups, and give each of them to one side as a whole.",
    lambda groups, generator, share: _fill(
        torch.arange(len(groups)), torch.randperm(len(groups), generator=generator), share
    ),
)
apart.add(
    "a split of pictures, not of groups, rounded down",
    "Pictures of one group stand on both sides. Shuffle the groups, and give each of them to one side as a whole.",
    lambda groups, generator, share: (
        torch.randperm(len(groups), generator=generator).argsort() < int(share * len(groups))
    ),
)
apart.add(
    "a coin for each picture",
    "Pictures of one group stand on both sides. Shuffle the groups, and take them until there are enough pictures.",
    lambda groups, generator, share: torch.rand(len(groups), generator=generator) < share,
)
apart.add(
    "a split in which a group ends where another one begins",
    "A group's pictures need not lie side by side: look for equal ids everywhere, with unique and not unique_consecutive.",
    lambda groups, generator, share: split_by_group(
        groups.unique_consecutive(return_inverse=True)[1], generator, share
    ),
)
apart.add(
    "a split that counts groups where it should count pictures",
    "Groups differ in size, so a share of the groups is not a share of the pictures. Count the pictures as you go.",
    lambda groups, generator, share: torch.isin(
        groups, _order(groups, generator)[: max(1, round(share * len(groups.unique())))]
    ),
)
apart.add(
    "a share of the groups, rounded down",
    "With few groups this is none at all. Take groups until the test has enough pictures.",
    lambda groups, generator, share: torch.isin(groups, _order(groups, generator)[: int(share * len(groups.unique()))]),
)
apart.add(
    "a coin for each group",
    "The size of the test is then left to luck. Shuffle the groups, and take them until there are enough pictures.",
    lambda groups, generator, share: (torch.rand(int(groups.max()) + 1, generator=generator) < share)[groups],
)


@apart.keep(
    "a split that stops before the share is reached",
    "If the next group is large, far too little is left, perhaps nothing. Take it, and stop after it.",
)
def _at_most(groups, generator, share):
    test = torch.zeros(len(groups), dtype=torch.bool)
    for group in _order(groups, generator):
        if (test | (groups == group)).sum() > share * len(groups):
            break
        test |= groups == group
    return test


@apart.keep(
    "a split with one group too many",
    "Stop as soon as the test has its share: compare with >=, and look before you take another group.",
)
def _one_more(groups, generator, share):
    order = _order(groups, generator)
    return _next_group(groups, _fill(groups, order, share), order)


apart.add(
    "the training split",
    "True is for test pictures. What you gave is the other side.",
    lambda groups, generator, share: ~split_by_group(groups, generator, share),
)
apart.add(
    "a split that nobody can draw again",
    "Give the generator to randperm. Otherwise the split is another one each time, and so is every number after it.",
    lambda groups, generator, share: _fill(groups, _order(groups, None), share),
)
apart.add(
    "the same split for every seed",
    "Use the generator that you are given. One that you make inside always draws the same.",
    lambda groups, generator, share: split_by_group(groups, torch.Generator().manual_seed(3), share),
)
apart.add(
    "the first groups, without a draw",
    "Folders are often sorted by day or by camera, so the first groups are not like the others. Shuffle them.",
    lambda groups, generator, share: _fill(groups, groups.unique(), share),
)
apart.add(
    "a split that takes the place of a group for its id",
    "Ids may have gaps: randperm gives places. Take groups.unique()[place].",
    lambda groups, generator, share: _fill(groups, torch.randperm(len(groups.unique()), generator=generator), share),
)


def _groups(ids: list[int], share: float) -> Callable[[], tuple]:
    return lambda: ((torch.tensor(ids), share), {})


split_exercise = Exercise(
    id="12a",
    prompt=(
        "Write `split_by_group(groups, generator, share)`: which pictures are for the test. Whole groups, in random order, "
        "until the test has at least that share of the *pictures*."
    ),
    stub='''\
def split_by_group(groups, generator, share):
    """groups: (N,) whole numbers, the group of each picture; there may be gaps between them. Shuffle the groups
    with the generator, and take one after another into the test, as long as the test has fewer than share * N
    pictures. A tensor (N,) of bools: True for test pictures."""
    return None  # your lines here
''',
    reference=split_by_group,
    probes=(
        Probe("9 pictures, each alone", _groups([0, 1, 2, 3, 4, 5, 6, 7, 8], 0.4)),
        Probe(
            "20 pictures in groups of 1 to 8, side by side", _groups([0] * 8 + [1] + [2] * 5 + [3, 4, 5] + [6] * 3, 0.3)
        ),
        Probe("12 pictures in mixed order, ids with gaps", _groups([7, 40, 7, 9, 40, 12, 9, 12, 7, 90, 40, 55], 0.25)),
        Probe("10 pictures in 2 groups", _groups([0, 1, 1, 0, 1, 1, 1, 0, 1, 1], 0.3)),
    ),
    mistakes=apart,
    verified="No group is divided, the test has its share of the pictures and no group more, and a seed draws it again.",
    usual="Shuffling pictures and cutting: copies of a test picture stay in the training split, and nobody sees it.",
    minutes=8,
    facts=_split_facts,
)

# 12b: what is nearly the same? ------------------------------------------------------------------------------


def near_duplicates(z: Tensor, threshold: float) -> Tensor:
    """Pairs i < j whose cosine is at least the threshold, in order. (N, D), () -> int64 (P, 2)."""
    return _pairs(_cosines(z) >= threshold)


def _cosines(z: Tensor) -> Tensor:
    z = F.normalize(z, dim=1)
    return z @ z.T


def _pairs(close: Tensor) -> Tensor:
    return close.triu(1).nonzero()


def _pair_facts(function: Callable, probe: Probe) -> dict:
    """The pairs as rows, in any order of the rows; a list of pairs is welcome."""
    args, _ = probe.make()
    before, _ = probe.make()
    returned = function(*args)
    if returned is None:
        return {"pairs": None}
    try:
        rows = torch.as_tensor(returned)
        rows = rows.reshape(-1, 2) if rows.numel() == 0 else rows
    except (TypeError, ValueError, RuntimeError):
        raise WrongReturn(f"a {type(returned).__name__} where pairs of numbers are expected") from None
    if rows.ndim != 2 or rows.shape[1] != 2:
        raise WrongReturn(f"a shape {tuple(rows.shape)} where pairs, (P, 2), are expected")
    pairs = torch.tensor(sorted(map(tuple, rows.tolist())), dtype=torch.long).reshape(-1, 2)
    return {"number of pairs": len(pairs), "pairs": pairs, "inputs left unchanged": torch.equal(args[0], before[0])}


def _best_only(z: Tensor, threshold: float) -> Tensor:
    """Each picture with its nearest one, if that is near enough."""
    best, near = _cosines(z).fill_diagonal_(-torch.inf).max(1)
    rows = torch.stack([torch.arange(len(z)), near], 1)[best >= threshold].sort(1).values
    return rows.unique(dim=0)


twins = Zoo()
twins.add(
    "the pairs with each picture paired with itself",
    "Every picture has the cosine 1 with itself. Leave out the diagonal.",
    lambda z, threshold: (_cosines(z) >= threshold).triu().nonzero(),
)
twins.add(
    "each pair twice",
    "(i, j) and (j, i) are one pair: keep what is above the diagonal.",
    lambda z, threshold: (_cosines(z) >= threshold).fill_diagonal_(False).nonzero(),
)
twins.add(
    "the whole matrix: each pair twice, and each picture with itself",
    "Keep only what is above the diagonal, i < j.",
    lambda z, threshold: (_cosines(z) >= threshold).nonzero(),
)
twins.add(
    "the pairs with the larger number first",
    "Give i < j: the part above the diagonal, torch.triu.",
    lambda z, threshold: (_cosines(z) >= threshold).tril(-1).nonzero(),
)
twins.add(
    "pairs by scalar product, without the lengths",
    "Make every row one long first: otherwise long features are near to everything.",
    lambda z, threshold: _pairs(z @ z.T >= threshold),
)
twins.add(
    "pairs whose columns were normalised",
    "A picture is a row: normalise over the dimensions of each, dim=1.",
    lambda z, threshold: _pairs(F.normalize(z, dim=0) @ F.normalize(z, dim=0).T >= threshold),
)
twins.add(
    "pairs of which one side was normalised",
    "A cosine is divided by both lengths.",
    lambda z, threshold: _pairs(F.normalize(z, dim=1) @ z.T >= threshold),
)
twins.add(
    "pairs by Euclidean distance",
    "Near is a *large* cosine; a distance would have to be small, and it depends on the lengths.",
    lambda z, threshold: _pairs(torch.cdist(z, z) <= threshold),
)
twins.add(
    "pairs by Euclidean distance of normalised rows",
    "These are the right rows, but the threshold is one of the cosine, where near is large.",
    lambda z, threshold: _pairs(torch.cdist(F.normalize(z, dim=1), F.normalize(z, dim=1)) <= threshold),
)
twins.add(
    "pairs whose cosine distance is below the threshold",
    "The threshold is one of the cosine, not of 1 - cosine.",
    lambda z, threshold: _pairs(1 - _cosines(z) <= threshold),
)
twins.add(
    "the pairs that are *not* near",
    "Near is a cosine of at least the threshold: turn the comparison round.",
    lambda z, threshold: _pairs(_cosines(z) < threshold),
)
twins.add(
    "pairs by the size of the cosine, without its sign",
    "A cosine of -1 is the opposite direction, not a copy. Keep the sign.",
    lambda z, threshold: _pairs(_cosines(z).abs() >= threshold),
)
twins.add(
    "pairs by the correlation of their features",
    "Do not subtract each picture's own mean: that is a correlation, and not the cosine.",
    lambda z, threshold: _pairs(_cosines(z - z.mean(1, keepdim=True)) >= threshold),
)
twins.add(
    "pairs by the squared cosine",
    "Without the square, and with the sign.",
    lambda z, threshold: _pairs(_cosines(z).square() >= threshold),
)
twins.add(
    "pairs whose cosine is above the threshold",
    "At least the threshold: compare with >=.",
    lambda z, threshold: _pairs(_cosines(z) > threshold),
)
twins.add(
    "the nearest one of each picture only",
    "Of a burst of three there are three pairs: compare all with all.",
    _best_only,
)
twins.add(
    "pairs of pictures side by side only",
    "Copies may lie anywhere in the folder: compare all with all.",
    lambda z, threshold: _pairs((_cosines(z) >= threshold) & torch.eye(len(z)).roll(1, 1).bool()),
)


def _features(seed: int, n: int, threshold: float, *, dim: int = 6) -> Callable[[], tuple]:
    """Rows of different lengths. Some are copies with a little noise, and one pair is exactly opposite."""

    def make():
        z = randn(seed, n, dim)
        noise = 0.15 * randn(seed + 1, n, dim)
        z[3], z[n - 1] = z[0] + noise[0], z[0] + noise[1]  # a burst of three
        z[n - 2], z[5] = z[1] + noise[2], -1.3 * z[4]
        return (z * (0.3 + 2 * randn(seed + 2, n, 1).abs()), threshold), {}

    return make


duplicates_exercise = Exercise(
    id="12b",
    prompt=(
        "Write `near_duplicates(z, threshold)`: all pairs of pictures whose features have a cosine of at least "
        "`threshold`."
    ),
    stub='''\
def near_duplicates(z, threshold):
    """z: (N, D), the features of N pictures, of any lengths. All pairs of different pictures whose cosine is at
    least the threshold, each pair once, the smaller number first: a tensor (P, 2), or a list of pairs."""
    return None  # your lines here
''',
    reference=near_duplicates,
    probes=(
        Probe("10 pictures in 6 dimensions, threshold 0.8", _features(1, 10, 0.8)),
        Probe("12 pictures in 6 dimensions, threshold 0.5", _features(21, 12, 0.5)),
        Probe("8 pictures, threshold 0.999: no pair at all", _features(31, 8, 0.9995)),
        Probe(
            "4 pictures along two axes, threshold 0",
            lambda: ((torch.tensor([[2.0, 0.0], [0.0, 3.0], [-1.0, 0.0], [0.5, 0.0]]), 0.0), {}),
        ),
    ),
    mistakes=twins,
    verified="All are compared with all by the cosine, each pair once, nobody with itself.",
    usual="Forgetting the diagonal: every picture is its own perfect copy, and the list begins with N false alarms.",
    minutes=8,
    facts=_pair_facts,
)

EXERCISES = (split_exercise, duplicates_exercise)

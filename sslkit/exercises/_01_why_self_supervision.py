"""Exercises of notebook 01: the collector's copies and pseudo-labels, and a fair choice of a few labels."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from sslkit.exercises._facts import Probe, randn
from sslkit.exercises._framework import Exercise, Zoo

# 01a: the collector -----------------------------------------------------------------------------------------


def collect(images: Tensor, *, n_copies: int = 2) -> tuple[Tensor, Tensor]:
    """All images, then all again, and which image each copy is: (B, C, H, W) -> (nB, C, H, W), (nB,)."""
    return torch.cat([images] * n_copies), torch.arange(len(images)).repeat(n_copies)


def _stacked(images: Tensor, n_copies: int) -> Tensor:
    return images.repeat(n_copies, 1, 1, 1)  # a b c a b c


def _interleaved(images: Tensor, n_copies: int) -> Tensor:
    return images.repeat_interleave(n_copies, dim=0)  # a a b b c c


mixed = Zoo()
mixed.add(
    "stacked copies with interleaved pseudo-labels",
    "The copies come as a b c a b c, the labels as 0 0 1 1 2 2: they no longer name the same image.",
    lambda images, *, n_copies=2: (_stacked(images, n_copies), torch.arange(len(images)).repeat_interleave(n_copies)),
)
mixed.add(
    "interleaved copies with stacked pseudo-labels",
    "The copies come as a a b b c c, the labels as 0 1 2 0 1 2: they no longer name the same image.",
    lambda images, *, n_copies=2: (_interleaved(images, n_copies), torch.arange(len(images)).repeat(n_copies)),
)
mixed.add(
    "copies and pseudo-labels that are both interleaved",
    "They fit each other, but the task asks for a b c a b c: first every image once, then every image again.",
    lambda images, *, n_copies=2: (
        _interleaved(images, n_copies),
        torch.arange(len(images)).repeat_interleave(n_copies),
    ),
)
mixed.add(
    "a different pseudo-label for every copy",
    "Two copies of one image must share a label: it says which image they came from.",
    lambda images, *, n_copies=2: (_stacked(images, n_copies), torch.arange(len(images) * n_copies)),
)
mixed.add(
    "the number of the copy as its pseudo-label",
    "The label says which *image* it is, not whether it is the first or second copy.",
    lambda images, *, n_copies=2: (_stacked(images, n_copies), torch.arange(n_copies).repeat_interleave(len(images))),
)
mixed.add(
    "pseudo-labels that are all zero",
    "With one label for all, there is nothing to tell apart.",
    lambda images, *, n_copies=2: (_stacked(images, n_copies), torch.zeros(len(images) * n_copies, dtype=torch.long)),
)
mixed.add(
    "pseudo-labels for the first copies only",
    "Every copy needs a label: there are n_copies times as many.",
    lambda images, *, n_copies=2: (_stacked(images, n_copies), torch.arange(len(images))),
)
mixed.add(
    "pseudo-labels counted from 1",
    "Indices start at 0: label 0 is image 0.",
    lambda images, *, n_copies=2: (_stacked(images, n_copies), torch.arange(len(images)).repeat(n_copies) + 1),
)
mixed.add(
    "the right pseudo-labels as decimal numbers",
    "A class index must be a whole number: torch.arange(n) is, torch.arange(float(n)) is not.",
    lambda images, *, n_copies=2: (_stacked(images, n_copies), torch.arange(len(images)).repeat(n_copies).float()),
)
mixed.add(
    "one-hot pseudo-labels",
    "The label is the index of the image itself: one number for each copy.",
    lambda images, *, n_copies=2: (
        _stacked(images, n_copies),
        torch.eye(len(images), dtype=torch.long).repeat(n_copies, 1),
    ),
)
mixed.add(
    "two copies whatever n_copies is",
    "The number of copies is an argument.",
    lambda images, *, n_copies=2: (_stacked(images, 2), torch.arange(len(images)).repeat(2)),
)

collect_exercise = Exercise(
    id="01a",
    prompt=(
        "Write `collect(images, n_copies=2)`: the copies of a batch, all images once and then again, and "
        "each copy's pseudo-label."
    ),
    stub='''\
def collect(images, *, n_copies=2):
    """The article's collector without the augmentation: copies (n_copies * B, C, H, W) of `images` (B, C, H, W),
    first every image once, then every image again; and pseudo-labels (n_copies * B,): the index of each one's image."""
    return None  # your lines here: copies, pseudo_labels
''',
    reference=collect,
    probes=(
        Probe("3 images, 2 copies", lambda: ((randn(1, 3, 1, 2, 2),), {})),
        Probe("4 images, 3 copies", lambda: ((randn(2, 4, 3, 2, 2),), {"n_copies": 3})),
        Probe("1 image, 2 copies", lambda: ((randn(3, 1, 3, 2, 2),), {"n_copies": 2})),
    ),
    mistakes=mixed,
    verified="Copies and pseudo-labels are in the same order for any number of images and copies.",
    usual="repeat against repeat_interleave: the copies are in one order and the labels in the other.",
    outputs=("copies", "pseudo-labels"),
    dtype=True,
)

# 01b: a few labels, chosen fairly ---------------------------------------------------------------------------


def choose_labelled(labels: Tensor, split: Tensor, *, per_class: int, generator: torch.Generator) -> Tensor:
    """Indices of `per_class` training pictures of each class, at random: (N,), (N,) -> (classes * per_class,)."""
    return _per_class(labels, split == 0, per_class, generator)


def _some(pool: Tensor, n: int, generator: torch.Generator | None) -> Tensor:
    return pool[torch.randperm(len(pool), generator=generator)[:n]]


def _per_class(labels: Tensor, allowed: Tensor, n: int, generator: torch.Generator | None) -> Tensor:
    return torch.cat([_some(torch.where(allowed & (labels == c))[0], n, generator) for c in labels.unique()])


unfair = Zoo()
unfair.add(
    "that number of pictures in all, not of each class",
    "With 10 classes and 1 label per class, 10 pictures are chosen.",
    lambda labels, split, *, per_class, generator: _some(torch.where(split == 0)[0], per_class, generator),
)
unfair.add(
    "the right number in all, but not the same number of each class",
    "Choose inside each class, one class after the other.",
    lambda labels, split, *, per_class, generator: _some(
        torch.where(split == 0)[0], per_class * len(labels.unique()), generator
    ),
)
unfair.add(
    "a choice from all splits",
    "Test pictures among the labelled ones: the test is no longer a test. Choose where split == 0.",
    lambda labels, split, *, per_class, generator: _per_class(labels, split >= 0, per_class, generator),
)
unfair.add(
    "a choice from training and validation pictures",
    "split is 0 for train, 1 for val, 2 for test: only 0 may be chosen.",
    lambda labels, split, *, per_class, generator: _per_class(labels, split != 2, per_class, generator),
)
unfair.add(
    "a choice that ignores the seed",
    "Always the same pictures: shuffle with the generator that is given, do not take the first ones.",
    lambda labels, split, *, per_class, generator: torch.cat(
        [torch.where((split == 0) & (labels == c))[0][:per_class] for c in labels.unique()]
    ),
)
unfair.add(
    "a choice without the generator",
    "The same seed must choose the same pictures: pass generator=generator to the random function.",
    lambda labels, split, *, per_class, generator: _per_class(labels, split == 0, per_class, None),
)


@unfair.keep(
    "a choice with repetition",
    "One picture labelled twice is one label, not two. Use a permutation instead of random integers.",
)
def _with_repetition(labels: Tensor, split: Tensor, *, per_class: int, generator: torch.Generator) -> Tensor:
    pools = [torch.where((split == 0) & (labels == c))[0] for c in labels.unique()]
    return torch.cat([pool[torch.randint(len(pool), (per_class,), generator=generator)] for pool in pools])


@unfair.keep(
    "positions inside the training part",
    "You counted in labels[split == 0]; turn these positions back into positions in the data set.",
)
def _positions_in_train(labels: Tensor, split: Tensor, *, per_class: int, generator: torch.Generator) -> Tensor:
    train = labels[split == 0]
    return _per_class(train, train >= 0, per_class, generator)


@unfair.keep(
    "a mask instead of indices",
    "Return the positions of the chosen pictures: torch.where(mask)[0] turns a mask into them.",
)
def _mask(labels: Tensor, split: Tensor, *, per_class: int, generator: torch.Generator) -> Tensor:
    mask = torch.zeros(len(labels), dtype=torch.bool)
    mask[choose_labelled(labels, split, per_class=per_class, generator=generator)] = True
    return mask


def _toy_labels(seed: int) -> tuple[Tensor, Tensor]:
    """Four classes with 8, 9, 10 and 11 training, 3 validation and 4 test pictures, in a random order."""
    labels = torch.cat([torch.full((n + 7,), c) for c, n in enumerate((8, 9, 10, 11))])
    split = torch.cat([torch.tensor([0] * n + [1] * 3 + [2] * 4) for n in (8, 9, 10, 11)])
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    return labels[order], split[order]


def choice_facts(choose: Callable, probe: Probe) -> dict:
    """What is true of forty draws together; the draws themselves may be made in any way."""
    (labels, split), kwargs = probe.make()
    draws = []
    for seed in (*range(40), 0):
        drawn = choose(labels.clone(), split.clone(), generator=torch.Generator().manual_seed(seed), **kwargs)
        if drawn is None:
            return {"value": None}
        draws.append(torch.as_tensor(drawn).long())
    every = torch.cat(draws[:-1])
    counts = [labels[drawn].bincount(minlength=4) for drawn in draws]
    return {
        "pictures chosen": len(draws[0]),
        "the same number of each class": all(bool((count == count[0]).all()) for count in counts),
        "some chosen twice": any(len(drawn.unique()) < len(drawn) for drawn in draws),
        "validation pictures among them": bool((split[every] == 1).any()),
        "test pictures among them": bool((split[every] == 2).any()),
        "the same seed gives the same choice": torch.equal(draws[0].sort().values, draws[-1].sort().values),
        "other seeds give other choices": any(not torch.equal(draws[0].sort().values, d.sort().values) for d in draws),
    }


choose_exercise = Exercise(
    id="01b",
    prompt=(
        "Write `choose_labelled(...)`: the indices of `per_class` training pictures of each class, at "
        "random, without touching the test."
    ),
    stub='''\
def choose_labelled(labels, split, *, per_class, generator):
    """Indices of `per_class` pictures of each class, chosen at random with `generator` among the training pictures.

    labels (N,): the class of each picture. split (N,): 0 train, 1 validation, 2 test. Any order of the indices is fine.
    """
    return None  # your lines here
''',
    reference=choose_labelled,
    probes=(
        Probe("5 of each of 4 classes", lambda: (_toy_labels(1), {"per_class": 5})),
        Probe("1 of each of 4 classes", lambda: (_toy_labels(2), {"per_class": 1})),
    ),
    mistakes=unfair,
    verified="In 40 draws: as many of each class, none twice, training pictures only, and the seed decides.",
    usual=(
        "Choosing n pictures in all: with few labels, some classes then get none. "
        "Or choosing from all splits, which leaks the test."
    ),
    minutes=10,
    facts=choice_facts,
)

EXERCISES = (collect_exercise, choose_exercise)

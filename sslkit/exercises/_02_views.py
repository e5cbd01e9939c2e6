"""Exercises of notebook 02: a crop as a matrix, and draws that differ for every picture."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from sslkit.exercises._facts import Probe
from sslkit.exercises._framework import Exercise, Zoo

# 02a: crop, resize and flip as one matrix -------------------------------------------------------------------


def crop_matrix(size: int, top: int, height: int, out: int, *, flip: bool = False) -> Tensor:
    """Crop, resize with antialiasing and flip one side of a picture: a matrix (out, size)."""
    return _matrix(size, top, height, out, flip)


def _matrix(size, top, height, out, flip, *, half=0.5, antialias=True, inside=True, rows_sum_to_one=True) -> Tensor:
    scale = height / out
    centre = top + (torch.arange(out) + half) * scale  # (out,) where each new pixel looks, in old pixels
    middle = torch.arange(size) + half  # (size,) the middle of each old pixel
    width = max(1.0, scale) if antialias else 1.0
    weights = (1 - (centre[:, None] - middle).abs() / width).clamp(min=0)  # (out, size) a triangle around each centre
    if inside:
        weights = weights * ((middle >= top) & (middle < top + height))
    if rows_sum_to_one:
        weights = weights / weights.sum(dim=1, keepdim=True)
    return weights.flip(0) if flip else weights


crooked = Zoo()
crooked.add(
    "the transposed matrix",
    "The matrix stands on the left of the picture: one row for each new pixel, one column for each old one.",
    lambda size, top, height, out, *, flip=False: crop_matrix(size, top, height, out, flip=flip).T,
)
crooked.add(
    "a crop that is off by half a pixel",
    "Pixel j covers j to j + 1, so its middle is at j + 0.5. Do so for old and new pixels.",
    lambda size, top, height, out, *, flip=False: _matrix(size, top, height, out, flip, half=0.0),
)
crooked.add(
    "a matrix whose rows do not sum to 1",
    "Divide each row by its sum, else the picture gets darker or brighter.",
    lambda size, top, height, out, *, flip=False: _matrix(size, top, height, out, flip, rows_sum_to_one=False),
)
crooked.add(
    "a crop that also looks at pixels outside of its box",
    "Set the weights of pixels above `top` and below `top + height` to 0.",
    lambda size, top, height, out, *, flip=False: _matrix(size, top, height, out, flip, inside=False),
)
crooked.add(
    "a resize without antialiasing",
    "When the crop shrinks, each new pixel must average over more old ones: a wider triangle.",
    lambda size, top, height, out, *, flip=False: _matrix(size, top, height, out, flip, antialias=False),
)
crooked.add(
    "a crop that always starts at pixel 0",
    "`top` is not used: the box starts there.",
    lambda size, top, height, out, *, flip=False: crop_matrix(size, 0, height, out, flip=flip),
)
crooked.add(
    "a crop that always takes the whole picture",
    "Scale by the height of the box, not by the size of the picture.",
    lambda size, top, height, out, *, flip=False: crop_matrix(size, 0, size, out, flip=flip),
)
crooked.add(
    "a flip of the columns",
    "That turns the picture round before the crop, so the box moves to the other side. Reverse the rows.",
    lambda size, top, height, out, *, flip=False: crop_matrix(size, top, height, out).flip(1 if flip else ()),
)
crooked.add(
    "a crop that never flips",
    "With flip=True, the order of the rows is reversed.",
    lambda size, top, height, out, *, flip=False: crop_matrix(size, top, height, out),
)


@crooked.keep(
    "a matrix whose columns sum to 1", "Each new pixel is an average of old ones: it is the rows that sum to 1."
)
def _columns(size: int, top: int, height: int, out: int, *, flip: bool = False) -> Tensor:
    weights = _matrix(size, top, height, out, flip, rows_sum_to_one=False)
    return weights / weights.sum(dim=0).clamp(min=1e-8)


@crooked.keep(
    "the nearest pixel instead of a weighted average",
    "Neighbouring pixels share the weight: 1 at the centre, falling in a straight line.",
)
def _nearest_pixel(size: int, top: int, height: int, out: int, *, flip: bool = False) -> Tensor:
    weights = torch.eye(size)[top + ((torch.arange(out) + 0.5) * height / out).long()]
    return weights.flip(0) if flip else weights


def _box(*args: int, **kwargs: bool) -> Callable[[], tuple]:
    return lambda: (args, kwargs)


crop_exercise = Exercise(
    id="02a",
    prompt=(
        "Write `crop_matrix(...)`: the matrix that crops one side of a picture, resizes it and, if "
        "asked, turns it round."
    ),
    stub='''\
def crop_matrix(size, top, height, out, *, flip=False):
    """The matrix W (out, size): W @ column keeps pixels top to top + height - 1 of `size` and resizes them to `out`.

    New pixel i looks at c = top + (i + 0.5) * height / out. Old pixel j, with its middle at j + 0.5, gets the weight
    max(0, 1 - |c - (j + 0.5)| / s) with s = max(1, height / out); outside the box it gets 0. Each row then sums to 1.
    flip=True: the rows in reverse order, so that the first new pixel becomes the last.
    """
    return None  # your lines here
''',
    reference=crop_matrix,
    probes=(
        Probe("size 6, the whole side kept", _box(6, 0, 6, 6)),
        Probe("size 8, pixels 2 to 5 enlarged to 8", _box(8, 2, 4, 8)),
        Probe("size 9, pixels 1 to 6 reduced to 3", _box(9, 1, 6, 3)),
        Probe("size 8, pixels 1 to 5 enlarged to 7 and flipped", _box(8, 1, 5, 7, flip=True)),
        Probe("size 5, pixel 3 alone enlarged to 2", _box(5, 3, 1, 2)),
    ),
    mistakes=crooked,
    verified=(
        "Identity, enlarging, reducing with antialiasing and flipping all have the right weights, and "
        "rows that sum to 1."
    ),
    usual=(
        "Taking the left edge of a pixel for its middle, which moves the picture by half a pixel. "
        "Transposing is the second."
    ),
    minutes=15,
    outputs=("matrix",),
)

# 02b: draws that differ for every picture -------------------------------------------------------------------


def draw_shifts(n_images: int, *, n_views: int = 2, limit: int = 4, generator: torch.Generator) -> Tensor:
    """Shifts from -limit to limit, all equally likely: (n_views, n_images, 2)."""
    return _uniform(n_views, n_images, 2, low=-limit, high=limit + 1, generator=generator)


def _uniform(*shape: int, low: int, high: int, generator: torch.Generator | None) -> Tensor:
    return torch.randint(low, high, shape, generator=generator)


same = Zoo()
same.add(
    "one draw for the whole batch",
    "Every picture is moved by the same amount, so its place beside the others still tells which one it is. Draw for each.",
    lambda n_images, *, n_views=2, limit=4, generator: _uniform(
        n_views, 1, 2, low=-limit, high=limit + 1, generator=generator
    ).expand(-1, n_images, -1),
)
same.add(
    "the same draw for all views",
    "The views of a picture are then equal and there is nothing to learn. Draw for each view.",
    lambda n_images, *, n_views=2, limit=4, generator: _uniform(
        1, n_images, 2, low=-limit, high=limit + 1, generator=generator
    ).expand(n_views, -1, -1),
)
same.add(
    "the same draw for dy and dx",
    "Pictures then move along the diagonal only. Draw two numbers.",
    lambda n_images, *, n_views=2, limit=4, generator: _uniform(
        n_views, n_images, 1, low=-limit, high=limit + 1, generator=generator
    ).expand(-1, -1, 2),
)
same.add(
    "a range without its upper end",
    "torch.randint stops one before its second number: limit itself is never drawn.",
    lambda n_images, *, n_views=2, limit=4, generator: _uniform(
        n_views, n_images, 2, low=-limit, high=limit, generator=generator
    ),
)
same.add(
    "shifts to one side only",
    "A shift may be negative: from -limit to limit.",
    lambda n_images, *, n_views=2, limit=4, generator: _uniform(
        n_views, n_images, 2, low=0, high=limit + 1, generator=generator
    ),
)
same.add(
    "draws without the generator",
    "The same seed must give the same views: pass generator=generator to the random function.",
    lambda n_images, *, n_views=2, limit=4, generator: _uniform(
        n_views, n_images, 2, low=-limit, high=limit + 1, generator=None
    ),
)
same.add(
    "draws that start again at every call",
    "A fixed seed inside gives each epoch the same views. Use the generator that comes in.",
    lambda n_images, *, n_views=2, limit=4, generator: _uniform(
        n_views, n_images, 2, low=-limit, high=limit + 1, generator=torch.Generator().manual_seed(0)
    ),
)
same.add(
    "shifts that are not whole numbers",
    "Pixels are counted: draw integers.",
    lambda n_images, *, n_views=2, limit=4, generator: (
        torch.rand(n_views, n_images, 2, generator=generator) * (2 * limit) - limit
    ),
)
same.add(
    "rounded shifts, whose two ends come half as often",
    "Rounding gives the ends only half an interval. Draw integers directly.",
    lambda n_images, *, n_views=2, limit=4, generator: (
        (torch.rand(n_views, n_images, 2, generator=generator) * (2 * limit) - limit).round().long()
    ),
)
same.add(
    "shifts cut off towards 0, which comes twice as often",
    ".long() cuts off from both sides, so -0.9 and 0.9 both become 0. Draw integers: torch.randint.",
    lambda n_images, *, n_views=2, limit=4, generator: (
        (torch.rand(n_views, n_images, 2, generator=generator) * 2 - 1) * (limit + 1)
    ).long(),
)
same.add(
    "shifts that crowd around zero",
    "The task asks for every shift equally often: a uniform draw, not a normal one.",
    lambda n_images, *, n_views=2, limit=4, generator: (
        (torch.randn(n_views, n_images, 2, generator=generator) * limit / 2).round().long().clamp(-limit, limit)
    ),
)


def shift_facts(draw: Callable, probe: Probe) -> dict:
    """What is true of thousands of draws; each share is known to about 3 %, so no seed can fail.

    How often each shift comes means nothing unless the draws are many, so it comes last and only then.
    """
    (n_images,), kwargs = probe.make()
    limit, generator = kwargs["limit"], torch.Generator().manual_seed(0)
    drawn = [draw(n_images, generator=generator, **kwargs) for _ in range(4)]
    drawn.append(draw(n_images, generator=torch.Generator().manual_seed(0), **kwargs))
    if any(shifts is None for shifts in drawn):
        return {"value": None}
    first, *later, again = (torch.as_tensor(shifts) for shifts in drawn)
    facts = {"shape": tuple(first.shape)}
    if facts["shape"] != (kwargs["n_views"], n_images, 2):
        return facts
    facts |= {
        "pictures of a batch differ": len(first[0].unique(dim=0)) > 1,
        "views of a picture differ": bool((first[0] != first[1]).any()),
        "a view is not another one turned round": bool((first[0] != -first[1]).any()),
        "dy and dx differ": bool((first[..., 0] != first[..., 1]).any()),
        "the next batches get other draws": not all(torch.equal(first, shifts) for shifts in later),
        "the same seed gives the same draws": torch.equal(first, again),
    }
    if not all(list(facts.values())[1:5]):
        return facts
    shares = torch.stack([(first.round() == k).double().mean() for k in range(-limit, limit + 1)]) * (2 * limit + 1)
    fair = (shares > 0.7) & (shares < 1.3)
    return facts | {
        "whole numbers": bool((first == first.round()).all()),
        "smallest shift": int(first.min().round().clamp(min=-limit - 1)),
        "largest shift": int(first.max().round().clamp(max=limit + 1)),
        "the two ends as often as the others": bool(fair[[0, -1]].all()),
        "all others equally often": bool(fair[1:-1].all()),
    }


shift_exercise = Exercise(
    id="02b",
    prompt=(
        "Write `draw_shifts(...)`: how far each view of each picture is moved, drawn anew for every "
        "view, picture and direction."
    ),
    stub='''\
def draw_shifts(n_images, *, n_views=2, limit=4, generator):
    """Random shifts (n_views, n_images, 2) in whole pixels, dy and dx: each from -limit to limit (both included),
    all equally likely, drawn with `generator` for every view, every image and both directions."""
    return None  # your line here
''',
    reference=draw_shifts,
    probes=(
        Probe("4,000 pictures, 2 views, at most 4 pixels", lambda: ((4000,), {"n_views": 2, "limit": 4})),
        Probe("3,000 pictures, 3 views, at most 2 pixels", lambda: ((3000,), {"n_views": 3, "limit": 2})),
    ),
    mistakes=same,
    verified="Every view of every picture has its own draw, all shifts are equally likely, and the seed decides.",
    usual="One draw for the whole batch, which is what torchvision's transforms do when they are given a batch.",
    minutes=8,
    facts=shift_facts,
)

EXERCISES = (crop_exercise, shift_exercise)

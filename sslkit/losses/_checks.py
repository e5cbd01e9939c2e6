"""What all losses share: checks of their input, precision, rows of length one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Real

import torch
from torch import Tensor

from sslkit.errors import require


def check_views(
    z1: Tensor, z2: Tensor, *, at_least: int = 2, names: Sequence[str] = ("z1", "z2"), **positive: float
) -> tuple[Tensor, Tensor]:
    """Check two views and the hyper-parameters; half precision becomes float32. (B, D), (B, D) -> (B, D), (B, D)."""
    one, two = names
    check_positive(**positive)
    check_floating(f"{one}, {two}", z1, z2)
    got = f"got {one} {tuple(z1.shape)} and {two} {tuple(z2.shape)}."
    require(z1.ndim == 2 and z1.shape == z2.shape, f"{one} and {two} must both be (B, D), one row per image; {got}")
    require(len(z1) >= at_least and z1.shape[1] > 0, f"B must be at least {at_least} and D at least 1; {got}")
    wide = torch.promote_types(at_least_float32(z1).dtype, z2.dtype)
    return z1.to(wide), z2.to(wide)


def check_scores(**views: Sequence[Tensor]) -> list[list[Tensor]]:
    """Check lists of scores by name, one (B, K) per view, all of one shape; half precision becomes float32."""
    for name, scores in views.items():
        require(isinstance(scores, list | tuple), f"{name} must be a list, one (B, K) tensor per view.", TypeError)
        check_floating(name, *scores)
    shapes = {name: [tuple(x.shape) for x in scores] for name, scores in views.items()}
    first, *others = [shape for scores in shapes.values() for shape in scores] or [()]
    good = len(first) == 2 and min(first) > 0 and all(shape == first for shape in others) and all(shapes.values())
    require(good, f"{' and '.join(views)} must hold tensors of one shape (B, K), at least one each; got {shapes}.")
    return [[at_least_float32(x) for x in scores] for scores in views.values()]


def check_floating(name: str, *tensors: Tensor) -> None:
    """Each must be a tensor of floating point numbers."""
    for x in tensors:
        kind = x.dtype if isinstance(x, Tensor) else type(x).__name__
        require(getattr(kind, "is_floating_point", False), f"{name} must be float tensors, got {kind}.", TypeError)


def check_tensor(name: str, x: Tensor) -> None:
    """It must be a tensor."""
    require(isinstance(x, Tensor), f"{name} must be a tensor, got a {type(x).__name__}.", TypeError)


def check_positive(**values: float) -> None:
    """Each named number must be finite and above 0."""
    for name, value in values.items():
        number = isinstance(value, Real | Tensor)
        require(number and 0 < value < math.inf, f"{name} must be a finite number greater than 0, got {value!r}.")


def at_least_float32(z: Tensor) -> Tensor:
    """Half precision to float32; float32 and float64 as they are."""
    return z.to(torch.promote_types(z.dtype, torch.float32))


def normalise(z: Tensor) -> Tensor:
    """Rows to length one, (B, D) -> (B, D). Zero rows stay zero, without a gradient: z / epsilon has a huge one."""
    length = torch.linalg.vector_norm(z, dim=1, keepdim=True)  # (B, 1)
    return z / length.masked_fill(length < 1e-8, torch.inf)

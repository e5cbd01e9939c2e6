"""Normalisation layers by name, for images (B, C, H, W) and for vectors (B, C)."""

from __future__ import annotations

import math

from torch import nn

from sslkit.errors import unknown


def make_norm(kind: str, channels: int, *, images: bool = True, affine: bool = True) -> nn.Module:
    """`"batch"` mixes the images of a batch (arXiv 1502.03167); `"group"` looks at one image only (arXiv 1803.08494),
    so that several processes compute exactly what one process would. `affine`: with a learnt scale and shift."""
    if kind == "batch":
        return nn.BatchNorm2d(channels, affine=affine) if images else nn.BatchNorm1d(channels, affine=affine)
    if kind == "group":
        return nn.GroupNorm(math.gcd(8, channels), channels, affine=affine)
    raise unknown("norm", kind, ["batch", "group"])

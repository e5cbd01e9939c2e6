"""Normalisation layers: by name, for images (B, C, H, W) and for vectors (B, C); and what is fitted at the end."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from sslkit.errors import unknown


def make_norm(kind: str, channels: int, *, images: bool = True, affine: bool = True) -> nn.Module:
    """`"batch"` mixes the images of a batch (arXiv 1502.03167); `"group"` looks at one image only (arXiv 1803.08494),
    so that several processes compute exactly what one process would. `affine`: with a learnt scale and shift."""
    if kind == "batch":
        return nn.BatchNorm2d(channels, affine=affine) if images else nn.BatchNorm1d(channels, affine=affine)
    if kind == "group":
        return nn.GroupNorm(math.gcd(8, channels), channels, affine=affine)
    raise unknown("norm", kind, ["batch", "group"])


class Fitted(nn.Module):
    """A layer that training does not touch: its buffers are filled when training is done, and until then it does nothing.

    `fitted` says whether that has happened, and is known again when weights are loaded.
    """

    def __init__(self):
        super().__init__()
        self.fitted = False
        self.register_buffer("is_fitted", torch.tensor(False))  # for `state_dict`; a step must not wait for a tensor
        self.register_load_state_dict_post_hook(lambda layer, _: layer.set_fitted(bool(layer.is_fitted)))

    def set_fitted(self, fitted: bool = True) -> None:
        self.fitted = fitted
        self.is_fitted.fill_(fitted)


class Whitening(Fitted):
    """A linear map that flattens features: mean 0, and no direction in which they vary much more than in others.
    (B, D) -> (B, D).

    Most features of a network vary together, and a cosine hears little but their chorus. Afterwards it hears the other
    voices, too. Of all maps that do this, `zca` moves features least (Bell and Sejnowski, Vision Research 37, 1997).
    Until `fit` it changes nothing; after that it is a fixed map, in training too.
    """

    def __init__(self, dim: int):
        super().__init__()
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("matrix", torch.eye(dim))

    def forward(self, h: Tensor) -> Tensor:
        return (h - self.mean) @ self.matrix if self.fitted else h

    def fit(self, h: Tensor, *, ridge: float = 1.0) -> None:
        """Measure features (N, D), standardised first: a direction with the variance v gets v / (v + ridge).

        Without a ridge all directions are equal. That is best for neighbours, but blows up what is mostly noise, and costs
        accuracy where there are few labels; with 1, the mean variance, hardly.
        """
        h = h.cpu().double()  # in this order: not every accelerator has float64
        mean, std = h.mean(0), h.std(0)
        scale = std.where(std > 1e-6, torch.inf)  # what does not vary here may vary later: it must not be blown up
        z = (h - mean) / scale
        self.mean.copy_(mean)
        self.matrix.copy_(zca(z, ridge) / scale[:, None])
        self.set_fitted()


def zca(z: Tensor, ridge: float) -> Tensor:
    """The symmetric matrix (D, D) after which rows z (N, D) have the variance v / (v + ridge) where they had v."""
    variances, axes = torch.linalg.eigh(z.T @ z / len(z))
    return axes * (variances.clamp_min(0) + ridge).rsqrt() @ axes.T

"""Decoders: from a code, or from the tokens of a few patches, back to pixels. They are thrown away after training."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn

from sslkit.nets.norms import make_norm
from sslkit.nets.vit import TransformerBlock, check_width, pick, positions


class ImageDecoder(nn.Module):
    """Paint an image from a code: a small map of many channels, then layers that double its side. (B, dim) -> (B, C, H, W).

    Each layer is a convolution and a smooth enlargement: transposed convolutions would paint checkerboards. Pixels come out
    in [0, 1]. Any height and width will do: what doubling paints beyond them is cut off.
    """

    def __init__(
        self,
        dim: int,
        channels: int = 3,
        *,
        image_size: tuple[int, int] = (32, 32),
        widths: tuple[int, ...] = (128, 64, 32, 16),
        norm: str = "batch",
    ):
        super().__init__()
        self.image_size = tuple(image_size)
        h, w = (math.ceil(side / 2 ** (len(widths) - 1)) for side in image_size)
        layers = [nn.Linear(dim, widths[0] * h * w, bias=False), nn.Unflatten(1, (widths[0], h, w))]
        for a, b in pairwise(widths):
            layers += [make_norm(norm, a), nn.ReLU(), nn.Conv2d(a, b, 3, 1, 1, bias=False)]
            layers += [nn.Upsample(scale_factor=2, mode="bilinear")]
        layers += [make_norm(norm, widths[-1]), nn.ReLU(), nn.Conv2d(widths[-1], channels, 3, 1, 1)]
        self.body = nn.Sequential(*layers)

    def forward(self, z: Tensor) -> Tensor:
        H, W = self.image_size
        return torch.sigmoid(self.body(z)[:, :, :H, :W])


class PatchDecoder(nn.Module):
    """Guess every patch from the tokens of those that were seen: one light transformer (arXiv 2111.06377, section 3).

    The hidden places are filled with one learnt token; only their position tells them apart. Raises ValueError for a width
    that is not a multiple of `heads` and of 4.
    """

    def __init__(self, dim: int, out: int, *, width: int = 64, depth: int = 1, heads: int = 4):
        super().__init__()
        check_width("width", width, heads)
        self.hidden = nn.Parameter(0.02 * torch.randn(width))
        self.embed = nn.Linear(dim, width)
        self.blocks = nn.Sequential(*[TransformerBlock(width, heads) for _ in range(depth)], nn.LayerNorm(width))
        self.paint = nn.Linear(width, out)

    def forward(self, tokens: Tensor, place: Tensor, grid: tuple[int, int]) -> Tensor:
        """(B, V, dim) the seen tokens, (B, P) where each patch stands in the row "seen, then hidden" -> (B, P, out)."""
        B, P = place.shape
        x = self.embed(tokens)  # (B, V, width)
        hidden = self.hidden.to(x.dtype).expand(B, P - x.shape[1], -1)  # (B, P - V, width)
        x = pick(torch.cat((x, hidden), dim=1), place)  # (B, P, width)
        return self.paint(self.blocks(x + positions(*grid, x.shape[2], tokens)))

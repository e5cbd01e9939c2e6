"""A vision transformer small enough for two CPU cores: an image is a set of patches that look at each other."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class VisionTransformer(nn.Module):
    """Patches to tokens, tokens through transformer blocks, their mean to h. (B, C, H, W) -> (B, dim)."""

    def __init__(self, in_channels: int, patch: int, dim: int, depth: int, heads: int):
        super().__init__()
        self.patch, self.dim = patch, dim
        self.embed = nn.Linear(in_channels * patch**2, dim)
        self.blocks = nn.Sequential(*[TransformerBlock(dim, heads) for _ in range(depth)], nn.LayerNorm(dim))

    def forward(self, x: Tensor) -> Tensor:
        return self.tokens(x).mean(dim=1)

    def tokens(self, x: Tensor, keep: Tensor | None = None) -> Tensor:
        """What each patch has become, (B, C, H, W) -> (B, P, dim), row by row from the top left.

        keep: (B, V) the patches of each image that may be seen. The others are dropped before anything looks at them, and
        the result is (B, V, dim) in the order of `keep`.
        """
        H, W = x.shape[2] // self.patch, x.shape[3] // self.patch
        x = patches(x, self.patch)  # (B, P, C p²)
        where = positions(H, W, self.dim, x).expand(x.shape[0], -1, -1)  # (B, P, dim); ONNX would freeze len(x)
        if keep is not None:
            x, where = pick(x, keep), pick(where, keep)  # (B, V, C p²), (B, V, dim)
        return self.blocks(self.embed(x) + where)


class TransformerBlock(nn.Module):
    """Every token looks at all tokens, then thinks by itself; both add to what was there (arXiv 2010.11929, figure 1)."""

    def __init__(self, dim: int, heads: int):
        super().__init__()
        self.heads = heads
        self.norm1, self.query_key_value, self.mix = nn.LayerNorm(dim), nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = nn.Sequential(nn.Linear(dim, 4 * dim), nn.GELU(), nn.Linear(4 * dim, dim))

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.query_key_value(self.norm1(x)).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        seen = F.scaled_dot_product_attention(q, k, v)  # (B, heads, P, dim / heads)
        x = x + self.mix(seen.transpose(1, 2).flatten(2))  # (B, P, dim)
        return x + self.mlp(self.norm2(x))


def check_width(name: str, width: int, heads: int) -> None:
    """Raise ValueError unless tokens of this width can be shared among the heads, and carry their positions."""
    if width % heads or width % 4:
        raise ValueError(
            f"{name} is {width}; it must be a multiple of heads={heads} and of 4 (two coordinates, sin and cos)."
        )


def patches(x: Tensor, side: int) -> Tensor:
    """Cut images into squares, row by row. (B, C, H, W) -> (B, P, C * side²) with P = (H / side) (W / side)."""
    B, C, H, W = x.shape
    if H % side or W % side:
        raise ValueError(
            f"Images of {H}x{W} cannot be cut into patches of {side}x{side}: both sides must be multiples of {side}. "
            "Choose another patch=, or views of another size=."
        )
    x = x.reshape(B, C, H // side, side, W // side, side).permute(0, 2, 4, 1, 3, 5)  # (B, H / p, W / p, C, p, p)
    return x.flatten(3).flatten(1, 2)


def unpatch(x: Tensor, height: int, width: int) -> Tensor:
    """Put the squares together again, the inverse of `patches`. (B, P, C * side²) -> (B, C, height, width)."""
    B, P, K = x.shape
    side = round((height * width / P) ** 0.5)
    x = x.reshape(B, height // side, width // side, K // side**2, side, side).permute(0, 3, 1, 4, 2, 5)
    return x.reshape(B, -1, height, width)


def pick(x: Tensor, index: Tensor) -> Tensor:
    """Some tokens of each image, others for each. (B, P, D), (B, V) -> (B, V, D)."""
    return x.gather(1, index[:, :, None].expand(-1, -1, x.shape[2]))


def positions(height: int, width: int, dim: int, like: Tensor) -> Tensor:
    """Where each of height * width tokens is: sines and cosines of its row and of its column, from fast to slow.

    The frequencies of arXiv 1706.03762, section 3.5, half of the numbers for each coordinate. -> (1, P, dim), as `like`.
    """
    rate = 10000 ** -(torch.arange(dim // 4, device=like.device) / (dim // 4))  # (dim / 4,)
    row, column = (torch.arange(n, device=like.device)[:, None] * rate for n in (height, width))
    row, column = row[:, None].expand(-1, width, -1), column[None].expand(height, -1, -1)  # (H, W, dim / 4)
    return torch.cat((row.sin(), row.cos(), column.sin(), column.cos()), dim=2).flatten(0, 1)[None].to(like.dtype)

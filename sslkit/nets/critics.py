"""Critics: networks whose output is a score, of a picture or of how well several vectors belong together."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sslkit.errors import unknown
from sslkit.nets.encoders import Strided
from sslkit.nets.norms import make_norm


class SimilarityNetwork(nn.Module):
    """The founding article's g: a linear layer per view, their outputs stacked, one linear layer to k similarities.

    k x (B, dim) -> (B, k). There is nothing nonlinear in it, as in the article.
    """

    def __init__(self, dim: int, views: int, hidden: int = 64):
        super().__init__()
        self.each = nn.ModuleList(nn.Linear(dim, hidden) for _ in range(views))
        self.together = nn.Linear(views * hidden, views)

    def forward(self, h: Sequence[Tensor]) -> Tensor:
        stacked = torch.cat([layer(x) for layer, x in zip(self.each, h, strict=True)], dim=1)  # (B, k * hidden)
        return self.together(stacked)  # (B, k)


class BilinearCritic(nn.Module):
    """A score for every pair of vectors, a W b: the log-bilinear model of CPC (arXiv 1807.03748), before its exponential.

    (..., dim), (..., dim) -> (...). Leading dimensions broadcast: a[:, None] and b[None] are scored all against all.
    """

    def __init__(self, dim: int):
        super().__init__()
        self.matrix = nn.Linear(dim, dim, bias=False)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return (self.matrix(a) * b).sum(-1)


class MLPCritic(nn.Module):
    """A score for every pair of vectors: one hidden layer on both, the relation module of arXiv 2006.05849.

    (..., dim), (..., dim) -> (...), with broadcasting as in `BilinearCritic`. The first layer of the concatenation [a, b] is
    written as the sum of two layers, so that it costs no more for all pairs than for the vectors; what follows is computed
    for each pair. The authors' batch norm is left out: it would mix the pairs.
    """

    def __init__(self, dim: int, hidden: int = 256):
        super().__init__()
        self.first, self.second = nn.Linear(dim, hidden), nn.Linear(dim, hidden, bias=False)
        self.score = nn.Linear(hidden, 1)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return self.score(F.leaky_relu(self.first(a) + self.second(b))).squeeze(-1)


CRITICS = {"bilinear": BilinearCritic, "mlp": MLPCritic}


def critic(kind: str, dim: int) -> nn.Module:
    """A critic of pairs by name, "bilinear" or "mlp". Raises ValueError for another name."""
    if kind not in CRITICS:
        raise unknown("critic", kind, CRITICS)
    return CRITICS[kind](dim)


def discriminator(in_channels: int = 3, *, widths: Sequence[int] = (16, 32, 64)) -> nn.Sequential:
    """A small network that scores pictures of any size from 8x8 on, each on its own (group norm). (B, C, H, W) -> (B,)."""
    layers = []
    for inside, out in zip((in_channels, *widths), widths):
        layers += [nn.Conv2d(inside, out, 4, 2, 1), make_norm("group", out), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(widths[-1], 1), nn.Flatten(0))


class PairCritic(nn.Module):
    """Judge whether an image and a code belong together and are real: the discriminator of BiGAN (arXiv 1605.09782).

    Strided convolutions with leaky ReLUs, as in DCGAN (arXiv 1511.06434), see the image in [0, 1], one layer sees the code,
    two more see both. Nothing is normalised: a judge must see brightness and contrast, and not what else is in the batch.
    """

    def __init__(
        self,
        in_channels: int,
        latent: int,
        *,
        image_size: tuple[int, int] = (32, 32),
        widths: tuple[int, ...] = (32, 64, 128),
        hidden: int = 256,
    ):
        super().__init__()
        layers, leaky = [], nn.LeakyReLU(0.2)
        for a, b in zip((in_channels, *widths), widths):
            layers += [Strided(a, b, 3, 2, 1), leaky]
        self.image = nn.Sequential(*layers, nn.Flatten())
        self.code = nn.Sequential(nn.Linear(latent, hidden), leaky)
        size = widths[-1] * math.prod(math.ceil(side / 2 ** len(widths)) for side in image_size)
        self.both = nn.Sequential(nn.Linear(size + hidden, hidden), leaky, nn.Linear(hidden, 1))

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        """Logits of "this pair is an image with its code". (B, C, H, W), (B, latent) -> (B,)."""
        return self.both(torch.cat((self.image(2 * x - 1), self.code(z)), dim=1)).squeeze(1)

"""A dictionary of patches: filters for a first layer, made from pictures before any training."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from sslkit.nets.norms import zca

ROUNDS, RIDGE = 15, 0.1  # of k-means; as a share of the mean variance


def dictionary(x: Tensor, n: int, size: int) -> Tensor:
    """What pictures are made of: n filters (n, C, size, size) from images (N, C, H, W), without labels and gradients.

    Patches are cut out side by side and lose their mean. They are whitened, so that edges count as much as slow changes
    of brightness, and the half with most contrast is grouped by k-means on the sphere: a filter is the centre of a group,
    and answers to patches like it (Coates and Ng, Learning Feature Representations with K-means, 2012). The same pictures
    give the same filters. Raises ValueError if there are fewer than 2n patches.
    """
    patches = F.unfold(x, size, stride=size).transpose(1, 2).flatten(0, 1)  # (P, C size²)
    if len(patches) < 2 * n:
        raise ValueError(f"{len(patches)} patches of {size}x{size} are too few for {n} filters: give more pictures.")
    patches = patches - patches.mean(1, keepdim=True)
    whiten = zca(patches, ridge=RIDGE * max(patches.square().mean().item(), 1e-6))
    points = patches @ whiten
    points = F.normalize(points[points.norm(dim=1).argsort(descending=True)[: len(points) // 2]], dim=1)

    generator = torch.Generator().manual_seed(0)
    centres = points[torch.randperm(len(points), generator=generator)[:n].to(points.device)]
    for _ in range(ROUNDS):
        cosine, group = (points @ centres.T).max(1)
        sums = torch.zeros_like(centres).index_add_(0, group, points * cosine[:, None])
        centres = F.normalize(sums + 1e-6 * centres, dim=1)  # a group that has lost all its patches stays where it is
    return (centres @ whiten).view(n, x.shape[1], size, size)

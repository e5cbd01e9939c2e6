"""What pictures are made of: typical patches, found by k-means, without labels and without gradients."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from sslkit.nets.norms import Fitted, zca

ROUNDS = 15  # of k-means
MOST = 300_000  # patches, of large pictures from every second, third ... only
FLAT = 0.5  # of the mean length of a whitened patch: what has much less contrast than that looks like nothing


def field_means(x: Tensor, grid: int) -> Tensor:
    """Means over the fields of a grid. (B, C, H, W) -> (B, C * grid²)."""
    if all(side % grid == 0 for side in x.shape[2:]):
        return F.adaptive_avg_pool2d(x, grid).flatten(1)
    bounds = [[(i * side // grid, -(-(i + 1) * side // grid)) for i in range(grid)] for side in x.shape[2:]]
    means = [x[..., a:b, c:d].mean((2, 3)) for a, b in bounds[0] for c, d in bounds[1]]  # MPS cannot pool these
    return torch.stack(means, 2).flatten(1)


class PatchDictionary(Fitted):
    """How much the fields of a picture look like n typical patches. (B, C, H, W) -> (B, grid² n), each 0 or more.

    A patch loses its mean and is whitened, so that edges count as much as slow changes of brightness; then its direction is
    compared with n centres. Told is by how much the cosine with one of them exceeds the mean cosine with all, or 0; on
    average over each field of a grid. After Coates, Ng and Lee, An Analysis of Single-Layer Networks in Unsupervised Feature
    Learning (AISTATS 2011), whose "triangle" this is for directions. Until `fit` it sees nothing, and tells zeros.
    """

    def __init__(self, in_channels: int, n: int, *, size: int = 6, grid: int = 2):
        super().__init__()
        self.dim, self.grid = grid**2 * n, grid
        width = in_channels * size**2
        # The filters give a patch, whitened, in units of FLAT; the centres have length 1.
        self.register_buffer("filters", torch.zeros(width, in_channels, size, size))
        self.register_buffer("centres", torch.zeros(n, width, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        if not self.fitted:
            return x.new_zeros(len(x), self.dim)
        z = F.conv2d(x, self.filters, stride=2, padding=self.filters.shape[-1] // 2 - 1)
        cosine = F.conv2d(z / (z.norm(dim=1, keepdim=True) + 1), self.centres)
        return field_means(torch.relu(cosine - cosine.mean(1, keepdim=True)), self.grid)

    @torch.no_grad()
    def fit(self, x: Tensor) -> None:
        """Find the patches in some hundred images or more, (N, C, H, W), see `typical`.

        If there are too few patches it goes on seeing nothing: a long training should not end in an error.
        """
        x = x.cpu()  # not every accelerator has the eigenvectors of `zca`
        if patches_of(x, self.filters.shape[-1]) < 2 * len(self.centres):
            return
        whiten, centres, length = typical(x, len(self.centres), self.filters.shape[-1], ridge=0.01)
        width = len(whiten)
        without_mean = torch.eye(width) - 1 / width
        self.filters.copy_((whiten @ without_mean / (FLAT * max(length, 1e-6))).view_as(self.filters))
        self.centres.copy_(centres[:, :, None, None])
        self.set_fitted()


def dictionary(x: Tensor, n: int, size: int) -> Tensor:
    """Filters for a first layer: n of (n, C, size, size) from images (N, C, H, W), that answer to patches like theirs.

    They are the centres of `typical`, with its whitening in them (Coates and Ng, Learning Feature Representations with
    K-means, 2012). Raises ValueError if there are fewer than 2n patches.
    """
    whiten, centres, _ = typical(x, n, size, ridge=0.1)
    return (centres @ whiten).view(n, x.shape[1], size, size)


def patches_of(x: Tensor, size: int) -> int:
    """How many patches images (N, C, H, W) can be cut into, side by side."""
    return len(x) * (x.shape[-2] // size) * (x.shape[-1] // size)


def typical(x: Tensor, n: int, size: int, *, ridge: float) -> tuple[Tensor, Tensor, float]:
    """Whitening (D, D), centres (n, D) of length 1, and the mean length of whitened patches, D = C size².

    Patches are cut out side by side, lose their mean and are whitened, with a ridge that is a share of their mean variance.
    The half with most contrast is grouped by k-means on the sphere. The same pictures give the same patches.
    Raises ValueError if there are fewer than 2n patches.
    """
    if (count := patches_of(x, size)) < 2 * n:
        raise ValueError(f"{count} patches of {size}x{size} are too few for {n} filters: give more or larger pictures.")
    patches = F.unfold(x[:: -(-count // MOST)], size, stride=size).transpose(1, 2).flatten(0, 1)  # (P, D)
    patches = patches - patches.mean(1, keepdim=True)
    whiten = zca(patches, ridge=ridge * max(patches.square().mean().item(), 1e-6))
    points = patches @ whiten
    length = points.norm(dim=1)
    points = F.normalize(points[length.argsort(descending=True)[: len(points) // 2]], dim=1)

    generator = torch.Generator().manual_seed(0)
    centres = points[torch.randperm(len(points), generator=generator)[:n].to(points.device)]
    for _ in range(ROUNDS):
        cosine, group = (points @ centres.T).max(1)
        sums = torch.zeros_like(centres).index_add_(0, group, points * cosine[:, None])
        centres = F.normalize(sums + 1e-6 * centres, dim=1)  # a group that has lost all its patches stays where it is
    return whiten, centres, length.mean().item()

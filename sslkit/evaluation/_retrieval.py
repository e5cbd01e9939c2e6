"""Retrieval: is the nearest picture the one that belongs to the query?"""

from numbers import Integral

import torch
import torch.nn.functional as F
from torch import Tensor

from sslkit.evaluation._score import Score, accuracy, check, check_features


def nearest(query_x: Tensor, gallery_x: Tensor, *, k: int = 1, itself: bool = True) -> tuple[Tensor, Tensor]:
    """Cosine and number of the k most similar gallery rows of each query: (M, D), (N, D) -> (M, k), (M, k), best first.

    itself=False: query i is also row i of the gallery and must not find itself. In float32, on the CPU. Raises ValueError
    for k out of range, and for features that are not finite or none at all.
    """
    query_x, gallery_x = check_features("query", query_x), check_features("gallery", gallery_x)
    n = len(gallery_x) if itself else len(gallery_x) - 1
    if not isinstance(k, Integral) or not 1 <= k <= n or (not itself and len(query_x) != len(gallery_x)):
        raise ValueError(f"{k=} of {n} pictures cannot be found by {len(query_x)} queries with {itself=}.")
    gallery, found = F.normalize(gallery_x, dim=1), []
    for rows in torch.arange(len(query_x)).split(1024):
        cosine = F.normalize(query_x[rows], dim=1) @ gallery.T  # (B, N)
        found.append((cosine if itself else cosine.scatter_(1, rows[:, None], -torch.inf)).topk(k))
    return torch.cat([cosine for cosine, _ in found]), torch.cat([index for _, index in found])


def retrieval(
    query_x: Tensor, query_ids: Tensor, gallery_x: Tensor, gallery_ids: Tensor, *, k=1, precision=False, itself=True
) -> Score:
    """Recall at k: the share of queries that find at least one picture with their id among the k nearest by cosine.

    precision: instead, the mean share of these k that have the query's id. itself: as in `nearest`. A query whose id is
    not in the gallery counts as missed. (M, D), (M,), (N, D), (N,) -> Score. Raises ValueError or TypeError for what does
    not fit.
    """
    query_x, query_ids = check("query", query_x, query_ids)
    gallery_x, gallery_ids = check("gallery", gallery_x, gallery_ids, dim=query_x.shape[1])
    hits = gallery_ids[nearest(query_x, gallery_x, k=k, itself=itself)[1]] == query_ids[:, None]  # (M, k)
    return accuracy(hits.double().mean(1) if precision else hits.any(1))


def perturb(images: Tensor, generator: torch.Generator | None = None, *, shift=4.0, scale=(0.75, 1.0)) -> Tensor:
    """The same pictures moved by up to `shift` pixels each way, made smaller, and put on another ground colour.

    uint8 (N, C, H, W) -> uint8. RGBA becomes RGB on a uniformly random ground; a picture without alpha has no ground to
    change, and its border is continued instead. Every picture draws its own place, size and ground. Bilinear.
    """
    if images.dtype != torch.uint8 or images.ndim != 4:
        raise ValueError(f"perturb takes uint8 pictures (N, C, H, W), but got {images.dtype} {tuple(images.shape)}.")
    n, _, height, width = images.shape
    if n == 0:
        return images[:, :3]
    size, move, ground = torch.rand(n, 6, generator=generator, dtype=torch.float32).split([1, 2, 3], dim=1)
    size = scale[0] + (scale[1] - scale[0]) * size[:, :, None]  # (N, 1, 1)
    move = (2 * move - 1) * 2 * shift / move.new_tensor([width, height])  # (N, 2) in half widths and half heights
    upright = torch.eye(2, dtype=move.dtype).expand(n, 2, 2)
    theta = torch.cat([upright, -move[:, :, None]], 2) / size  # (N, 2, 3) where a pixel comes from
    parts = zip(images.split(512), theta.split(512), ground.split(512))  # as floats they are many times as large
    return torch.cat([_moved(*part) for part in parts])


def _moved(images: Tensor, theta: Tensor, ground: Tensor) -> Tensor:
    x = images.float() / 255
    clear = images.shape[1] == 4
    if clear:
        x[:, :3] *= x[:, 3:]  # colour weighted by alpha, or the edges would bleed
    grid = F.affine_grid(theta, x.shape, align_corners=False)
    x = F.grid_sample(x, grid, padding_mode="zeros" if clear else "border", align_corners=False)
    if clear:
        x = x[:, :3] + (1 - x[:, 3:]) * ground[:, :, None, None]
    return (x * 255).round().clamp(0, 255).to(torch.uint8)

"""Notebook 05: a reference answer to each exercise, and other right ways to write it."""

import numpy as np
import torch


def neighbour_recall(x, y, *, k=10):
    def neighbours(points):
        distances = torch.cdist(points, points)
        distances.fill_diagonal_(torch.inf)
        return distances.topk(k, largest=False).indices

    true, shown = neighbours(x), neighbours(y)
    return (true[:, :, None] == shown[:, None, :]).any(dim=2).float().mean()


def neighbour_recall_with_sets(x, y, *, k=10):
    def neighbours(points, i):
        order = sorted((j for j in range(len(points)) if j != i), key=lambda j: (points[i] - points[j]).pow(2).sum())
        return set(order[:k])

    return sum(len(neighbours(x, i) & neighbours(y, i)) / k for i in range(len(x))) / len(x)


def neighbour_recall_with_masks(x, y, *, k=10):
    def mask(points):
        p = points.numpy().astype(np.float64)
        d = ((p[:, None] - p[None]) ** 2).sum(axis=2) + np.diag(np.full(len(p), np.inf))
        return d.argsort(axis=1).argsort(axis=1) < k

    return float((mask(x) & mask(y)).sum() / (len(x) * k))


def noise_twin(features, *, generator):
    noise = torch.randn(features.shape, generator=generator)
    root = torch.linalg.cholesky(torch.cov(features.T))
    return noise @ root.T + features.mean(dim=0)


def noise_twin_by_directions(features, *, generator):
    mean = features.mean(dim=0)
    _, s, v = torch.linalg.svd(features - mean, full_matrices=False)
    return torch.randn(features.shape, generator=generator) * s / len(features) ** 0.5 @ v + mean


def noise_twin_by_mixing(features, *, generator):
    """Each twin point mixes all centred features with normal weights: normal, with exactly their covariance."""
    centred = features - features.mean(dim=0)
    weights = torch.randn(len(features), len(features), generator=generator) / len(features) ** 0.5
    return weights @ centred + features.mean(dim=0)


def noise_twin_in_numpy(features, *, generator):
    rng = np.random.default_rng(torch.randint(2**31, (), generator=generator).item())
    x = features.numpy()
    return rng.multivariate_normal(x.mean(axis=0), np.cov(x.T), size=len(x))


ANSWERS = {"05a": neighbour_recall, "05b": noise_twin}
VARIANTS = {
    "05a": [neighbour_recall_with_sets, neighbour_recall_with_masks],
    "05b": [noise_twin_by_directions, noise_twin_by_mixing, noise_twin_in_numpy],
}

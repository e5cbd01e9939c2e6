"""Notebook 11: a reference answer to each exercise, and other right ways to write it."""

import math
import statistics

import numpy as np
import torch


def paired_difference(a, b, t):
    gaps = a - b
    return gaps.mean(), t * gaps.std() / len(gaps) ** 0.5


def paired_difference_with_lists(a, b, t):
    gaps = [float(x) - float(y) for x, y in zip(a, b)]
    return [statistics.mean(gaps), t * statistics.stdev(gaps) / math.sqrt(len(gaps))]


def paired_difference_of_means(a, b, t):
    n = a.numel()
    spread = np.std((a - b).numpy(), ddof=1)
    return float(a.mean() - b.mean()), t * float(spread) / n**0.5


def paired_difference_with_s_minus_1_once(a, b, t):
    """The deviation that divides by S, over √(S - 1): the same number."""
    return (a - b).mean(), t * (a - b).std(correction=0) / (len(a) - 1) ** 0.5


def paired_difference_by_covariance(a, b, t):
    """The variance of a difference: both variances, minus twice what they share."""
    share = torch.stack([a, b]).double().cov()
    return (a - b).mean(), t * ((share[0, 0] + share[1, 1] - 2 * share[0, 1]) / len(a)).sqrt()


def rank_correlation(x, y):
    ranks = [((v[:, None] > v).sum(1) + ((v[:, None] == v).sum(1) + 1) / 2) for v in (x, y)]
    return torch.corrcoef(torch.stack(ranks))[0, 1]


def rank_correlation_from_the_largest(x, y):
    ranks = [-((v[:, None] < v).float() - (v[:, None] > v).float()).sum(1) for v in (x, y)]
    return torch.nn.functional.cosine_similarity(*ranks, dim=0)


def rank_correlation_in_numpy(x, y):
    def ranks(v):
        v = np.asarray(v)
        return np.array([np.mean([i for i, w in enumerate(np.sort(v)) if w == value]) for value in v])

    return np.corrcoef(ranks(x), ranks(y))[0, 1]


def rank_correlation_by_scipy(x, y):
    from scipy.stats import spearmanr

    return spearmanr(x.numpy(), y.numpy()).statistic


ANSWERS = {"11a": paired_difference, "11b": rank_correlation}
VARIANTS = {
    "11a": [
        paired_difference_with_lists,
        paired_difference_of_means,
        paired_difference_with_s_minus_1_once,
        paired_difference_by_covariance,
    ],
    "11b": [rank_correlation_from_the_largest, rank_correlation_in_numpy, rank_correlation_by_scipy],
}

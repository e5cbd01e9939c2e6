"""Notebook 04: a reference answer to each exercise, and other right ways to write it."""

import math

import numpy as np
import torch


def learning_rate(step, *, steps, peak, warmup):
    if step < warmup:
        return peak * (step + 1) / warmup
    progress = (step - warmup) / (steps - warmup)
    return peak * (1 + math.cos(math.pi * progress)) / 2


def learning_rate_by_squared_cosine(step, *, steps, peak, warmup):
    rise = (step + 1) / max(1, warmup)
    fall = math.cos(math.pi / 2 * max(0, step - warmup) / (steps - warmup)) ** 2
    return peak * min(rise, fall)


def learning_rate_in_torch(step, *, steps, peak, warmup):
    rise = torch.linspace(0, peak, warmup + 1)[1:]
    fall = peak * (1 + torch.cos(torch.linspace(0, torch.pi, steps - warmup + 1))) / 2
    return torch.cat([rise, fall])[step]


def rankme(features):
    values = torch.linalg.svdvals(features)
    p = values / values.sum() + 1e-7
    return torch.exp(-(p * p.log()).sum())


def rankme_in_numpy(features):
    values = np.linalg.svd(features.numpy().astype(np.float64), compute_uv=False)
    p = values / values.sum() + 1e-7
    return np.exp(-np.sum(p * np.log(p)))


def rankme_by_product(features):
    values = torch.linalg.svd(features.double(), full_matrices=False).S
    p = values / values.sum() + 1e-7
    return float((p ** (-p)).prod())


def rankme_from_gram_matrix(features):
    x = features.double()
    values = torch.linalg.eigvalsh(x.T @ x).clamp(min=0).sqrt()
    p = values / values.sum() + 1e-7
    return torch.special.entr(p).sum().exp()


ANSWERS = {"04a": learning_rate, "04b": rankme}
VARIANTS = {
    "04a": [learning_rate_by_squared_cosine, learning_rate_in_torch],
    "04b": [rankme_in_numpy, rankme_by_product, rankme_from_gram_matrix],
}

"""Notebook 09: a reference answer to each exercise, and other right ways to write it."""

import numpy as np
import torch


def r_squared(predicted, actual):
    errors = ((actual - predicted) ** 2).sum()
    return 1 - errors / ((actual - actual.mean(dim=0)) ** 2).sum()


def r_squared_by_variance(predicted, actual):
    return 1 - (actual - predicted).square().mean(0).sum() / actual.var(0, correction=0).sum()


def r_squared_in_numpy(predicted, actual):
    p, a = predicted.numpy(), actual.numpy()
    return 1 - np.square(a - p).sum() / np.square(a - a.mean(axis=0)).sum()


def r_squared_by_loop(predicted, actual):
    n, d = actual.shape
    above = below = 0.0
    for j in range(d):
        mean = sum(float(actual[i, j]) for i in range(n)) / n
        for i in range(n):
            above += float(actual[i, j] - predicted[i, j]) ** 2
            below += (float(actual[i, j]) - mean) ** 2
    return 1 - above / below


def group_accuracy(predictions, labels, groups):
    right = (predictions == labels).float()
    return torch.stack([right[groups == g].mean() for g in range(int(groups.max()) + 1)])


def group_accuracy_by_bincount(predictions, labels, groups):
    return torch.bincount(groups, weights=(predictions == labels).double()) / torch.bincount(groups)


def group_accuracy_by_one_hot(predictions, labels, groups):
    member = torch.nn.functional.one_hot(groups).float()  # (N, G)
    return (predictions == labels).float() @ member / member.sum(0)


def group_accuracy_by_lists(predictions, labels, groups):
    found = {}
    for p, y, g in zip(predictions.tolist(), labels.tolist(), groups.tolist()):
        found.setdefault(g, []).append(p == y)
    return [sum(found[g]) / len(found[g]) for g in sorted(found)]


ANSWERS = {"09a": r_squared, "09b": group_accuracy}
VARIANTS = {
    "09a": [r_squared_by_variance, r_squared_in_numpy, r_squared_by_loop],
    "09b": [group_accuracy_by_bincount, group_accuracy_by_one_hot, group_accuracy_by_lists],
}

"""Notebook 00: a reference answer to each exercise, and other right ways to write it."""

import numpy as np
import torch
import torch.nn.functional as F


def gain(score, baselines):
    return score - max(baselines.values())


def gain_by_loop(score, baselines):
    smallest = None
    for name in baselines:
        difference = score - baselines[name]
        smallest = difference if smallest is None or difference < smallest else smallest
    return smallest


def gain_with_torch(score, baselines):
    return torch.tensor(score) - torch.tensor(list(baselines.values())).max()


def nearest(features):
    directions = F.normalize(features, dim=1)
    similarity = directions @ directions.T
    similarity.fill_diagonal_(-2)
    return similarity.argmax(dim=1)


def nearest_by_loop(features):
    answer = []
    for i, a in enumerate(features):
        scores = [F.cosine_similarity(a, b, dim=0).item() if i != j else -2.0 for j, b in enumerate(features)]
        answer.append(scores.index(max(scores)))
    return answer


def nearest_by_distance_of_directions(features):
    directions = features / features.norm(dim=1, keepdim=True)
    return torch.cdist(directions, directions).fill_diagonal_(10).argmin(dim=1)


def nearest_in_numpy(features):
    x = features.numpy().astype(np.float64)
    x = x / np.linalg.norm(x, axis=1, keepdims=True)
    return (np.einsum("id,jd->ij", x, x) - 3 * np.eye(len(x))).argmax(axis=1)


ANSWERS = {"00a": gain, "00b": nearest}
VARIANTS = {
    "00a": [gain_by_loop, gain_with_torch],
    "00b": [nearest_by_loop, nearest_by_distance_of_directions, nearest_in_numpy],
}

"""Notebook 02: a reference answer to each exercise, and other right ways to write it."""

import numpy as np
import torch


def crop_matrix(size, top, height, out, *, flip=False):
    scale = height / out
    centre = top + (torch.arange(out) + 0.5) * scale
    middle = torch.arange(size) + 0.5
    weights = (1 - (centre[:, None] - middle).abs() / max(1, scale)).clamp(min=0)
    weights[:, :top] = 0
    weights[:, top + height :] = 0
    weights = weights / weights.sum(dim=1, keepdim=True)
    return weights.flip(0) if flip else weights


def crop_matrix_by_loop(size, top, height, out, *, flip=False):
    rows = []
    for i in range(out):
        c, s = top + (i + 0.5) * height / out, max(1.0, height / out)
        row = [max(0.0, 1 - abs(c - (j + 0.5)) / s) if top <= j < top + height else 0.0 for j in range(size)]
        rows.append([w / sum(row) for w in row])
    return rows[::-1] if flip else rows


def crop_matrix_in_numpy(size, top, height, out, *, flip=False):
    order = np.arange(out)[::-1] if flip else np.arange(out)
    c = top + (order[:, None] + 0.5) * height / out
    j = np.arange(size)
    w = np.where((j >= top) & (j < top + height), np.maximum(0, 1 - abs(c - j - 0.5) / max(1, height / out)), 0)
    return w / w.sum(axis=1, keepdims=True)


def draw_shifts(n_images, *, n_views=2, limit=4, generator):
    return torch.randint(-limit, limit + 1, (n_views, n_images, 2), generator=generator)


def draw_shifts_by_floor(n_images, *, n_views=2, limit=4, generator):
    return (torch.rand(n_views, n_images, 2, generator=generator) * (2 * limit + 1)).floor() - limit


def draw_shifts_by_loop(n_images, *, n_views=2, limit=4, generator):
    views = []
    for _ in range(n_views):
        dy = torch.randint(0, 2 * limit + 1, (n_images,), generator=generator) - limit
        dx = torch.randint(0, 2 * limit + 1, (n_images,), generator=generator) - limit
        views.append(torch.stack([dy, dx], dim=1))
    return torch.stack(views)


ANSWERS = {"02a": crop_matrix, "02b": draw_shifts}
VARIANTS = {
    "02a": [crop_matrix_by_loop, crop_matrix_in_numpy],
    "02b": [draw_shifts_by_floor, draw_shifts_by_loop],
}

"""Notebook 14: a reference answer to each exercise, and other right ways to write it."""

import numpy as np
import torch


def recall_at_k(scores, known, held_out, k):
    best = scores.masked_fill(known, -torch.inf).topk(k, dim=1).indices
    hits = held_out.gather(1, best).sum(dim=1)
    return (hits / held_out.sum(dim=1)).mean()


def recall_with_lists(scores, known, held_out, k):
    shares = []
    for row, has, hidden in zip(scores.tolist(), known.tolist(), held_out.tolist()):
        new = [i for i in range(len(row)) if not has[i]]
        best = sorted(new, key=lambda i: -row[i])[:k]
        shares.append(sum(hidden[i] for i in best) / sum(hidden))
    return sum(shares) / len(shares)


def recall_in_numpy(scores, known, held_out, k):
    scores, held_out = np.where(known, -np.inf, scores.numpy().astype(np.float64)), held_out.numpy()
    best = np.argsort(-scores, axis=1)[:, :k]
    return (np.take_along_axis(held_out, best, axis=1).sum(1) / held_out.sum(1)).mean()


def recall_by_threshold(scores, known, held_out, k):
    """The k-th best score of each user is the bar; what reaches it is in the list."""
    scores = scores.double().masked_fill(known, -torch.inf)
    bar = scores.sort(dim=1, descending=True).values[:, k - 1 : k]
    return ((scores >= bar) & held_out).sum(1).double().div(held_out.sum(1)).mean()


def correlation(windows, template):
    w, t = windows.flatten(1), template.flatten()
    w, t = w - w.mean(dim=1, keepdim=True), t - t.mean()
    return (w * t).sum(dim=1) / (w.norm(dim=1) * t.norm())


def correlation_with_a_loop(windows, template):
    return [torch.corrcoef(torch.stack([w.flatten(), template.flatten()]))[0, 1].item() for w in windows]


def correlation_in_float64(windows, template):
    w, t = (x - x.mean(dim=(-3, -2, -1), keepdim=True) for x in (windows.double(), template.double()))
    return torch.einsum("nchw,chw->n", w, t) / (w.square().sum((1, 2, 3)) * t.square().sum()).sqrt()


def correlation_with_standard_deviations(windows, template):
    w, t = windows.flatten(1), template.flatten()
    covariance = (w * t).mean(dim=1) - w.mean(dim=1) * t.mean()
    return covariance / (w.std(dim=1, correction=0) * t.std(correction=0))


ANSWERS = {"14a": recall_at_k, "14b": correlation}
VARIANTS = {
    "14a": [recall_with_lists, recall_in_numpy, recall_by_threshold],
    "14b": [correlation_with_a_loop, correlation_in_float64, correlation_with_standard_deviations],
}

"""Exercises of notebook 14: how many of the hidden things a list finds, and how alike a window and a template are.

Both are measures. A mistake in the first makes a recommender look good that is not; one in the second makes the honest
baseline of a tracker look bad.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from sslkit.exercises._facts import Probe, randn
from sslkit.exercises._framework import Exercise, Zoo

# 14a: recall among the first k ------------------------------------------------------------------------------


def recall_at_k(scores: Tensor, known: Tensor, held_out: Tensor, k: int) -> Tensor:
    """The share of a user's held-out items among the k best new ones, mean over users: 3 x (U, I), () -> ()."""
    return _hits(scores.masked_fill(known, -torch.inf), held_out, k).div(held_out.sum(dim=1)).mean()


def _listed(scores: Tensor, k: int) -> Tensor:
    """True for the k best items of each user: (U, I) -> (U, I)."""
    return torch.zeros_like(scores, dtype=torch.bool).scatter(1, scores.topk(k, dim=1).indices, True)


def _hits(scores: Tensor, held_out: Tensor, k: int) -> Tensor:
    """How many held-out items are in each user's list: (U, I) -> (U,)."""
    return (_listed(scores, k) & held_out).sum(dim=1).double()


def _new_hits(scores: Tensor, known: Tensor, held_out: Tensor, k: int) -> Tensor:
    return _hits(scores.masked_fill(known, -torch.inf), held_out, k)


found = Zoo()
found.add(
    "a list that recommends what is in the basket already",
    "Known items have high scores, because the scores were learned from them. Give them -inf before you choose.",
    lambda scores, known, held_out, k: _hits(scores, held_out, k).div(held_out.sum(dim=1)).mean(),
)
found.add(
    "a recall of the whole basket, in which finding a known item is a success",
    "Known items are no discovery: take them out of the list with -inf, and count the held-out ones only.",
    lambda scores, known, held_out, k: _hits(scores, held_out | known, k).div((held_out | known).sum(dim=1)).mean(),
)
found.add(
    "a list in which known items have the score 0",
    "Scores can be negative, and then 0 is a high score. Use -inf.",
    lambda scores, known, held_out, k: (
        _hits(scores.masked_fill(known, 0.0), held_out, k).div(held_out.sum(dim=1)).mean()
    ),
)
found.add(
    "hits divided by k, which is the precision",
    "Recall asks which share of the held-out items was found: divide by their number.",
    lambda scores, known, held_out, k: _new_hits(scores, known, held_out, k).div(k).mean(),
)
found.add(
    "hits divided by k or by the number of held-out items, whichever is smaller",
    "This kinder number exists, too. Here we divide by the number of held-out items, also when it is above k.",
    lambda scores, known, held_out, k: (
        _new_hits(scores, known, held_out, k).div(held_out.sum(dim=1).clamp(max=k)).mean()
    ),
)
found.add(
    "the hits of all users at once, divided by all held-out items",
    "Then users with many held-out items count more. Make a share for each user, then the mean.",
    lambda scores, known, held_out, k: _new_hits(scores, known, held_out, k).sum() / held_out.sum(),
)
found.add(
    "the share of users with at least one hit",
    "This is the hit rate. Count how many of a user's held-out items were found.",
    lambda scores, known, held_out, k: (_new_hits(scores, known, held_out, k) > 0).double().mean(),
)
found.add(
    "the mean number of hits",
    "Divide each user's hits by the number of this user's held-out items.",
    lambda scores, known, held_out, k: _new_hits(scores, known, held_out, k).mean(),
)
found.add(
    "a list of the k lowest scores",
    "A high score means: recommend it. topk takes the largest by itself; argsort begins with the smallest.",
    lambda scores, known, held_out, k: _new_hits(-scores, known, held_out, k).div(held_out.sum(dim=1)).mean(),
)
found.add(
    "a list with one item too many",
    "k items, not k + 1. A list from 0 to k, both included, is longer than k.",
    lambda scores, known, held_out, k: _new_hits(scores, known, held_out, k + 1).div(held_out.sum(dim=1)).mean(),
)
found.add(
    "a list that leaves out the held-out items",
    "Leave out what is *known*. What is held out must be findable, it is what we look for.",
    lambda scores, known, held_out, k: _new_hits(scores, held_out, held_out, k).div(held_out.sum(dim=1)).mean(),
)
found.add(
    "one list for all users, of the highest mean scores",
    "Each user has a row of scores, and gets a list of their own.",
    lambda scores, known, held_out, k: (
        _hits(scores.mean(dim=0).expand_as(scores).masked_fill(known, -torch.inf), held_out, k)
        .div(held_out.sum(dim=1))
        .mean()
    ),
)


def _users(seed: int, users: int, items: int, most: int, shift: float) -> Callable[[], tuple]:
    """Users who know some items and have 1 to `most` held out. The scores like both, as learned scores do."""

    def make():
        order = randn(seed, users, items).argsort(dim=1).argsort(dim=1)  # a place for each item
        hidden = 1 + torch.arange(users)[:, None] % most
        held_out, known = order < hidden, (order >= hidden) & (order < hidden + 4)
        return (randn(seed + 1, users, items) + 0.9 * held_out + 1.5 * known + shift, known, held_out), {"k": 3}

    return make


recall_exercise = Exercise(
    id="14a",
    prompt=(
        "Write `recall_at_k(scores, known, held_out, k)`: the share of a user's held-out items among the k items with the "
        "highest scores that the user does not know yet, as the mean over users."
    ),
    stub='''\
def recall_at_k(scores, known, held_out, k):
    """Scores (U, I) of every item for every user; `known` and `held_out` (U, I) are True where a user has the item
    in the known part of the basket, and where it was held out. Recommend to each user the k items with the highest
    scores that are not known. One number: the share of the user's held-out items in this list, mean over users."""
    return None  # your lines here
''',
    reference=recall_at_k,
    probes=(
        Probe("40 users with 1 to 5 held-out items", _users(1, 40, 30, 5, -1.0)),
        Probe("25 users, and negative scores only", _users(11, 25, 20, 4, -9.0)),
        Probe("30 users, and positive scores only", _users(21, 30, 16, 3, 9.0)),
    ),
    mistakes=found,
    verified="Only new items are recommended, and every user has a share of their own.",
    usual="Recommending what the user has already: it looks like a bad model, and it is a bad list.",
    minutes=10,
)

# 14b: normalised correlation --------------------------------------------------------------------------------


def correlation(windows: Tensor, template: Tensor) -> Tensor:
    """Pearson's correlation of the numbers of each window with those of the template: (N, C, H, W), (C, H, W) -> (N,)."""
    w, t = _centred(windows), _centred(template[None])[0]
    return w @ t / (w.norm(dim=1) * t.norm())


def _centred(x: Tensor) -> Tensor:
    """One row of numbers for each, without their mean: (N, ...) -> (N, D)."""
    return x.flatten(1) - x.flatten(1).mean(dim=1, keepdim=True)


def _cosine(w: Tensor, t: Tensor) -> Tensor:
    return w @ t / (w.norm(dim=1) * t.norm())


alike = Zoo()
alike.add(
    "the cosine, with the means left in",
    "Pixels are all positive, so every window looks like every other. Subtract the mean of the window first.",
    lambda w, t: _cosine(w.flatten(1), t.flatten()),
)
alike.add(
    "a correlation in which only the template loses its mean",
    "Each window has a mean of its own, and it is still in the length that you divide by.",
    lambda w, t: _cosine(w.flatten(1), _centred(t[None])[0]),
)
alike.add(
    "a correlation in which only the windows lose their mean",
    "The template has a mean, too, and it is still in the length that you divide by.",
    lambda w, t: _cosine(_centred(w), t.flatten()),
)
alike.add(
    "a product with centred numbers that is not divided by the lengths",
    "A window with strong contrast wins everywhere. Divide by the length of both.",
    lambda w, t: _centred(w) @ _centred(t[None])[0],
)
alike.add(
    "a covariance: the mean of the products of centred numbers",
    "A window with strong contrast wins everywhere. Divide by the length of both.",
    lambda w, t: _centred(w) @ _centred(t[None])[0] / t.numel(),
)
alike.add(
    "a correlation divided by the lengths before the means were subtracted",
    "First the means, then the lengths: the length of what is left.",
    lambda w, t: _centred(w) @ _centred(t[None])[0] / (w.flatten(1).norm(dim=1) * t.norm()),
)
alike.add(
    "a correlation in which one mean of all windows is subtracted",
    "w.mean() is one number for all. Each window has a mean of its own.",
    lambda w, t: _cosine(w.flatten(1) - w.mean(), _centred(t[None])[0]),
)
alike.add(
    "the plain product of window and template",
    "The brightest window wins. Subtract the means, then divide by both lengths.",
    lambda w, t: w.flatten(1) @ t.flatten(),
)
alike.add(
    "a correlation that is divided by the length of the template only",
    "A window with strong contrast wins. Each window is divided by its own length, too.",
    lambda w, t: _centred(w) @ _centred(t[None])[0] / _centred(t[None])[0].norm(),
)
alike.add(
    "a correlation that is divided by the length of all windows together",
    "norm() without dim=1 is one number for all. Each window has a length of its own.",
    lambda w, t: _centred(w) @ _centred(t[None])[0] / (_centred(w).norm() * _centred(t[None])[0].norm()),
)
alike.add(
    "a correlation that is divided by the squared lengths",
    "Take the root: the length, not its square.",
    lambda w, t: (
        _centred(w) @ _centred(t[None])[0] / (_centred(w).square().sum(1) * _centred(t[None])[0].square().sum())
    ),
)
alike.add(
    "a correlation from which the mean over the windows is subtracted",
    "The mean is taken over the numbers *of one window*, not over all windows at one pixel.",
    lambda w, t: _cosine(w.flatten(1) - w.flatten(1).mean(dim=0), _centred(t[None])[0]),
)
alike.add(
    "a correlation in which each colour loses a mean of its own",
    "Then the colour of a window does not count any more. Here one mean is subtracted from all numbers of a window.",
    lambda w, t: _cosine(
        (w - w.mean(dim=(2, 3), keepdim=True)).flatten(1), (t - t.mean(dim=(1, 2), keepdim=True)).flatten()
    ),
)
alike.add(
    "a correlation that divides by D above and by D - 1 below",
    "torch.std divides by D - 1. Take sums in all three places, or correction=0.",
    lambda w, t: correlation(w, t) * (t.numel() - 1) / t.numel(),
)
alike.add(
    "the size of the correlation, without its sign",
    "-1 is a negative of the template, and as far from it as can be. Keep the sign.",
    lambda w, t: correlation(w, t).abs(),
)
alike.add(
    "a squared correlation",
    "Without the square: it hides the sign.",
    lambda w, t: correlation(w, t).square(),
)
alike.add(
    "minus the squared difference",
    "It falls when the light changes, though the form is the same. Here means and contrast must not count.",
    lambda w, t: -(w - t).flatten(1).square().sum(dim=1),
)


def _windows(seed: int, n: int, *shape: int) -> Callable[[], tuple]:
    """Windows in [0, 1] of different light and contrast, some of them like the template, one like its negative."""

    def make():
        template = randn(seed, *shape).sigmoid()
        alike, light, contrast = torch.linspace(-1, 1, n), 0.3 + 0.4 * randn(seed + 1, n).sigmoid(), randn(seed + 2, n)
        mixed = alike.view(-1, 1, 1, 1) * (template - 0.5) + 0.3 * (randn(seed + 3, n, *shape).sigmoid() - 0.5)
        return (
            (light + 0.0).view(-1, 1, 1, 1) + (0.2 + 0.4 * contrast.sigmoid()).view(-1, 1, 1, 1) * mixed,
            template,
        ), {}

    return make


correlation_exercise = Exercise(
    id="14b",
    prompt=(
        "Write `correlation(windows, template)`: for each window, the correlation of its numbers with those of the template."
    ),
    stub='''\
def correlation(windows, template):
    """Windows (N, C, H, W) and a template (C, H, W). N numbers, between -1 and 1: subtract from each window the mean
    of all its C·H·W numbers, do the same with the template, multiply and sum, and divide by the lengths of both
    (the roots of their sums of squares, after the means were subtracted)."""
    return None  # your lines here
''',
    reference=correlation,
    probes=(
        Probe("9 windows of 3 x 4 x 4", _windows(1, 9, 3, 4, 4)),
        Probe("5 windows of 1 x 3 x 5", _windows(11, 5, 1, 3, 5)),
        Probe("12 windows of 3 x 2 x 3", _windows(21, 12, 3, 2, 3)),
    ),
    mistakes=alike,
    verified="Light and contrast of a window do not count, its form does.",
    usual="Leaving the mean in: all pixels are positive, so all windows look alike, and the brightest or the flattest wins.",
    minutes=10,
)

EXERCISES = (recall_exercise, correlation_exercise)

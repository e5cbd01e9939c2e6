"""A quick look at a method in the middle of its training: a few hundred validation pictures, a fraction of a second."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sslkit import evaluation, seeds
from sslkit.datasets import Images
from sslkit.methods import Method
from sslkit.nets import looking


def glance(method: Method, data: Images, *, at: str = "z", n: int = 256) -> dict:
    """Collapse numbers and the spectrum of up to `n` validation pictures, and the share of pairs that are found.

    at: "z" looks where the loss does, behind the head; "h" at the representation.
    "pairs_found": the share of views whose partner is the most similar of all other views, by the cosine of z. It is
    missing where a method makes one view only. The pictures and their views are always the same.
    """
    some = data.val[:n]
    index, draw = torch.arange(len(some)), seeds.generator("glance")
    head = getattr(method, "head", None) or nn.Identity()
    with looking(method) as device:
        views = method.collect(some.images.to(device), index.to(device), some.labels, draw).views
        views = [view for view in views if view.shape == views[0].shape][:2]
        h = [method.encoder(view).float() for view in views]
        z = [head(x).float() for x in h]
    seen = [x.cpu() for x in (h if at == "h" else z)]
    report = evaluation.collapse(*seen)
    found = {"pairs_found": pairs_found(*z)} if len(z) == 2 else {}
    return {name: report[name] for name in ("std", "rankme", "alignment", "uniformity", "spectrum", "verdict")} | found


def pairs_found(z1: Tensor, z2: Tensor) -> float:
    """The share of all 2B views whose partner has rank 1 among the 2B - 1 others."""
    z = F.normalize(torch.cat([z1, z2]), dim=1)
    cosines = (z @ z.T).fill_diagonal_(-torch.inf)  # (2B, 2B)
    partner = torch.arange(len(z), device=z.device).roll(len(z1))
    return (cosines.argmax(1) == partner).sum().item() / len(z)

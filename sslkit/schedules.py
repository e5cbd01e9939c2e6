"""Schedules: a step or a share of the training in, one number out."""

from __future__ import annotations

import math


def warmup_cosine(step: int, *, steps: int, warmup: int = 0) -> float:
    """The share of the full learning rate at `step`: a straight rise, then half a cosine down to almost zero.

    The rise is 1/warmup at step 0 and 1 at step warmup - 1, so the first step already learns.
    SimCLR trains with ten epochs of warm-up, then a cosine (arXiv 2002.05709, section 2.3; arXiv 1608.03983).
    """
    if step < warmup:
        return (step + 1) / warmup
    return cosine(1.0, 0.0, (step - warmup) / max(1, steps - warmup))


def cosine(start: float, end: float, progress: float) -> float:
    """A smooth way from `start` (progress 0) to `end` (progress 1): half a period of the cosine."""
    return end + (start - end) * (1 + math.cos(math.pi * progress)) / 2

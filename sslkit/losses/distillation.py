"""Distillation losses: one view predicts what another view says. There are no negatives.

The prediction and its target come from the caller, who also detaches the target (or does not, to watch the collapse).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from sslkit.errors import require
from sslkit.losses._checks import check_floating, check_positive, check_scores, check_views, normalise


def cosine_distance(p: Tensor, z: Tensor) -> Tensor:
    """Turn each prediction into the direction of its target: the negative cosine, mean over the B pairs.

    D of SimSiam (arXiv 2011.10566, eq. 1). BYOL's squared distance of unit vectors (arXiv 2006.07733, section 3.1) is
    2 + 2 * cosine_distance. Both inputs get a gradient: the stop-gradient on z is the caller's `z.detach()`. Rows are
    normalised here; a zero row has cosine 0 and gets no gradient.

    (B, D), (B, D) -> (), with B >= 1, from -1 to 1. -1 is the minimum *and* the collapsed value: this loss cannot tell.
    Raises TypeError or ValueError for inputs that are not two floating (B, D) tensors.
    """
    p, z = check_views(p, z, at_least=1, names=("p", "z"))
    return -(normalise(p) * normalise(z)).sum(dim=1).mean()


@torch.no_grad()
def sinkhorn(scores: Tensor, *, epsilon: float = 0.05, iterations: int = 3) -> Tensor:
    """Turn scores into codes: share the images out evenly over the prototypes, each image where it scores well.

    The Sinkhorn-Knopp algorithm of SwAV (arXiv 2006.09882, section 3.1), on logarithms, where nothing can overflow:
    exp(scores / epsilon), then in turn every prototype's column and every image's row are divided by their sums. A small
    epsilon makes codes that are almost one-hot. After the authors' three iterations the columns are only roughly even.

    (B, K) -> (B, K), rows sum to 1, float32 or wider. Never has a gradient: codes are targets.
    Raises TypeError or ValueError for scores that are not floating (B, K), and for epsilon or iterations <= 0.
    """
    check_positive(epsilon=epsilon, iterations=iterations)
    [[scores]] = check_scores(scores=[scores])
    log_codes = scores / epsilon  # (B, K)
    for _ in range(iterations):
        log_codes = log_codes - log_codes.logsumexp(dim=0, keepdim=True)  # every prototype gets as much as every other
        log_codes = log_codes - log_codes.logsumexp(dim=1, keepdim=True)  # every image gives 1
    return log_codes.exp()


def swapped_prediction(scores: Sequence[Tensor], codes: Sequence[Tensor], *, temperature: float = 0.1) -> Tensor:
    """Predict the code of one view from another view of the same image.

    SwAV (arXiv 2006.09882, section 3.1): cross-entropy between the code of view t and softmax(scores / temperature) of
    view s, the mean over the images and over all pairs t != s. `scores` are similarities to K prototypes, one (B, K)
    for each of V views; `codes` are those of the first T views (`sinkhorn` of their scores), with T <= V: in multi-crop
    the small views predict, but only the full ones are predicted.

    V x (B, K), T x (B, K) -> (), with V >= 2. ln(K) when all scores are equal (collapse).
    Raises TypeError or ValueError for anything else than such lists, and for temperature <= 0.
    """
    check_positive(temperature=temperature)
    scores, codes = check_scores(scores=scores, codes=codes)
    return _across_views(codes, [(x / temperature).log_softmax(dim=1) for x in scores])


def self_distillation(
    student: Sequence[Tensor],
    teacher: Sequence[Tensor],
    centre: Tensor,
    *,
    student_temperature: float = 0.1,
    teacher_temperature: float = 0.04,
) -> Tensor:
    """Let the student say of one view what the teacher says of another view of the same image.

    DINO (arXiv 2104.14294, section 3.1): cross-entropy between softmax((teacher - centre) / teacher_temperature) of view
    t and softmax(student / student_temperature) of view s, the mean over the images and over all pairs t != s. The
    teacher saw the first T of the student's V views. The centre works against one output that always wins, the low
    temperature of the teacher against outputs that are all the same.

    V x (B, K), T x (B, K), (K,) -> (), with V >= 2 and T <= V. ln(K) when all outputs are equal, which is one collapse; near
    0 when one output always wins, which is the other, and which the loss cannot tell from success.
    Raises TypeError or ValueError for anything else than such lists and centre, and for temperatures <= 0.
    """
    check_positive(student_temperature=student_temperature, teacher_temperature=teacher_temperature)
    student, teacher = check_scores(student=student, teacher=teacher)
    check_floating("centre", centre)
    K = student[0].shape[1]
    require(centre.shape == (K,), f"centre must be (K,) = ({K},), got {tuple(centre.shape)}.")
    targets = [((t - centre) / teacher_temperature).softmax(dim=1) for t in teacher]
    return _across_views(targets, [(s / student_temperature).log_softmax(dim=1) for s in student])


def _across_views(targets, log_predictions):
    """Cross-entropy of T targets and V predictions, the mean over all pairs but a view with itself."""
    pairs = [(t, s) for t in range(len(targets)) for s in range(len(log_predictions)) if s != t]
    counts = f"got {len(targets)} targets and {len(log_predictions)} predictions."
    require(pairs and len(targets) <= len(log_predictions), f"V must be at least 2 and T at most V; {counts}")
    return -torch.stack([(targets[t] * log_predictions[s]).sum(dim=1).mean() for t, s in pairs]).mean()

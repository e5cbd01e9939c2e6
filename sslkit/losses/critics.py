"""Losses on the scores of a learnt critic: is this the same image, and which of them is it?"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from sslkit.errors import require
from sslkit.losses._checks import at_least_float32, check_floating


def discrimination(yes: Tensor, no: Tensor) -> Tensor:
    """Give high scores to what should be `yes` and low scores to what should be `no`: binary cross-entropy.

    Scores are logits, log-odds of a yes. Both sides count the same, however many scores they have:

        loss = ½ mean log(1 + e^(-yes)) + ½ mean log(1 + e^no)

    With the scores of views of the same image and of different images it is the objective of relational reasoning
    (arXiv 2006.05849), whose authors' code offers it beside a focal loss; with real pictures and made ones it is that of
    the judge of a GAN (arXiv 1406.2661). Whoever wants to fool the judge minimises `discrimination(no, yes)`: unlike the
    negative of the judge's loss, that keeps a gradient when the judge is sure ("non-saturating").

    (...), (...) -> (), >= 0. ln 2 when all scores are 0; equal scores for yes and no cannot do better (collapse).
    Raises TypeError or ValueError for scores that are not floating or empty.
    """
    check_floating("yes, no", yes, no)
    yes, no = at_least_float32(yes), at_least_float32(no)
    got = f"got yes {tuple(yes.shape)} and no {tuple(no.shape)}."
    require(yes.numel() and no.numel(), f"yes and no must have at least one score each; {got}")
    return (F.softplus(-yes).mean() + F.softplus(no).mean()) / 2


def critic_nce(scores: Tensor) -> Tensor:
    """Find each image's other view among the B other views, by the scores of a critic.

    InfoNCE (arXiv 1807.03748) for any similarity f, with scores[i, j] = f(z1_i, z2_j), the mean of both directions:

        loss = ½ mean_i [-s_ii + log Σ_j e^(s_ij)] + ½ mean_j [-s_jj + log Σ_i e^(s_ij)]

    A row has one partner and B - 1 others. NT-Xent has 2B - 2 others, because views of the same side count there too.

    (B, B) -> (), with B >= 2. ln B when all scores are equal (collapse); the bound is 0.
    Raises TypeError or ValueError for scores that are not a floating (B, B) tensor.
    """
    check_floating("scores", scores)
    scores = at_least_float32(scores)
    square = scores.ndim == 2 and len(scores) == scores.shape[1] > 1
    require(square, f"scores must be (B, B), a row and a column per image, B at least 2; got {tuple(scores.shape)}.")
    partner = torch.arange(len(scores), device=scores.device)
    return (F.cross_entropy(scores, partner) + F.cross_entropy(scores.T, partner)) / 2

"""Contrastive losses: views of one image attract, views of different images repel."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from sslkit.errors import require
from sslkit.losses._checks import (
    at_least_float32,
    check_floating,
    check_positive,
    check_tensor,
    check_views,
    normalise,
)

DENSE = 1024  # views (2B) up to which NT-Xent holds all cosines at once, 4 MB in float32
ROWS = 512  # of them at a time beyond that, which is also faster: they stay in the processor's cache


def nt_xent(z1: Tensor, z2: Tensor, *, temperature: float = 0.5) -> Tensor:
    """Find each view's partner among all the other views of the batch, by cosine similarity.

    NT-Xent of SimCLR (arXiv 2002.05709, eq. 1), the mean over all 2B anchors:

        loss = mean_i [-s(i, partner of i) / temperature + log Σ_{k ≠ i} exp(s(i, k) / temperature)],  s = cosine

    The sum has 2B - 1 terms: the partner is in it, the anchor itself is not. The paper's temperature is 0.1 on
    ImageNet, 0.5 on CIFAR. Rows are normalised here; a zero row has cosine 0 to all others and gets no gradient.

    (B, D), (B, D) -> (), with B >= 2. ln(2B - 1) when all embeddings are equal (collapse); never below the bound of
    `nt_xent_references`, never above 2 / temperature + ln(2B - 1).
    The matrix of cosines is never held as a whole when there are more than `DENSE` views: its rows are made a few at a
    time, and the gradient with them. Value and gradient are the same; a gradient of the gradient is not there. (With a
    temperature that is a tensor, to be learned, the matrix is held.)
    Raises TypeError or ValueError for inputs that are not two floating (B, D) tensors, and for temperature <= 0.
    """
    z1, z2 = check_views(z1, z2, temperature=temperature)
    z = normalise(torch.cat([z1, z2]))  # (2B, D)
    partner = torch.arange(len(z), device=z.device).roll(len(z1))  # (2B,): B, ..., 2B - 1, 0, ..., B - 1
    if len(z) > DENSE and not isinstance(temperature, Tensor):  # a temperature that is learned needs a gradient, too
        return _ByRows.apply(z, partner, temperature)
    logits = at_least_float32(z @ z.T) / temperature  # (2B, 2B)
    return F.cross_entropy(logits.fill_diagonal_(-torch.inf), partner)


class _ByRows(torch.autograd.Function):
    """`nt_xent` of rows of length one, with a few rows of the cosines in memory at a time.

    The gradient of one number is known as soon as the number is, up to the factor that comes with backward. So it is
    made in the same pass, while the rows are there: with p the softmax of the rows, the partner's 1 taken off,
    ∂loss/∂z = (p + pᵀ) z / (2B temperature).
    """

    @staticmethod
    def forward(ctx, z: Tensor, partner: Tensor, temperature: float) -> Tensor:
        loss, gradient = 0.0, at_least_float32(torch.zeros_like(z))
        for first in range(0, len(z), ROWS):
            rows, mine = z[first : first + ROWS], partner[first : first + ROWS, None]  # (R, D), (R, 1)
            logits = at_least_float32(rows @ z.T).div_(temperature)  # (R, 2B)
            logits.diagonal(first).fill_(-torch.inf)
            norm = logits.logsumexp(1, keepdim=True)  # (R, 1)
            loss = loss + (norm - logits.gather(1, mine)).sum()
            p = logits.sub_(norm).exp_()
            p.scatter_add_(1, mine, -torch.ones_like(norm))
            p = p.to(z.dtype)
            gradient[first : first + ROWS] += p @ z
            gradient += p.T @ rows
        ctx.save_for_backward(gradient.div_(len(z) * temperature).to(z.dtype))
        return loss / len(z)

    @staticmethod
    @once_differentiable
    def backward(ctx, factor: Tensor):
        (gradient,) = ctx.saved_tensors
        return factor * gradient, None, None


def nt_xent_references(n: int, *, temperature: float = 0.5) -> dict[str, float]:
    """What a value of `nt_xent` on n images (2n views) means: the lines that a loss curve may show.

    With partners equal and the views of different images all at one cosine s, the loss is
    ln(1 + (2n - 2) e^((s - 1) / temperature)):

        collapsed    s = 1             all embeddings equal: ln(2n - 1)
        orthogonal   s = 0             the practical floor
        bound        s = -1 / (n - 1)  images at the corners of a regular simplex: the minimum, needs D >= n - 1
    """
    require(n >= 2, f"n is the number of images in a batch and must be at least 2, got {n}.")
    check_positive(temperature=temperature)
    loss = lambda s: math.log1p((2 * n - 2) * math.exp((s - 1) / temperature))
    return {"collapsed": loss(1), "orthogonal": loss(0), "bound": loss(-1 / (n - 1))}


def sup_con(z1: Tensor, z2: Tensor, labels: Tensor, *, temperature: float = 0.1) -> Tensor:
    """Find all views of the anchor's class, not only its partner: `nt_xent` with labels.

    SupCon (arXiv 2004.11362, eq. 2, L_out), the mean over all 2B anchors; P(i) are the other views with the label of i:

        loss = mean_i -1 / |P(i)| Σ_{p ∈ P(i)} [s(i, p) / temperature - log Σ_{k ≠ i} exp(s(i, k) / temperature)]

    It takes pairs, like its relatives, so every anchor has at least its partner as a positive, and the division by zero
    of the stacked form cannot happen. Labels that all differ, such as the index of each image, make it `nt_xent`. The
    authors' code multiplies by temperature / 0.07 on top, this does not.

    (B, D), (B, D), (B,) -> (), with B >= 2. ln(2B - 1) when all embeddings are equal (collapse).
    Raises TypeError or ValueError for inputs that are not two floating (B, D) tensors and B labels, and for
    temperature <= 0.
    """
    z1, z2 = check_views(z1, z2, temperature=temperature)
    check_tensor("labels", labels)
    require(labels.shape == z1.shape[:1], f"labels must be (B,), got {tuple(labels.shape)} for z1 {tuple(z1.shape)}.")
    itself = torch.eye(2 * len(z1), dtype=torch.bool, device=z1.device)
    logits = (_cosines(z1, z2) / temperature).masked_fill(itself, -torch.inf)  # (2B, 2B)
    label = labels.repeat(2)  # (2B,)
    positive = (label[:, None] == label) & ~itself  # (2B, 2B)
    log_p = logits.log_softmax(dim=1).masked_fill(~positive, 0)
    return -(log_p.sum(dim=1) / positive.sum(dim=1)).mean()


def sup_con_references(n: int) -> dict[str, float]:
    """What a value of `sup_con` on n images means: collapsed, all embeddings equal, whatever the labels.

    How low it can go depends on the labels: a batch of one single class stays at ln(2n - 1).
    """
    require(n >= 2, f"n is the number of images in a batch and must be at least 2, got {n}.")
    return {"collapsed": math.log(2 * n - 1)}


def decoupled_contrastive(z1: Tensor, z2: Tensor, *, temperature: float = 0.1, sigma: float | None = None) -> Tensor:
    """`nt_xent` without the partner in the sum: a pair that has met no longer weakens the push of the others.

    DCL (arXiv 2110.06848), the mean over all 2B anchors, with the 2B - 2 views of other images in the sum:

        loss = mean_i [-w_i s(i, partner of i) / temperature + log Σ_{k not of image i} exp(s(i, k) / temperature)]

    w = 1. With `sigma` (the paper's is 0.5) it is DCLW: w = 2 - B softmax(s(i, partner of i) / sigma) over the B images
    has mean 1, gives pairs that are still apart more weight, and is differentiated like the rest.

    (B, D), (B, D) -> (), with B >= 2. ln(2B - 2) when all embeddings are equal (collapse). It may be negative, but is
    never below the bound of `decoupled_contrastive_references`.
    Raises TypeError or ValueError for inputs that are not two floating (B, D) tensors, and for temperature or sigma <= 0.
    """
    z1, z2 = check_views(z1, z2, temperature=temperature, **({} if sigma is None else {"sigma": sigma}))
    s = _cosines(z1, z2)  # (2B, 2B)
    pull = s.diagonal(len(z1))  # (B,): both views of an image have the same partner term
    if sigma is not None:
        pull = pull * (2 - len(z1) * (pull / sigma).softmax(dim=0))
    push = (s / temperature).masked_fill(_same_image(z1), -torch.inf).logsumexp(dim=1)  # (2B,)
    return push.mean() - pull.mean() / temperature


def decoupled_contrastive_references(n: int, *, temperature: float = 0.1) -> dict[str, float]:
    """What a value of `decoupled_contrastive` on n images means, weighted or not: with partners equal all weights are 1.

    With the views of different images all at one cosine s, the loss is ln(2n - 2) + (s - 1) / temperature:

        collapsed    s = 1             all embeddings equal: ln(2n - 2)
        orthogonal   s = 0             the practical floor
        bound        s = -1 / (n - 1)  images at the corners of a regular simplex: the minimum, needs D >= n - 1
    """
    require(n >= 2, f"n is the number of images in a batch and must be at least 2, got {n}.")
    check_positive(temperature=temperature)
    loss = lambda s: math.log(2 * n - 2) + (s - 1) / temperature
    return {"collapsed": loss(1), "orthogonal": loss(0), "bound": loss(-1 / (n - 1))}


def triplet(z1: Tensor, z2: Tensor, *, margin: float = 0.2, hardest: bool = False) -> Tensor:
    """Keep the views of other images further away than the partner, by a margin.

    The triplet loss of FaceNet (arXiv 1503.03832) with cosine distance d = 1 - s:

        loss = mean_{i, k not of image i} max(0, margin + d(i, partner of i) - d(i, k))

    The mean is over all 2B (2B - 2) triplets, those that are far enough already included. With `hardest` each anchor
    has only its nearest negative (batch hard, arXiv 1703.07737), and the mean is over all 2B anchors; FaceNet warns that
    the hardest negatives can collapse a model early in training. Between rows of length one the squared distance of
    FaceNet is 2 d, so the same margin is twice as wide here.

    (B, D), (B, D) -> (), >= 0, with B >= 2. `margin` when all embeddings are equal (collapse).
    Raises TypeError or ValueError for inputs that are not two floating (B, D) tensors, and for margin <= 0.
    """
    z1, z2 = check_views(z1, z2, margin=margin)
    s = _cosines(z1, z2)  # (2B, 2B)
    positive = s.diagonal(len(z1)).repeat(2)[:, None]  # (2B, 1)
    short = F.relu(margin + s - positive).masked_fill(_same_image(z1), 0)  # (2B, 2B)
    return short.amax(dim=1).mean() if hardest else short.sum() / (len(s) * (len(s) - 2))


def triplet_references(*, margin: float = 0.2) -> dict[str, float]:
    """What a value of `triplet` means: collapsed, all embeddings equal; bound, every negative beyond the margin."""
    check_positive(margin=margin)
    return {"collapsed": float(margin), "bound": 0.0}


def align_uniform(
    z1: Tensor, z2: Tensor, *, alpha: float = 2.0, t: float = 2.0, lambda_: float = 1.0
) -> dict[str, Tensor]:
    """Pull the views of an image together, spread the images over the sphere: what `nt_xent` does, in two terms.

    Alignment and uniformity (arXiv 2005.10242, section 4.1), on rows of length one:

        alignment  = mean_i ‖z1_i - z2_i‖^alpha
        uniformity = log mean_{i < j} exp(-t ‖z_i - z_j‖²), averaged over the views
        loss       = alignment + lambda_ * uniformity

    (B, D), (B, D) -> {"loss", "alignment", "uniformity"}, scalars, with B >= 2; uniformity comes without lambda_. All
    three are 0 when all embeddings are equal (collapse). Uniformity is never above 0 and goes towards -2t for images
    that are spread in many dimensions.
    Raises TypeError or ValueError for inputs that are not two floating (B, D) tensors, for alpha < 1, and for t or
    lambda_ <= 0.
    """
    z1, z2 = (normalise(z) for z in check_views(z1, z2, t=t, lambda_=lambda_))
    require(1 <= alpha < math.inf, f"alpha must be a finite number of at least 1, got {alpha}.")
    pairs = len(z1) * (len(z1) - 1) / 2
    alignment = (torch.linalg.vector_norm(z1 - z2, dim=1) ** alpha).mean()
    potential = [(-t * torch.pdist(z).square()).logsumexp(dim=0) for z in (z1, z2)]
    uniformity = sum(potential) / 2 - math.log(pairs)
    return {"loss": alignment + lambda_ * uniformity, "alignment": alignment, "uniformity": uniformity}


def align_uniform_references(n: int, *, t: float = 2.0, lambda_: float = 1.0) -> dict[str, float]:
    """What a value of `align_uniform` on n images means. With partners equal and images at one cosine s it is
    -2 t lambda_ (1 - s):

        collapsed    s = 1             all embeddings equal: 0
        orthogonal   s = 0             the practical floor
        bound        s = -1 / (n - 1)  images at the corners of a regular simplex: the minimum, needs D >= n - 1
    """
    require(n >= 2, f"n is the number of images in a batch and must be at least 2, got {n}.")
    check_positive(t=t, lambda_=lambda_)
    return {"collapsed": 0.0, "orthogonal": -2.0 * t * lambda_, "bound": -2.0 * t * lambda_ * n / (n - 1)}


def _cosines(z1: Tensor, z2: Tensor) -> Tensor:
    """All views against all views, the first ones before the second ones. (B, D), (B, D) -> (2B, 2B)."""
    z = normalise(torch.cat([z1, z2]))  # (2B, D)
    return at_least_float32(z @ z.T)


def _same_image(z1: Tensor) -> Tensor:
    """Where both views come from one image: a view and itself, a view and its partner. (B, D) -> bool (2B, 2B)."""
    image = torch.arange(len(z1), device=z1.device).repeat(2)  # (2B,)
    return image[:, None] == image


def info_nce(queries: Tensor, keys: Tensor, negatives: Tensor | None = None, *, temperature: float = 0.07) -> Tensor:
    """Find the key of each query among negatives, by cosine similarity, in this one direction.

    InfoNCE as in MoCo (arXiv 1911.05722, eq. 1), the mean over the B queries:

        loss = mean_i [-s(q_i, k_i) / temperature + log Σ_k exp(s(q_i, k) / temperature)],  s = cosine

    The sum has 1 + K terms: the query's own key and the K `negatives`, which all queries share (MoCo's queue). Without
    negatives it has B terms: the keys of the other queries take their place. Rows are normalised here; a zero row has
    cosine 0 to all others and gets no gradient. Unlike `nt_xent`, a query is not compared with other queries.

    (B, D), (B, D), (K, D) -> (), with B >= 1, or B >= 2 without negatives. ln(1 + K), or ln(B), when all embeddings
    are equal (collapse); see `info_nce_references`.
    Raises TypeError or ValueError for inputs that are not floating (B, D), (B, D) and (K, D), and for temperature <= 0.
    """
    at_least = 2 if negatives is None else 1
    q, k = check_views(queries, keys, at_least=at_least, names=("queries", "keys"), temperature=temperature)
    q, k = normalise(q), normalise(k)
    if negatives is None:
        logits, own = q @ k.T, torch.arange(len(q), device=q.device)  # (B, B): my key is in my column
    else:
        check_floating("negatives", negatives)
        fits = negatives.ndim == 2 and len(negatives) and negatives.shape[1] == q.shape[1]
        require(fits, f"negatives must be (K, {q.shape[1]}) with K >= 1, got {tuple(negatives.shape)}.")
        logits = torch.cat([(q * k).sum(dim=1, keepdim=True), q @ normalise(negatives.to(q.dtype)).T], dim=1)
        own = torch.zeros(len(q), dtype=torch.long, device=q.device)  # (B, 1 + K): my key is in column 0
    return F.cross_entropy(at_least_float32(logits) / temperature, own)


def info_nce_references(n_negatives: int, *, temperature: float = 0.07) -> dict[str, float]:
    """What a value of `info_nce` with so many negatives for each query means: the lines that a loss curve may show.

    With each query equal to its key and all negatives at one cosine s, the loss is
    ln(1 + n_negatives e^((s - 1) / temperature)):

        collapsed    s = 1   all embeddings equal: ln(1 + n_negatives)
        orthogonal   s = 0   the practical floor
    """
    require(n_negatives >= 1, f"n_negatives must be at least 1, got {n_negatives}.")
    check_positive(temperature=temperature)
    loss = lambda s: math.log1p(n_negatives * math.exp((s - 1) / temperature))
    return {"collapsed": loss(1), "orthogonal": loss(0)}

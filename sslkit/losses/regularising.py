"""Regularising losses: no negatives, the statistics of the batch prevent collapse."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from sslkit.errors import require
from sslkit.losses._checks import at_least_float32, check_floating, check_positive, check_views, normalise

_VARIANCE_EPSILON = 1e-4  # keeps the gradient of VICReg's square root finite at zero variance
_BATCH_NORM_EPSILON = 1e-5  # the one of PyTorch's batch norm, with which Barlow Twins' authors standardise


def vicreg(
    z1: Tensor, z2: Tensor, *, sim_coeff: float = 25.0, std_coeff: float = 25.0, cov_coeff: float = 1.0
) -> dict[str, Tensor]:
    """Pull views together, keep every dimension spread over the batch, keep dimensions uncorrelated.

    VICReg (arXiv 2105.04906, eq. 1-6), normalised as in the authors' code, which differs from the paper in two places:

        invariance = mean of (z1 - z2)² over B and D                                     eq. 5 adds over D
        variance   = mean over D of max(0, 1 - √(var + 1e-4)), averaged over the views   eq. 6 adds over the views
        covariance = Σ_{i ≠ j} cov_ij² / D, added over the views
        loss       = sim_coeff * invariance + std_coeff * variance + cov_coeff * covariance

    var and cov divide by B - 1. Rows are not normalised.

    (B, D), (B, D) -> {"loss", "invariance", "variance", "covariance"}, scalars >= 0, with B >= 2; the three terms come
    without their coefficients. 0.99 * std_coeff (24.75) when all embeddings are equal (collapse).
    Raises TypeError or ValueError for inputs that are not two floating (B, D) tensors.
    """
    z = torch.stack(check_views(z1, z2))  # (2, B, D)
    weights = (sim_coeff, std_coeff, cov_coeff)
    require(all(0 <= w < math.inf for w in weights), f"coefficients must be finite and not below 0, got {weights}.")
    _, B, D = z.shape
    std = (z.var(dim=1) + _VARIANCE_EPSILON).sqrt()  # (2, D)
    c = (z - z.mean(dim=1, keepdim=True)) / math.sqrt(B - 1)  # (2, B, D), divided now: autocast multiplies in half
    cov = at_least_float32(c.mT @ c)  # (2, D, D)
    off_diagonal = cov - torch.diag_embed(cov.diagonal(dim1=1, dim2=2))
    invariance = (z[0] - z[1]).square().mean()
    variance = F.relu(1 - std).mean()
    covariance = off_diagonal.square().sum() / D
    loss = sim_coeff * invariance + std_coeff * variance + cov_coeff * covariance
    return {"loss": loss, "invariance": invariance, "variance": variance, "covariance": covariance}


def vicreg_references(*, std_coeff: float = 25.0) -> dict[str, float]:
    """What a value of `vicreg` means: collapsed, all embeddings equal, where only the variance term is left; bound, 0.

    The bound is reached only if D <= B - 1: a batch cannot spread more dimensions than that without correlation.
    """
    return {"collapsed": std_coeff * (1 - math.sqrt(_VARIANCE_EPSILON)), "bound": 0.0}


def barlow_twins(z1: Tensor, z2: Tensor, *, lambda_: float = 0.0051) -> dict[str, Tensor]:
    """Make the correlations of the two views' dimensions the identity: each dimension equal to itself, to no other.

    Barlow Twins (arXiv 2103.03230, eq. 1 and 2), as in the authors' code: every dimension of each view is standardised
    over the batch, (z - mean) / √(var + 1e-5) with var divided by B, then

        C          = z1ᵀ z2 / B
        invariance = Σ_i (1 - C_ii)²
        redundancy = Σ_{i ≠ j} C_ij²
        loss       = invariance + lambda_ * redundancy

    (B, D), (B, D) -> {"loss", "invariance", "redundancy"}, scalars >= 0, with B >= 2; redundancy comes without lambda_.
    D when all embeddings are equal (collapse), because a constant correlates with nothing.
    Raises TypeError or ValueError for inputs that are not two floating (B, D) tensors, and for lambda_ <= 0.
    """
    z = torch.stack(check_views(z1, z2, lambda_=lambda_))  # (2, B, D)
    c = z - z.mean(dim=1, keepdim=True)
    c = c / (c.square().mean(dim=1, keepdim=True) + _BATCH_NORM_EPSILON).sqrt() / math.sqrt(z.shape[1])
    C = at_least_float32(c[0].T @ c[1])  # (D, D)
    diagonal = C.diagonal()
    invariance = (1 - diagonal).square().sum()
    redundancy = (C - torch.diag(diagonal)).square().sum()
    return {"loss": invariance + lambda_ * redundancy, "invariance": invariance, "redundancy": redundancy}


def barlow_twins_references(dim: int, *, lambda_: float = 0.0051) -> dict[str, float]:
    """What a value of `barlow_twins` on embeddings of `dim` dimensions means: collapsed, all embeddings equal; bound, 0.

    The bound is reached only if D <= B - 1, as for `vicreg`.
    """
    check_positive(dim=dim, lambda_=lambda_)
    return {"collapsed": float(dim), "bound": 0.0}


def w_mse(z1: Tensor, z2: Tensor, *, sub_batch: int = 128) -> Tensor:
    """Whiten each view over the batch, then pull the views of an image together. What is white cannot have collapsed.

    W-MSE (arXiv 2007.06346). The batch is cut into B // sub_batch parts of nearly equal size (one if it is smaller). In
    each part and view, rows lose their mean, columns are made orthonormal from the first to the last (Gram-Schmidt),
    and rows get length one:

        loss = mean_i ‖z1_i - z2_i‖² = mean_i (2 - 2 cosine)

    This is the paper's whitening by the Cholesky factor of the covariance, without squaring its condition number.

    (B, D), (B, D) -> (), from 0 to 4, with more than D images in every part. 2 for views that have nothing in common.
    There is no value for collapse: where a part spans fewer than D dimensions, the result and its gradient mean nothing.
    Raises TypeError or ValueError for inputs that are not two floating (B, D) tensors, and for parts of D or fewer images.
    """
    z1, z2 = check_views(z1, z2, sub_batch=sub_batch)
    (B, D), parts = z1.shape, max(1, len(z1) // sub_batch)
    require(
        B // parts > D,
        f"Whitening {D} dimensions needs more than {D} images at once, got {B // parts} (B {B}, sub_batch {sub_batch}): "
        "use larger batches or a head with fewer outputs.",
    )
    w1, w2 = (torch.cat([normalise(_whiten(part)) for part in z.tensor_split(parts)]) for z in (z1, z2))
    return (w1 - w2).square().sum(dim=1).mean()


def w_mse_references() -> dict[str, float]:
    """What a value of `w_mse` means: unrelated, views that have nothing in common (the mean over batches); bound, 0."""
    return {"unrelated": 2.0, "bound": 0.0}


def _whiten(z: Tensor) -> Tensor:
    """Columns of mean 0 that are orthonormal; the first one keeps its direction. (B, D) -> (B, D), with B > D."""
    q, r = torch.linalg.qr(z - z.mean(dim=0))
    return q * r.diagonal().sign()  # with the signs of the Cholesky factor, the same in both views


def sigreg(z: Tensor, directions: Tensor, *, t_max: float = 3.0, knots: int = 17) -> Tensor:
    """Make embeddings look like standard normal noise from every side, so that they can neither shrink nor line up.

    SIGReg, the regulariser of LeJEPA (arXiv 2511.08544, section 4): the Epps-Pulley statistic, averaged over the M
    directions a on which the embeddings are projected:

        B ∫ |mean_b exp(i t a·z_b) - φ(t)|² φ(t) dt over -t_max < t < t_max,  φ(t) = exp(-t² / 2)

    φ is the characteristic function of the normal distribution, and the weight. The integral is twice that over
    0 <= t <= t_max, by the trapezoid rule on `knots` points; range and points are those of the authors' code. Columns of
    `directions` are normalised here: draw them from a normal distribution, afresh in every step.

    (B, D), (D, M) -> (), >= 0. It grows with B when the embeddings are not normal, and is about 1.05 when they are.
    When all are equal (collapse), it is at least the "collapsed" of `lejepa_references` without lambda_.
    Raises TypeError or ValueError for inputs that are not floating (B, D) and (D, M), and for t_max <= 0 or knots < 2.
    """
    z, _ = check_views(z, z, t_max=t_max)
    check_floating("directions", directions)
    got = f"got {tuple(directions.shape)} for z {tuple(z.shape)}."
    fits = directions.ndim == 2 and len(directions) == z.shape[1] and directions.shape[1] > 0
    require(fits, f"directions (M at least 1) must be (D, M); {got}")
    require(knots >= 2, f"knots must be at least 2, got {knots}.")
    x = at_least_float32(z @ normalise(directions.T.to(z.dtype)).T)  # (B, M)
    t = torch.linspace(0, t_max, knots, dtype=z.dtype, device=z.device)
    angle, phi = x[:, :, None] * t, (-t.square() / 2).exp()  # (B, M, knots), (knots,)
    error = (angle.cos().mean(dim=0) - phi).square() + angle.sin().mean(dim=0).square()  # (M, knots)
    return 2 * len(z) * torch.trapezoid(error * phi, t, dim=1).mean()


def lejepa(
    z1: Tensor, z2: Tensor, directions: Tensor, *, lambda_: float = 0.02, t_max: float = 3.0, knots: int = 17
) -> dict[str, Tensor]:
    """Pull views together while `sigreg` keeps the embeddings of each view normally distributed.

    LeJEPA (arXiv 2511.08544, section 5.1), normalised as in the authors' code:

        invariance = mean of (z - mean of both views)² over views, B and D: a quarter of the mean of (z1 - z2)²
        sigreg     = `sigreg`, averaged over the views
        loss       = (1 - lambda_) * invariance + lambda_ * sigreg

    (B, D), (B, D), (D, M) -> {"loss", "invariance", "sigreg"}, scalars >= 0, with B >= 2; both terms come without their
    factors. `lejepa_references` gives the least value when all embeddings are equal (collapse).
    Raises what `sigreg` raises, and ValueError for lambda_ outside of 0 to 1.
    """
    z1, z2 = check_views(z1, z2)
    require(0 < lambda_ < 1, f"lambda_ must be above 0 and below 1, got {lambda_}.")
    invariance = (z1 - z2).square().mean() / 4
    gauss = sum(sigreg(z, directions, t_max=t_max, knots=knots) for z in (z1, z2)) / 2
    return {"loss": (1 - lambda_) * invariance + lambda_ * gauss, "invariance": invariance, "sigreg": gauss}


def lejepa_references(n: int, *, lambda_: float = 0.02, t_max: float = 3.0, knots: int = 17) -> dict[str, float]:
    """What a value of `lejepa` on n images means:

    collapsed    all embeddings at the origin; equal embeddings elsewhere give more
    gaussian     pairs equal, embeddings standard normal: the mean over batches, the practical floor
    """
    require(n >= 2, f"n is the number of images in a batch and must be at least 2, got {n}.")
    check_positive(lambda_=lambda_, t_max=t_max)
    t = torch.linspace(0, t_max, knots, dtype=torch.float64)
    phi = (-t.square() / 2).exp()
    integral = lambda error: 2 * torch.trapezoid(error * phi, t).item()
    return {
        "collapsed": lambda_ * n * integral((1 - phi).square()),
        "gaussian": lambda_ * integral(1 - phi.square()),  # |mean of B draws of exp(itx) - φ|² has mean (1 - φ²) / B
    }

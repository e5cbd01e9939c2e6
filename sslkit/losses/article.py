"""The founding article's losses (docs/article.md): a distance, a penalty on the weights, and their sum."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from sslkit.errors import require
from sslkit.losses._checks import at_least_float32, check_positive, check_views, normalise


def distance_contrast(
    z1: Tensor, z2: Tensor, *, sigma: float = 1.0, epsilon: float = 1e-3, normalize: bool = False
) -> Tensor:
    """Pull the two views of each image together, by squared distance. Nothing pushes apart: equal for all is a minimum.

    The article's contrast, the mean over the B pairs of

        c = ½ (d - log(exp(-d / sigma) + epsilon)),  d = ‖z1 - z2‖²

    Rows are used as they are, as in the article; `normalize=True` sets them to length one first.

    (B, D), (B, D) -> (), with B >= 1. The minimum, -½ ln(1 + epsilon) at d = 0, is also the collapsed value;
    c approaches ½ (d - ln epsilon) for large d.
    Raises TypeError or ValueError for inputs that are not two floating (B, D) tensors, and for sigma or epsilon <= 0.
    """
    z1, z2 = check_views(z1, z2, at_least=1, sigma=sigma, epsilon=epsilon)
    if normalize:
        z1, z2 = normalise(z1), normalise(z2)
    d = (z1 - z2).square().sum(dim=1)  # (B,)
    return (d - torch.logaddexp(-d / sigma, torch.full_like(d, math.log(epsilon)))).mean() / 2


def mean_difference(z1: Tensor, z2: Tensor) -> Tensor:
    """Pull the two views' means together: the squared length of the mean difference. It does not know which rows pair up.

    The "simple mean difference" that the article says its contrast surpasses, read literally, difference first, then mean:

        loss = ‖1/B Σ_i (z1_i - z2_i)‖² = ‖mean of z1 - mean of z2‖²

    The rows of z2 may be shuffled without any change, so no image has to be near its own other view. The other reading,
    the mean of ‖z1_i - z2_i‖², is `distance_contrast` without its logarithm. Rows are used as they are.

    (B, D), (B, D) -> (), >= 0, with B >= 1. 0 when all embeddings are equal (collapse), and whenever the means agree.
    Raises TypeError or ValueError for inputs that are not two floating (B, D) tensors.
    """
    z1, z2 = check_views(z1, z2, at_least=1)
    return (z1 - z2).mean(dim=0).square().sum()


def weight_penalty(parameters: Iterable[Tensor], *, p: float = 2.0, weights: Sequence[float] | None = None) -> Tensor:
    """Keep weights small: the Euclidean norm of each parameter tensor to the power p, weighted and added.

    The article's regulariser, a power of a norm and not a p-norm:

        Ω = Σ_i w_i ‖θ_i‖₂^p

    `weights` has one w_i per tensor, None means 1 for all: with p = 2 that is the classical L2 penalty, gradient 2 θ. For
    plain gradient descent it equals weight decay, for Adam it does not (arXiv 1711.05101). The article's condition on p
    contradicts itself; p >= 1 is accepted. The gradient at θ_i = 0 is 0 for every p.

    Tensors of any shape -> (), >= 0 for weights >= 0. Raises ValueError for p < 1, no tensors, not one weight each.
    """
    parameters = [parameters] if isinstance(parameters, Tensor) else list(parameters)
    weights = [1.0] * len(parameters) if weights is None else weights
    require(1 <= p < math.inf, f"p must be a finite number of at least 1, got {p}.")
    require(parameters, "parameters is empty; pass module.parameters() afresh, a generator can be read only once.")
    require(len(weights) == len(parameters), f"weights has {len(weights)} entries for {len(parameters)} parameters.")
    return sum(
        w * torch.linalg.vector_norm(at_least_float32(theta)) ** p for w, theta in zip(weights, parameters, strict=True)
    )


def joint_loss(
    contrast: Tensor, penalty: Tensor, *, n_images: int, lambda_: float = 1.0, omega: float = 1e-4
) -> Tensor:
    """Add the contrast and the weight penalty, and share them out over the training images.

    The article's objective, (lambda_ * contrast + omega * penalty) / (2N): contrast is `distance_contrast` (already the
    mean over the batch's pairs), penalty is `weight_penalty`, N = n_images is the number of images in the training set,
    not in the batch. Twice the images, half the loss.

    (), () -> (). Raises ValueError for n_images <= 0.
    """
    check_positive(n_images=n_images)
    return (lambda_ * contrast + omega * penalty) / (2 * n_images)

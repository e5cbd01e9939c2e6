"""Generative losses: paint the picture again, from all of it, from a code or from a few patches."""

from __future__ import annotations

import torch
from torch import Tensor

from sslkit.errors import require
from sslkit.losses._checks import at_least_float32, check_floating, check_positive, check_tensor


def reconstruction(output: Tensor, target: Tensor, *, pixels: str = "mean") -> Tensor:
    """How far a painted picture is from the true one: the squared error, always averaged over the batch.

    Over the numbers of one picture it is a mean, which reads as an error per pixel, or with `pixels="sum"` a sum, as
    a likelihood needs it. The two differ by the factor C * H * W: beside a second term they are different losses.

    (B, ...), (B, ...) -> (), >= 0, with B >= 1. When everything has collapsed to one output, the variance of the target.
    Raises TypeError or ValueError for inputs that are not two floating tensors of one shape, and for other `pixels`.
    """
    output, target = _check_pair("output, target", output, target)
    require(pixels in ("mean", "sum"), f"pixels is {pixels!r}; it must be 'mean' or 'sum'.")
    error = (output - target).square().flatten(1)  # (B, CHW)
    return (error.mean(dim=1) if pixels == "mean" else error.sum(dim=1)).mean()


def kl_to_standard_normal(mean: Tensor, log_variance: Tensor) -> Tensor:
    """How far a normal distribution with a variance for each dimension is from the standard one, on average.

    The closed form of the variational autoencoder (arXiv 1312.6114, appendix B), summed over D, averaged over B:

        KL = ½ Σ_j (mean_j² + variance_j - ln variance_j - 1)

    (B, D), (B, D) -> (), >= 0, with B >= 1. 0 when every image has the code of the prior (posterior collapse).
    Raises TypeError or ValueError for inputs that are not two floating tensors of one shape.
    """
    mean, log_variance = _check_pair("mean, log_variance", mean, log_variance)
    return (mean.square() + log_variance.exp() - log_variance - 1).flatten(1).sum(dim=1).mean() / 2


def negative_elbo(
    output: Tensor, target: Tensor, mean: Tensor, log_variance: Tensor, *, sigma: float = 1.0
) -> dict[str, Tensor]:
    """Paint the picture from a noisy code, and keep the codes of all pictures together near the standard normal.

    The evidence lower bound of the variational autoencoder (arXiv 1312.6114, section 3) with its sign turned, for pixels
    that are normal around the output with standard deviation sigma, without the constant C * H * W * ln(sigma √(2π)):

        loss = Σ_pixels (output - target)² / (2 sigma²) + KL,  averaged over the batch

    Both are sums, over pixels and over latent dimensions: a mean in one of them would change the balance by a factor in
    the hundreds. A small sigma asks for detail: sigma² is the beta that a beta-VAE of unit sigma puts before its KL.

    (B, ...), (B, ...), (B, D), (B, D) -> {"loss", "reconstruction", "kl"}, scalars >= 0, with B >= 1; reconstruction comes
    without its coefficient. kl is 0 in posterior collapse.
    Raises TypeError or ValueError as `reconstruction` and `kl_to_standard_normal` do, and for sigma <= 0.
    """
    check_positive(sigma=sigma)
    error, kl = reconstruction(output, target, pixels="sum"), kl_to_standard_normal(mean, log_variance)
    return {"loss": error / (2 * sigma**2) + kl, "reconstruction": error, "kl": kl}


def masked_reconstruction(
    prediction: Tensor, target: Tensor, mask: Tensor, *, normalize: bool = True, epsilon: float = 1e-6
) -> Tensor:
    """Guess the hidden patches of a picture: the mean squared error on them, and on nothing else.

    The loss of masked autoencoders (arXiv 2111.06377, section 3; normalised as in the authors' code): each target patch
    first loses its mean and is divided by √(variance + epsilon), where the variance divides by K - 1, so that the pattern
    counts, and brightness and contrast do not. `normalize=False` compares pixels.

    (B, P, K), (B, P, K), (B, P) -> (), >= 0, with B, P >= 1 and K >= 2: P patches of K numbers; mask is True or 1 where a
    patch is hidden. Normalised, flat guesses cost (K - 1) / K, as long as no patch is flat itself. NaN if nothing is hidden.
    Raises TypeError or ValueError for other shapes and dtypes, and for epsilon <= 0.
    """
    check_positive(epsilon=epsilon)
    check_tensor("mask", mask)
    prediction, target = _check_pair("prediction, target", prediction, target)
    fits = target.ndim == 3 and mask.shape == target.shape[:2] and target.shape[2] >= 2
    require(fits, f"target must be (B, P, K >= 2) and mask (B, P), got {tuple(target.shape)} and {tuple(mask.shape)}.")
    if normalize:
        variance, mean = torch.var_mean(target, dim=2, keepdim=True)  # (B, P, 1)
        target = (target - mean) / (variance + epsilon).sqrt()
    error = (prediction - target).square().mean(dim=2)  # (B, P)
    return torch.where(mask.bool(), error, 0).sum() / mask.bool().sum()


def _check_pair(names: str, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Two floating tensors of one shape, not empty, of at least two dimensions; half precision becomes float32."""
    check_floating(names, a, b)
    same, got = a.shape == b.shape and a.ndim >= 2 and a.numel() > 0, f"got {tuple(a.shape)} and {tuple(b.shape)}."
    require(same, f"{names} must have one shape, (B, ...), and not be empty; {got}")
    return at_least_float32(a), at_least_float32(b)

"""Exercises of notebook 10: the second term of a variational autoencoder, and the loss of a masked one.

Both are sums and means over the right axes. Most of these mistakes train without a complaint, and paint worse pictures.
"""

from __future__ import annotations

import torch
from torch import Tensor

from sslkit.exercises._facts import Probe, randn
from sslkit.exercises._framework import Exercise, Zoo
from sslkit.losses import kl_to_standard_normal, masked_reconstruction

# 10a: the divergence from the standard normal ---------------------------------------------------------------


def _terms(mean: Tensor, log_variance: Tensor) -> Tensor:
    """(B, D) what each dimension of each picture adds to the divergence."""
    return (mean.square() + log_variance.exp() - log_variance - 1) / 2


zoo = Zoo()
zoo.add(
    "the divergence averaged over the dimensions",
    "The dimensions of a code are independent, so their divergences are added. A mean makes this term D times too weak.",
    lambda mean, log_variance: _terms(mean, log_variance).mean(),
)
zoo.add(
    "the divergence summed over the batch",
    "Add over the dimensions of one picture, then take the mean over the pictures.",
    lambda mean, log_variance: _terms(mean, log_variance).sum(),
)
zoo.add(
    "the divergence averaged over the dimensions and summed over the batch",
    "It is the other way round: a sum over dimensions (dim=1), a mean over pictures.",
    lambda mean, log_variance: _terms(mean, log_variance).mean(dim=1).sum(),
)
zoo.add(
    "the divergence with its sign reversed",
    "A divergence is never below 0. In the paper the term has a minus, because a bound is made large there.",
    lambda mean, log_variance: -kl_to_standard_normal(mean, log_variance),
)
zoo.add(
    "twice the divergence: the ½ is missing",
    "The formula begins with ½. Without it this term weighs twice as much as the other.",
    lambda mean, log_variance: 2 * kl_to_standard_normal(mean, log_variance),
)
zoo.add(
    "the divergence with σ where σ² belongs",
    "exp(log_variance) is σ² already, and exp(log_variance / 2) is σ. The formula needs σ².",
    lambda mean, log_variance: (mean.square() + (log_variance / 2).exp() - log_variance - 1).sum(dim=1).mean() / 2,
)
zoo.add(
    "the divergence with log σ where log σ² belongs",
    "Subtract log_variance itself. Half of it is log σ, and the minimum is then no longer at σ = 1.",
    lambda mean, log_variance: (mean.square() + log_variance.exp() - log_variance / 2 - 1).sum(dim=1).mean() / 2,
)
zoo.add(
    "the divergence that takes the logarithm of the variance for that of the deviation",
    "The second argument is ln σ², not ln σ: do not double it.",
    lambda mean, log_variance: kl_to_standard_normal(mean, 2 * log_variance),
)
zoo.add(
    "the divergence that takes the logarithm of the variance for the variance",
    "The second argument is ln σ²: its exponential is the variance.",
    lambda mean, log_variance: (
        (mean.square() + log_variance - (log_variance.abs() + 1e-6).log() - 1).sum(dim=1).mean() / 2
    ),
)
zoo.add(
    "the divergence without its square on the mean",
    "The mean enters as mean². As it is, negative means are rewarded.",
    lambda mean, log_variance: (mean + log_variance.exp() - log_variance - 1).sum(dim=1).mean() / 2,
)
zoo.add(
    "the divergence with the size of the mean instead of its square",
    "The mean enters as mean², not as |mean|.",
    lambda mean, log_variance: (mean.abs() + log_variance.exp() - log_variance - 1).sum(dim=1).mean() / 2,
)
zoo.add(
    "the divergence without its -1",
    "The gradient is right, but the value is not 0 where the code is the standard normal.",
    lambda mean, log_variance: (mean.square() + log_variance.exp() - log_variance).sum(dim=1).mean() / 2,
)
zoo.add(
    "the divergence with the logarithm added",
    "The logarithm is subtracted: it is what keeps the variance from going to 0.",
    lambda mean, log_variance: (mean.square() + log_variance.exp() + log_variance - 1).sum(dim=1).mean() / 2,
)
zoo.add(
    "the divergence without the mean",
    "The mean counts, too: without mean² the codes of the pictures may lie anywhere.",
    lambda mean, log_variance: kl_to_standard_normal(0 * mean, log_variance),
)
zoo.add(
    "the divergence without the variance",
    "½ mean² is only half of it: the variance has to come to 1.",
    lambda mean, log_variance: mean.square().sum(dim=1).mean() / 2 + 0 * log_variance.sum(),
)
zoo.add(
    "the divergence in the other direction",
    "That is KL(standard normal, code). Asked for is KL(code, standard normal); the two are not equal.",
    lambda mean, log_variance: ((1 + mean.square()) * (-log_variance).exp() + log_variance - 1).sum(dim=1).mean() / 2,
)
zoo.add(
    "the divergence without any gradient",
    "The value is right, but nothing can learn from it: no .item(), .detach() or no_grad on the way.",
    lambda mean, log_variance: kl_to_standard_normal(mean, log_variance).detach(),
)
zoo.add(
    "the divergence that turns float64 into float32",
    "Half of the digits are lost: do not call .float() or name a dtype.",
    lambda mean, log_variance: kl_to_standard_normal(mean.float(), log_variance.float()),
)


def _codes(seed: int, n: int, dim: int, dtype: torch.dtype = torch.float32, scale: float = 1.0):
    return lambda: ((scale * randn(seed, n, dim, dtype=dtype), scale * randn(seed + 1, n, dim, dtype=dtype)), {})


divergence_exercise = Exercise(
    id="10a",
    prompt=(
        "Write `kl_to_normal(mean, log_variance)`: how far the codes of a variational autoencoder are from the "
        "standard normal."
    ),
    stub='''\
def kl_to_normal(mean, log_variance):
    """The Kullback-Leibler divergence of a normal with mean (B, D) and logarithm of the variance (B, D) from the
    standard normal: added over the D dimensions, averaged over the B pictures, one number."""
    return None  # your lines here
''',
    reference=kl_to_standard_normal,
    probes=(
        Probe("4 codes of 3 numbers", _codes(1, 4, 3)),
        Probe("3 codes of 7 numbers, far out", _codes(3, 3, 7, scale=2.0)),
        Probe("one code of 5 numbers", _codes(5, 1, 5)),
        Probe("5 codes of 6 numbers in float64", _codes(7, 5, 6, torch.float64)),
        Probe("codes that are the standard normal", lambda: ((torch.zeros(3, 4), torch.zeros(3, 4)), {})),
    ),
    mistakes=zoo,
    verified="Value, gradient and dtype are right for 1 to 5 codes, and it is 0 where the code is the standard normal.",
    usual="A mean over the dimensions instead of a sum. Everything trains, with a term that is D times too weak.",
    minutes=10,
    gradient=True,
    dtype=True,
)

# 10b: the loss of a masked autoencoder ----------------------------------------------------------------------


def _normal(target: Tensor, correction: int = 1) -> Tensor:
    variance, mean = torch.var_mean(target, dim=2, keepdim=True, correction=correction)
    return (target - mean) / (variance + 1e-6).sqrt()


def _on(prediction: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """The mean squared error on the patches of a mask."""
    return ((prediction - target).square().mean(dim=2) * mask).sum() / mask.sum()


hidden = Zoo()
hidden.add(
    "the error on all patches",
    "The visible patches were given away: count the hidden ones only.",
    lambda prediction, target, mask: (prediction - _normal(target)).square().mean(),
)
hidden.add(
    "the error on the visible patches",
    "The mask is True where a patch is hidden, and these are the ones to guess.",
    lambda prediction, target, mask: _on(prediction, _normal(target), ~mask),
)
hidden.add(
    "the error on the hidden patches divided by the number of all",
    "Divide by the number of hidden patches, else the loss depends on how many are hidden.",
    lambda prediction, target, mask: _on(prediction, _normal(target), mask) * mask.sum() / mask.numel(),
)
hidden.add(
    "the error on the hidden patches divided by the number of visible ones",
    "Divide by the number of patches that you added up.",
    lambda prediction, target, mask: _on(prediction, _normal(target), mask) * mask.sum() / (~mask).sum(),
)
hidden.add(
    "the sum over the hidden patches",
    "Divide by their number, else the learning rate depends on the batch size.",
    lambda prediction, target, mask: _on(prediction, _normal(target), mask) * mask.sum(),
)
hidden.add(
    "the sum over the numbers of a patch",
    "Take their mean: an error per number, whatever the size of a patch.",
    lambda prediction, target, mask: _on(prediction, _normal(target), mask) * target.shape[2],
)
hidden.add(
    "the error on patches that were not normalised",
    "First take from each target patch its mean, and divide by its deviation.",
    lambda prediction, target, mask: _on(prediction, target, mask),
)
hidden.add(
    "the error on patches that only lost their mean",
    "Divide by the deviation of the patch, too.",
    lambda prediction, target, mask: _on(prediction, target - target.mean(dim=2, keepdim=True), mask),
)
hidden.add(
    "the error on patches divided by a variance that is biased",
    "The variance divides by K - 1 here, as torch does if nothing is said (correction=1).",
    lambda prediction, target, mask: _on(prediction, _normal(target, correction=0), mask),
)
hidden.add(
    "the error on patches divided by their variance",
    "Divide by the square root of the variance: the deviation.",
    lambda prediction, target, mask: _on(
        prediction,
        (target - target.mean(dim=2, keepdim=True)) / (target.var(dim=2, keepdim=True) + 1e-6),
        mask,
    ),
)
hidden.add(
    "the error with normalised guesses",
    "Only the target is normalised. The guess has to come out right by itself.",
    lambda prediction, target, mask: _on(_normal(prediction), _normal(target), mask),
)
hidden.add(
    "the error on patches normalised over the whole picture",
    "Each patch has its own mean and deviation: dim=2, not dim=(1, 2).",
    lambda prediction, target, mask: _on(
        prediction,
        (target - target.mean(dim=(1, 2), keepdim=True)) / (target.var(dim=(1, 2), keepdim=True) + 1e-6).sqrt(),
        mask,
    ),
)
hidden.add(
    "the error on patches normalised with one mean and deviation for all",
    "Each patch has its own mean and deviation: dim=2, keepdim=True.",
    lambda prediction, target, mask: _on(prediction, (target - target.mean()) / (target.var() + 1e-6).sqrt(), mask),
)
hidden.add(
    "the error on patches divided by their deviation plus 1e-6",
    "1e-6 is added to the variance, under the root: a patch that is nearly constant must not become pure noise.",
    lambda prediction, target, mask: _on(
        prediction, (target - target.mean(dim=2, keepdim=True)) / (target.std(dim=2, keepdim=True) + 1e-6), mask
    ),
)
hidden.add(
    "the error on patches normalised over the batch",
    "Each patch is normalised over its own K numbers: dim=2, not dim=0.",
    lambda prediction, target, mask: _on(
        prediction,
        (target - target.mean(dim=0)) / (target.var(dim=0) + 1e-6).sqrt(),
        mask,
    ),
)
hidden.add(
    "the absolute error",
    "The error is squared.",
    lambda prediction, target, mask: ((prediction - _normal(target)).abs().mean(dim=2) * mask).sum() / mask.sum(),
)
hidden.add(
    "the square root of the error",
    "It is the mean squared error itself, without a root.",
    lambda prediction, target, mask: _on(prediction, _normal(target), mask).sqrt(),
)
hidden.add(
    "the error without any gradient",
    "The value is right, but nothing can learn from it: no .item(), .detach() or no_grad on the way.",
    lambda prediction, target, mask: masked_reconstruction(prediction, target, mask).detach(),
)


def _guesses(seed: int, n: int, count: int, width: int, share: float, *, flat: bool = False):
    """Guesses, patches of different brightness and contrast, and a mask that hides a share of them; all equal in number.

    flat: one hidden patch of each picture is nearly constant.
    """

    def make():
        contrast, brightness = randn(seed, n, count, 1).abs() + 0.3, randn(seed + 1, n, count, 1)
        target = contrast * randn(seed + 2, n, count, width) + brightness
        order = randn(seed + 3, n, count).argsort(dim=1).argsort(dim=1)
        if flat:
            target[order == 0] = brightness[order == 0] + 1e-3 * randn(seed + 5, n, width)
        return (0.8 * randn(seed + 4, n, count, width), target, order < round(count * share)), {}

    return make


def _facts(function, probe: Probe) -> dict:
    """The value, and the gradient with respect to the guesses: a mask has none."""
    from sslkit.exercises._facts import observe

    args, kwargs = probe.make()
    facts = observe(function, probe, outputs=("value",), gradient=False, dtype=False)
    guess = args[0].requires_grad_()
    value = function(guess.clone(), *args[1:], **kwargs)
    if not (isinstance(value, Tensor) and value.requires_grad):
        return facts | {"gradient of the guesses": None}
    return facts | {"gradient of the guesses": torch.autograd.grad(value.sum(), guess)[0]}


masked_exercise = Exercise(
    id="10b",
    prompt="Write `masked_loss(prediction, target, mask)`: the loss of a masked autoencoder, on the hidden patches.",
    stub='''\
def masked_loss(prediction, target, mask):
    """The mean squared error on the hidden patches: prediction and target (B, P, K), mask (B, P), True where a patch is
    hidden. Each target patch first loses its mean and is divided by √(variance + 1e-6), torch's variance."""
    return None  # your lines here
''',
    reference=masked_reconstruction,
    probes=(
        Probe("2 pictures of 8 patches, 6 of them hidden", _guesses(1, 2, 8, 5, 0.75)),
        Probe("3 pictures of 4 patches, 1 of them hidden", _guesses(11, 3, 4, 6, 0.25)),
        Probe("5 pictures of 9 patches, 6 of them hidden", _guesses(21, 5, 9, 3, 2 / 3)),
        Probe("2 pictures of 4 patches, of the hidden ones one nearly constant", _guesses(31, 2, 4, 6, 0.5, flat=True)),
    ),
    mistakes=hidden,
    verified="Value and gradient are right for three shares of hidden patches; the inputs are untouched.",
    usual="The error on all patches. Copying what is visible is easy, so the loss looks good and little is guessed.",
    minutes=10,
    facts=_facts,
)

EXERCISES = (divergence_exercise, masked_exercise)

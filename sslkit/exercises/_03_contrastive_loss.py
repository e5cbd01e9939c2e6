"""Exercises of notebook 03: NT-Xent itself, and the force it puts on every pair.

Public checks of NT-Xent let four to six of these mistakes through: those that only a gradient, a dtype, a second
temperature or a very low one can show. Here they all have names.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from sslkit.exercises._facts import Probe, randn
from sslkit.exercises._framework import Exercise, Zoo
from sslkit.losses import nt_xent

# 03a: NT-Xent -----------------------------------------------------------------------------------------------


def _cosines(z1: Tensor, z2: Tensor) -> Tensor:
    z = F.normalize(torch.cat([z1, z2]), dim=1)
    return z @ z.T  # (2N, 2N)


def _partner(z1: Tensor) -> Tensor:
    """The row of the other view: 0 <-> N, 1 <-> N + 1, ..."""
    return torch.arange(2 * len(z1)).roll(len(z1))


def _no_self(logits: Tensor) -> Tensor:
    return logits.masked_fill(torch.eye(len(logits), dtype=torch.bool), -torch.inf)


def _own(z1: Tensor) -> Tensor:
    """Positives as a mask: (2N, 2N), one True in each row."""
    return F.one_hot(_partner(z1), 2 * len(z1)).bool()


zoo = Zoo()


@zoo.keep(
    "NT-Xent without normalised embeddings", "Cosine similarity needs vectors of length 1, else long embeddings win."
)
def _no_normalisation(z1, z2, *, temperature=0.5):
    z = torch.cat([z1, z2])
    return F.cross_entropy(_no_self(z @ z.T / temperature), _partner(z1))


@zoo.keep("NT-Xent normalised over the batch", "Each row is one embedding: its own length must become 1 (dim=1).")
def _normalised_over_batch(z1, z2, *, temperature=0.5):
    z = F.normalize(torch.cat([z1, z2]), dim=0)
    return F.cross_entropy(_no_self(z @ z.T / temperature), _partner(z1))


@zoo.keep(
    "NT-Xent with the similarity to itself set to -1",
    "exp(-1 / temperature) still counts in the sum. The diagonal's logit must be minus infinity.",
)
def _self_minus_one(z1, z2, *, temperature=0.5):
    return F.cross_entropy(_cosines(z1, z2).fill_diagonal_(-1) / temperature, _partner(z1))


@zoo.keep(
    "NT-Xent multiplied by the temperature",
    "Similarities are divided by it: a low temperature makes differences larger.",
)
def _multiplied(z1, z2, *, temperature=0.5):
    return nt_xent(z1, z2, temperature=1 / temperature)


@zoo.keep("NT-Xent without a temperature", "The argument is not used: divide every similarity by it.")
def _no_temperature(z1, z2, *, temperature=0.5):
    return nt_xent(z1, z2, temperature=1.0)


@zoo.keep("NT-Xent at a fixed temperature of 0.5", "It is right at the default only. Use the argument, not a number.")
def _fixed_temperature(z1, z2, *, temperature=0.5):
    return nt_xent(z1, z2, temperature=0.5)


@zoo.keep(
    "NT-Xent with the self-similarity left in",
    "Look at your diagonal: an embedding is compared with itself. Take it out before the softmax, not after.",
)
def _self_left_in(z1, z2, *, temperature=0.5):
    return F.cross_entropy(_cosines(z1, z2) / temperature, _partner(z1))


@zoo.keep(
    "NT-Xent with the self-similarity set to 0",
    "exp(0) is 1, so the diagonal still counts. Its logit must be minus infinity.",
)
def _self_zero(z1, z2, *, temperature=0.5):
    cosines = _cosines(z1, z2)
    return F.cross_entropy((cosines - torch.diag(cosines.diagonal())) / temperature, _partner(z1))


@zoo.keep(
    "a loss without the positive in its denominator",
    (
        "That is decoupled contrastive learning, another loss. "
        "NT-Xent's denominator has 2N - 1 terms: all but the anchor itself."
    ),
)
def _decoupled(z1, z2, *, temperature=0.5):
    logits = _cosines(z1, z2) / temperature
    negatives = _no_self(logits).masked_fill(_own(z1), -torch.inf)
    return (negatives.logsumexp(dim=1) - logits[_own(z1)]).mean()


@zoo.keep(
    "NT-Xent with the positive counted twice",
    "The positive is already among the 2N - 1 others: do not add it once more.",
)
def _positive_twice(z1, z2, *, temperature=0.5):
    logits = _no_self(_cosines(z1, z2) / temperature)
    positive = logits[_own(z1)]
    return (torch.cat([logits, positive[:, None]], dim=1).logsumexp(dim=1) - positive).mean()


@zoo.keep(
    "a loss with negatives from the other view only",
    "That is CLIP's loss: N - 1 negatives. NT-Xent also takes those of the same view.",
)
def _across_only(z1, z2, *, temperature=0.5):
    logits = F.normalize(z1, dim=1) @ F.normalize(z2, dim=1).T / temperature
    target = torch.arange(len(z1))
    return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2


@zoo.keep(
    "a loss with negatives from the other view only, in one direction",
    "Your table is z1 against z2. NT-Xent has 2N anchors, and each is compared with all 2N - 1 others, of both views.",
)
def _across_one_way(z1, z2, *, temperature=0.5):
    logits = F.normalize(z1, dim=1) @ F.normalize(z2, dim=1).T / temperature
    return F.cross_entropy(logits, torch.arange(len(z1)))


@zoo.keep(
    "a loss with negatives from the same view only",
    "The embeddings of the other view are negatives too: 2N - 2 in all.",
)
def _within_only(z1, z2, *, temperature=0.5):
    logits = _no_self(_cosines(z1, z2) / temperature)
    view = torch.arange(2 * len(z1)) // len(z1)
    keep = (view[:, None] == view) | _own(z1)
    return F.cross_entropy(logits.masked_fill(~keep, -torch.inf), _partner(z1))


@zoo.keep(
    "NT-Xent that takes rows 0-1, 2-3, ... for pairs",
    "Your views are stacked (a b c a b c): the partner of row i is row i + N.",
)
def _interleaved(z1, z2, *, temperature=0.5):
    return F.cross_entropy(_no_self(_cosines(z1, z2) / temperature), torch.arange(2 * len(z1)) ^ 1)


@zoo.keep(
    "NT-Xent that takes the next row for the partner",
    "The partner is the same image in the other view: N rows away, not one.",
)
def _next_row(z1, z2, *, temperature=0.5):
    return F.cross_entropy(_no_self(_cosines(z1, z2) / temperature), torch.arange(2 * len(z1)).roll(-1))


@zoo.keep(
    "NT-Xent of a view with itself", "Both halves are the same view, so every positive is perfect. Use z1 and z2."
)
def _same_view(z1, z2, *, temperature=0.5):
    return nt_xent(z1, z1, temperature=temperature) + 0 * z2.sum()


@zoo.keep(
    "a sum instead of a mean", "Divide by the number of anchors, 2N, else the learning rate depends on the batch size."
)
def _sum(z1, z2, *, temperature=0.5):
    return nt_xent(z1, z2, temperature=temperature) * (2 * len(z1))


@zoo.keep("the sum of the means of the two views", "That is twice NT-Xent: take the mean over all 2N anchors.")
def _two_means(z1, z2, *, temperature=0.5):
    return nt_xent(z1, z2, temperature=temperature) * 2


@zoo.keep("a sum divided by 2(N - 1)", "There are 2N anchors: divide by all of them.")
def _too_few(z1, z2, *, temperature=0.5):
    return nt_xent(z1, z2, temperature=temperature) * (2 * len(z1)) / (2 * (len(z1) - 1))


@zoo.keep(
    "the logarithm of the mean probability",
    "First the logarithm of each anchor's probability, then the mean. The two differ (Jensen).",
)
def _log_of_mean(z1, z2, *, temperature=0.5):
    p = _no_self(_cosines(z1, z2) / temperature).softmax(dim=1)[_own(z1)]
    return -p.mean().log()


@zoo.keep(
    "NT-Xent in one direction only",
    "Only the first view's embeddings are anchors. Those of the second view are anchors too.",
)
def _one_direction(z1, z2, *, temperature=0.5):
    logits = _no_self(_cosines(z1, z2) / temperature)
    return F.cross_entropy(logits[: len(z1)], _partner(z1)[: len(z1)])


@zoo.keep(
    "NT-Xent with its sign reversed", "A loss falls while the model learns: it is minus the logarithm of a probability."
)
def _negative(z1, z2, *, temperature=0.5):
    return -nt_xent(z1, z2, temperature=temperature)


@zoo.keep(
    "NT-Xent by exp and then log, which overflows",
    "At a low temperature exp is infinite. Let logsumexp or cross_entropy do both at once.",
)
def _exp_then_log(z1, z2, *, temperature=0.5):
    e = (_cosines(z1, z2) / temperature).exp() * ~torch.eye(2 * len(z1), dtype=torch.bool)
    return -(e[_own(z1)] / e.sum(dim=1)).log().mean()


@zoo.keep(
    "NT-Xent that takes the self-similarity for the largest score",
    "Beside it all other exps can become 0, and log 0 is minus infinity. Take the diagonal out before the maximum.",
)
def _self_as_maximum(z1, z2, *, temperature=0.5):
    logits = _cosines(z1, z2) / temperature
    logits = logits - logits.max(dim=1, keepdim=True).values.detach()
    e = logits.exp() * ~torch.eye(2 * len(z1), dtype=torch.bool)
    return -(logits[_own(z1)] - e.sum(dim=1).log()).mean()


@zoo.keep(
    "NT-Xent with the second view detached",
    "The value is right, but half of the gradient is missing: remove .detach() or no_grad.",
)
def _half_gradient(z1, z2, *, temperature=0.5):
    return nt_xent(z1, z2.detach(), temperature=temperature)


@zoo.keep(
    "NT-Xent without any gradient",
    "The value is right, but nothing can learn from it: no .item(), .detach() or no_grad on the way.",
)
def _no_gradient(z1, z2, *, temperature=0.5):
    return nt_xent(z1, z2, temperature=temperature).detach()


@zoo.keep(
    "NT-Xent that turns float64 into float32", "Half of the digits are lost: do not call .float() or name a dtype."
)
def _single_precision(z1, z2, *, temperature=0.5):
    return nt_xent(z1.float(), z2.float(), temperature=temperature)


@zoo.keep(
    "NT-Xent that changes its inputs",
    "The value is right, but the caller's tensors are not what they were: no `/=`, no function that ends in _.",
)
def _in_place(z1, z2, *, temperature=0.5):
    z1 /= z1.norm(dim=1, keepdim=True)
    z2 /= z2.norm(dim=1, keepdim=True)
    return nt_xent(z1, z2, temperature=temperature)


@zoo.keep(
    "NT-Xent with negative similarities cut off at 0",
    "A negative cosine is welcome: cutting it off takes away its gradient.",
)
def _clamped(z1, z2, *, temperature=0.5):
    return F.cross_entropy(_no_self(_cosines(z1, z2).clamp(min=0) / temperature), _partner(z1))


@zoo.keep(
    "NT-Xent with squared distances for similarities",
    "NT-Xent compares by cosine: the dot product of normalised embeddings.",
)
def _distances(z1, z2, *, temperature=0.5):
    z = torch.cat([z1, z2])
    distances = (z[:, None] - z[None]).pow(2).sum(dim=2)
    return F.cross_entropy(_no_self(-distances / temperature), _partner(z1))


@zoo.keep(
    "NT-Xent with a mask for one batch size", "Build masks from the shape of the input: the last batch may be smaller."
)
def _fixed_mask(z1, z2, *, temperature=0.5):
    logits = _cosines(z1, z2) / temperature
    return F.cross_entropy(logits.masked_fill(torch.eye(8, dtype=torch.bool), -torch.inf), torch.arange(8).roll(4))


def _pair(seed: int, n: int, dim: int, temperature: float, dtype: torch.dtype = torch.float32):
    """Two views that agree a little, of different lengths."""
    z1 = randn(seed, n, dim, dtype=dtype)
    return lambda: ((2 * z1.clone(), z1 + 0.7 * randn(seed + 1, n, dim, dtype=dtype)), {"temperature": temperature})


nt_xent_exercise = Exercise(
    id="03a",
    prompt="Write `my_nt_xent(z1, z2, temperature)`: NT-Xent, the loss of SimCLR, for two views of a batch.",
    stub='''\
def my_nt_xent(z1, z2, *, temperature=0.5):
    """NT-Xent of two views z1, z2 (N, D): one number. Each of 2N embeddings must find its partner among all others."""
    return None  # your lines here
''',
    reference=nt_xent,
    probes=(
        Probe("4 pairs in 3 dimensions, temperature 0.5", _pair(1, 4, 3, 0.5)),
        Probe("4 pairs in 3 dimensions, temperature 0.1", _pair(1, 4, 3, 0.1)),
        Probe("3 pairs in 7 dimensions, temperature 5", _pair(3, 3, 7, 5.0)),
        Probe("2 pairs in 2 dimensions, temperature 1", _pair(5, 2, 2, 1.0)),
        Probe("9 pairs in float64, temperature 0.2", _pair(9, 9, 5, 0.2, torch.float64)),
        Probe("6 pairs in 8 dimensions, temperature 0.005", _pair(11, 6, 8, 0.005)),
        Probe(
            "6 pairs that have nothing in common, temperature 0.005",
            lambda: ((randn(21, 6, 32), randn(22, 6, 32)), {"temperature": 0.005}),
        ),
    ),
    mistakes=zoo,
    verified=(
        "Value, gradient and dtype are right for 2 to 9 pairs and temperatures from 0.005 to 5; the "
        "inputs are untouched."
    ),
    usual="Leaving the diagonal in the denominator. Then the loss cannot reach its bound, and it is easy to overlook.",
    minutes=15,
    gradient=True,
    dtype=True,
)

# 03b: the force on every pair -------------------------------------------------------------------------------


def forces(similarity: Tensor, positive: int, *, temperature: float = 0.5) -> Tensor:
    """The derivative of one anchor's NT-Xent with respect to its similarities: (K,) -> (K,)."""
    return (_softmax(similarity, temperature) - _at(similarity, positive)) / temperature


def _softmax(similarity: Tensor, temperature: float) -> Tensor:
    return (similarity / temperature).softmax(dim=0)


def _at(similarity: Tensor, positive: int) -> Tensor:
    return F.one_hot(torch.tensor(positive), len(similarity)).to(similarity.dtype)


bent = Zoo()
bent.add(
    "the forces without the factor 1 / temperature",
    "The similarity is divided by the temperature inside, so its derivative is too (chain rule).",
    lambda similarity, positive, *, temperature=0.5: _softmax(similarity, temperature) - _at(similarity, positive),
)
bent.add(
    "the softmax alone",
    "That pushes the positive away like all others. The positive has 1 subtracted: it is pulled.",
    lambda similarity, positive, *, temperature=0.5: _softmax(similarity, temperature) / temperature,
)
bent.add(
    "the forces with their sign reversed",
    "More similarity to a negative makes the loss larger: its derivative is positive.",
    lambda similarity, positive, *, temperature=0.5: -forces(similarity, positive, temperature=temperature),
)
bent.add(
    "the forces with the temperature multiplied",
    "Divide by the temperature, inside the softmax and outside.",
    lambda similarity, positive, *, temperature=0.5: forces(similarity, positive, temperature=1 / temperature),
)
bent.add(
    "a softmax without its temperature",
    "The temperature also belongs inside: it decides how much the hardest negative stands out.",
    lambda similarity, positive, *, temperature=0.5: (
        (_softmax(similarity, 1.0) - _at(similarity, positive)) / temperature
    ),
)
bent.add(
    "the forces with the last one taken as positive",
    "`positive` says which one it is.",
    lambda similarity, positive, *, temperature=0.5: forces(similarity, len(similarity) - 1, temperature=temperature),
)
bent.add(
    "the forces with the first one taken as positive",
    "`positive` says which one it is.",
    lambda similarity, positive, *, temperature=0.5: forces(similarity, 0, temperature=temperature),
)
bent.add(
    "the forces with the most similar one taken as positive",
    "A hard negative can be more similar than the positive. `positive` says which one it is.",
    lambda similarity, positive, *, temperature=0.5: forces(
        similarity, int(similarity.argmax()), temperature=temperature
    ),
)
bent.add(
    "1 subtracted from every entry",
    "Only the positive has 1 subtracted; the negatives keep their softmax weight.",
    lambda similarity, positive, *, temperature=0.5: (_softmax(similarity, temperature) - 1) / temperature,
)
bent.add(
    "the forces divided by the number of similarities",
    "This is one anchor's loss: there is no mean over its similarities.",
    lambda similarity, positive, *, temperature=0.5: (
        forces(similarity, positive, temperature=temperature) / len(similarity)
    ),
)
bent.add(
    "a sigmoid for each pair",
    "In NT-Xent the pairs compete: one softmax over all of them.",
    lambda similarity, positive, *, temperature=0.5: (
        ((similarity / temperature).sigmoid() - _at(similarity, positive)) / temperature
    ),
)


@bent.keep(
    "the forces with a softmax over the negatives only",
    "NT-Xent's denominator contains the positive too (without it, the loss is DCL).",
)
def _negatives_only(similarity: Tensor, positive: int, *, temperature: float = 0.5) -> Tensor:
    own = _at(similarity, positive)
    return (_softmax(similarity.masked_fill(own.bool(), -torch.inf), temperature) - own) / temperature


@bent.keep(
    "the forces with a sum that leaves the partner out",
    "The softmax divides by the sum over *all* similarities, the positive among them.",
)
def _sum_of_negatives(similarity: Tensor, positive: int, *, temperature: float = 0.5) -> Tensor:
    own, logits = _at(similarity, positive), similarity / temperature
    return ((logits - logits.masked_fill(own.bool(), -torch.inf).logsumexp(0)).exp() - own) / temperature


@bent.keep(
    "forces by exp, which overflows",
    "At a low temperature exp is infinite and the result is not a number. softmax subtracts the maximum first.",
)
def _overflow(similarity: Tensor, positive: int, *, temperature: float = 0.5) -> Tensor:
    e = (similarity / temperature).exp()
    return (e / e.sum() - _at(similarity, positive)) / temperature


def _anchor(n: int, positive: int, temperature: float, *, seed: int):
    return lambda: ((randn(seed, n).tanh(), positive), {"temperature": temperature})


forces_exercise = Exercise(
    id="03b",
    prompt=(
        "Write `forces(similarity, positive, temperature)`: the derivative of one anchor's loss with "
        "respect to each similarity."
    ),
    stub='''\
def forces(similarity, positive, *, temperature=0.5):
    """The derivative (K,) of one anchor's NT-Xent loss with respect to each entry of `similarity` (K,), its cosines
    with all others; `positive` is the index of its partner. Above 0: pushed away. Below 0: pulled closer."""
    return None  # your lines here
''',
    reference=forces,
    probes=(
        Probe("5 similarities, temperature 0.5", _anchor(5, 2, 0.5, seed=1)),
        Probe("5 similarities, temperature 0.1", _anchor(5, 2, 0.1, seed=1)),
        Probe("8 similarities, temperature 2", _anchor(8, 5, 2.0, seed=2)),
        Probe("a positive and no negative", _anchor(1, 0, 0.5, seed=3)),
        Probe("6 similarities, temperature 0.005", _anchor(6, 3, 0.005, seed=4)),
    ),
    mistakes=bent,
    verified="It equals the derivative of NT-Xent at temperatures from 0.005 to 2; pulls and pushes sum to 0.",
    usual="Forgetting the factor 1 / temperature outside. The directions are right and the lengths are not.",
    minutes=10,
    outputs=("forces",),
)

EXERCISES = (nt_xent_exercise, forces_exercise)

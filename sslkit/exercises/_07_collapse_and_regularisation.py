"""Exercises of notebook 07: Barlow Twins, and the term of VICReg that keeps a batch from becoming one point."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from sslkit.exercises._facts import Probe, randn
from sslkit.exercises._framework import Exercise, Zoo

# 07a: Barlow Twins ------------------------------------------------------------------------------------------


def barlow_twins(z1: Tensor, z2: Tensor, *, lambda_: float = 0.0051) -> Tensor:
    """Barlow Twins of two views: (N, D), (N, D) -> ()."""
    return _identity(_correlations(_standard(z1), _standard(z2)), lambda_)


def _standard(z: Tensor) -> Tensor:
    """Each dimension with mean 0 and standard deviation 1 over the batch."""
    return (z - z.mean(dim=0)) / (z.var(dim=0, correction=0) + 1e-5).sqrt()


def _unbiased(z: Tensor) -> Tensor:
    """The same with torch's own variance, which divides by N - 1."""
    return (z - z.mean(dim=0)) / (z.var(dim=0) + 1e-5).sqrt()


def _correlations(a: Tensor, b: Tensor) -> Tensor:
    return a.T @ b / len(a)  # (D, D)


def _off(C: Tensor) -> Tensor:
    return C - torch.diag(C.diagonal())


def _identity(C: Tensor, lambda_: float) -> Tensor:
    """How far C is from the identity."""
    return (1 - C.diagonal()).square().sum() + lambda_ * _off(C).square().sum()


def _both(z1: Tensor, z2: Tensor) -> Tensor:
    return _correlations(_standard(z1), _standard(z2))


blind = Zoo()
blind.add(
    "Barlow Twins without standardised dimensions",
    "A correlation needs columns with mean 0 and standard deviation 1, over the batch.",
    lambda z1, z2, *, lambda_=0.0051: _identity(_correlations(z1, z2), lambda_),
)
blind.add(
    "Barlow Twins with centred columns only",
    "That is the covariance. Divide each column by its standard deviation, too.",
    lambda z1, z2, *, lambda_=0.0051: _identity(_correlations(z1 - z1.mean(0), z2 - z2.mean(0)), lambda_),
)
blind.add(
    "Barlow Twins with columns that are not centred",
    "Subtract the mean of each column before you divide by its standard deviation.",
    lambda z1, z2, *, lambda_=0.0051: _identity(
        _correlations(*(z / (z.var(dim=0, correction=0) + 1e-5).sqrt() for z in (z1, z2))), lambda_
    ),
)
blind.add(
    "Barlow Twins with each embedding set to length 1",
    "That is a habit from NT-Xent. Here each dimension is standardised over the batch: dim=0.",
    lambda z1, z2, *, lambda_=0.0051: _identity(_correlations(F.normalize(z1, dim=1), F.normalize(z2, dim=1)), lambda_),
)
blind.add(
    "Barlow Twins with each embedding standardised",
    "Mean and standard deviation are those of a column, over the batch: dim=0.",
    lambda z1, z2, *, lambda_=0.0051: _identity(_correlations(_standard(z1.T).T, _standard(z2.T).T), lambda_),
)
blind.add(
    "Barlow Twins with the same mean and scale for all dimensions",
    "Each dimension has its own mean and its own standard deviation: give dim=0.",
    lambda z1, z2, *, lambda_=0.0051: _identity(
        _correlations(*((z - z.mean()) / (z.var(correction=0) + 1e-5).sqrt() for z in (z1, z2))), lambda_
    ),
)
blind.add(
    "Barlow Twins with the mean and scale of both views together",
    "Standardise each view by itself.",
    lambda z1, z2, *, lambda_=0.0051: _identity(_correlations(*_standard(torch.cat([z1, z2])).chunk(2)), lambda_),
)
blind.add(
    "Barlow Twins with a correlation that is not divided by N",
    "A correlation is a mean over the batch: it lies between -1 and 1.",
    lambda z1, z2, *, lambda_=0.0051: _identity(_both(z1, z2) * len(z1), lambda_),
)
blind.add(
    "Barlow Twins with N - 1 in the standard deviation and N in the product",
    "Then even a perfect correlation is below 1. Take N in both places: correction=0.",
    lambda z1, z2, *, lambda_=0.0051: _identity(_correlations(_unbiased(z1), _unbiased(z2)), lambda_),
)
blind.add(
    "Barlow Twins with N - 1 in both places",
    "The correlations are right, but not the gradient of a constant dimension. The task asks for N twice: correction=0.",
    lambda z1, z2, *, lambda_=0.0051: _identity(_unbiased(z1).T @ _unbiased(z2) / (len(z1) - 1), lambda_),
)
blind.add(
    "Barlow Twins with N in the standard deviation and N - 1 in the product",
    "Then a perfect correlation is above 1. Take N in both places.",
    lambda z1, z2, *, lambda_=0.0051: _identity(_both(z1, z2) * len(z1) / (len(z1) - 1), lambda_),
)
blind.add(
    "Barlow Twins with a correlation divided by the number of dimensions",
    "The mean of the product is over the N pictures of the batch.",
    lambda z1, z2, *, lambda_=0.0051: _identity(_both(z1, z2) * len(z1) / z1.shape[1], lambda_),
)
blind.add(
    "Barlow Twins with correlations between pictures, not between dimensions",
    "z1 @ z2.T is (N, N), as in NT-Xent. Barlow Twins compares columns: z1.T @ z2 is (D, D).",
    lambda z1, z2, *, lambda_=0.0051: _identity(_standard(z1) @ _standard(z2).T / z1.shape[1], lambda_),
)
blind.add(
    "Barlow Twins with products of pictures, divided by N",
    "z1 @ z2.T is (N, N), as in NT-Xent. Barlow Twins compares columns: z1.T @ z2 is (D, D).",
    lambda z1, z2, *, lambda_=0.0051: _identity(_standard(z1) @ _standard(z2).T / len(z1), lambda_),
)
blind.add(
    "Barlow Twins that pulls all correlations to 1",
    "Off the diagonal a correlation should become 0: square C_ij itself, not 1 - C_ij.",
    lambda z1, z2, *, lambda_=0.0051: (
        (1 - _both(z1, z2).diagonal()).square().sum() + lambda_ * _off(1 - _both(z1, z2)).square().sum()
    ),
)
blind.add(
    "Barlow Twins of the first view with itself",
    "Its diagonal is always 1, so nothing pulls the views together. Correlate z1 with z2.",
    lambda z1, z2, *, lambda_=0.0051: barlow_twins(z1, z1, lambda_=lambda_) + 0 * z2.sum(),
)
blind.add(
    "Barlow Twins with lambda_ on the diagonal",
    "lambda_ belongs to the redundancy, the part off the diagonal. There are D - 1 times as many of these numbers.",
    lambda z1, z2, *, lambda_=0.0051: lambda_ * _identity(_both(z1, z2), 1 / lambda_),
)
blind.add(
    "Barlow Twins with lambda_ on both parts",
    "The diagonal has the factor 1, the rest lambda_.",
    lambda z1, z2, *, lambda_=0.0051: lambda_ * _identity(_both(z1, z2), 1.0),
)
blind.add(
    "Barlow Twins without lambda_",
    "The argument is not used: multiply the part off the diagonal by it.",
    lambda z1, z2, *, lambda_=0.0051: _identity(_both(z1, z2), 1.0),
)
blind.add(
    "Barlow Twins with lambda_ fixed at 0.0051",
    "It is right at the default only. Use the argument, not a number.",
    lambda z1, z2, *, lambda_=0.0051: _identity(_both(z1, z2), 0.0051),
)
blind.add(
    "Barlow Twins with lambda_ squared",
    "The square is of the correlation. Multiply by lambda_ after squaring.",
    lambda z1, z2, *, lambda_=0.0051: _identity(_both(z1, z2), lambda_**2),
)
blind.add(
    "Barlow Twins with the diagonal in the redundancy",
    "Then the second part pulls the diagonal to 0 while the first pulls it to 1. Take it out.",
    lambda z1, z2, *, lambda_=0.0051: (
        _identity(_both(z1, z2), lambda_) + lambda_ * _both(z1, z2).diagonal().pow(2).sum()
    ),
)
blind.add(
    "Barlow Twins that counts half of the matrix",
    "The matrix is not symmetric: rows belong to one view and columns to the other. Take both triangles.",
    lambda z1, z2, *, lambda_=0.0051: (
        (1 - _both(z1, z2).diagonal()).square().sum() + lambda_ * _both(z1, z2).triu(1).square().sum()
    ),
)
blind.add(
    "Barlow Twins that pulls the diagonal to 0",
    "The diagonal should become 1: square 1 - C_ii, not C_ii.",
    lambda z1, z2, *, lambda_=0.0051: _identity(_both(z1, z2) + torch.eye(z1.shape[1], dtype=z1.dtype), lambda_),
)
blind.add(
    "Barlow Twins with the mean instead of the sum",
    "Both parts are sums over entries of the matrix. Their balance, lambda_, depends on it.",
    lambda z1, z2, *, lambda_=0.0051: (
        (1 - _both(z1, z2).diagonal()).square().mean() + lambda_ * _off(_both(z1, z2)).square().mean()
    ),
)
blind.add(
    "Barlow Twins with absolute values instead of squares",
    "Squares: a correlation of 0.1 should count a hundred times less than one of 1, not ten times less.",
    lambda z1, z2, *, lambda_=0.0051: (
        (1 - _both(z1, z2).diagonal()).abs().sum() + lambda_ * _off(_both(z1, z2)).abs().sum()
    ),
)
blind.add(
    "Barlow Twins without squares",
    "Correlations of 0.5 and -0.5 would cancel out. Square each entry before you add.",
    lambda z1, z2, *, lambda_=0.0051: (1 - _both(z1, z2).diagonal()).sum() + lambda_ * _off(_both(z1, z2)).sum(),
)
blind.add(
    "Barlow Twins that divides by zero where a dimension is constant",
    "A collapsed dimension has the standard deviation 0. Add 1e-5 to the variance, under the root.",
    lambda z1, z2, *, lambda_=0.0051: _identity(
        _correlations(*((z - z.mean(0)) / z.std(0, correction=0) for z in (z1, z2))), lambda_
    ),
)
blind.add(
    "Barlow Twins with 1e-5 added to the standard deviation",
    "Add it to the variance, under the root. The gradient of a dead dimension is 300 times too large otherwise.",
    lambda z1, z2, *, lambda_=0.0051: _identity(
        _correlations(*((z - z.mean(0)) / (z.std(0, correction=0) + 1e-5) for z in (z1, z2))), lambda_
    ),
)
blind.add(
    "Barlow Twins with the second view detached",
    "The value is right, but half of the gradient is missing. Barlow Twins needs no stop-gradient.",
    lambda z1, z2, *, lambda_=0.0051: barlow_twins(z1, z2.detach(), lambda_=lambda_),
)
blind.add(
    "Barlow Twins without any gradient",
    "The value is right, but nothing can learn from it: no .item(), .detach() or no_grad on the way.",
    lambda z1, z2, *, lambda_=0.0051: barlow_twins(z1, z2, lambda_=lambda_).detach(),
)


@blind.keep(
    "Barlow Twins that changes its inputs",
    "The value is right, but the caller's tensors are not what they were: no `-=`, no `/=`.",
)
def _in_place(z1: Tensor, z2: Tensor, *, lambda_: float = 0.0051) -> Tensor:
    loss = barlow_twins(z1.clone(), z2.clone(), lambda_=lambda_)
    for z in (z1, z2):
        z -= z.mean(dim=0)
        z /= (z.var(dim=0, correction=0) + 1e-5).sqrt()
    return loss


def _twins(seed: int, n: int, dim: int, lambda_: float, *, dead: bool = False):
    """Two views that agree a little, with different means and scales. `dead`: one dimension of z1 is constant."""
    scale, shift = torch.linspace(0.5, 3, dim, dtype=torch.float64), torch.linspace(-1, 2, dim, dtype=torch.float64)
    z1 = randn(seed, n, dim, dtype=torch.float64)
    z2 = z1 + 0.6 * randn(seed + 1, n, dim, dtype=torch.float64)
    z1, z2 = scale * z1 + shift, 2 * scale * z2 - shift
    if dead:
        z1[:, 0] = 0.5
    return lambda: ((z1.float(), z2.float()), {"lambda_": lambda_})


barlow_exercise = Exercise(
    id="07a",
    prompt="Write `my_barlow_twins(z1, z2, lambda_)`: Barlow Twins, the loss that makes the correlations the identity.",
    stub='''\
def my_barlow_twins(z1, z2, *, lambda_=0.0051):
    """Barlow Twins of two views z1, z2 (N, D): one number. Standardise each dimension of each view over
    the batch, (z - mean) / √(variance + 1e-5), all with N, not N - 1. C is their (D, D) correlations;
    add (1 - C_ii)² over the diagonal and lambda_ C_ij² over all other entries."""
    return None  # your lines here
''',
    reference=barlow_twins,
    probes=(
        Probe("9 pairs in 4 dimensions, lambda_ 0.5", _twins(1, 9, 4, 0.5)),
        Probe("9 pairs in 4 dimensions, lambda_ 0.0051", _twins(1, 9, 4, 0.0051)),
        Probe("5 pairs in 7 dimensions, lambda_ 0.1", _twins(3, 5, 7, 0.1)),
        Probe("8 pairs in 3 dimensions, lambda_ 2, one dimension of z1 constant", _twins(5, 8, 3, 2.0, dead=True)),
    ),
    mistakes=blind,
    verified="Value and gradient are right for several shapes and lambda_, also where a dimension is constant.",
    usual="Normalising rows, out of habit from NT-Xent, where Barlow Twins standardises columns.",
    minutes=15,
    gradient=True,
)

# 07b: VICReg's variance term --------------------------------------------------------------------------------


def variance_term(z: Tensor) -> Tensor:
    """How much the dimensions of a batch fall short of a standard deviation of 1: (N, D) -> ()."""
    return F.relu(1 - _spread(z)).mean()


def _spread(z: Tensor) -> Tensor:
    return (z.var(dim=0) + 1e-4).sqrt()  # (D,)


narrow = Zoo()
narrow.add(
    "a hinge on the variance",
    "Take the root. The gradient of a variance vanishes where it is most needed, near 0; that of a root hardly does.",
    lambda z: F.relu(1 - z.var(dim=0) - 1e-4).mean(),
)
narrow.add(
    "the variance term without its hinge",
    "A dimension that is wide enough should cost nothing, and should not pay for a narrow one: relu, for each.",
    lambda z: (1 - _spread(z)).mean(),
)
narrow.add(
    "a hinge on the mean standard deviation",
    "One wide dimension then hides a dead one. First the hinge of each dimension, then the mean.",
    lambda z: F.relu(1 - _spread(z).mean()),
)
narrow.add(
    "a penalty on every distance from 1",
    "Dimensions wider than 1 are welcome: the hinge is one-sided, relu instead of abs.",
    lambda z: (1 - _spread(z)).abs().mean(),
)
narrow.add(
    "the hinge turned around",
    "This punishes wide dimensions and lets narrow ones die: relu(1 - std), not relu(std - 1).",
    lambda z: F.relu(_spread(z) - 1).mean(),
)
narrow.add("the squared hinge", "The hinge itself: no square.", lambda z: F.relu(1 - _spread(z)).square().mean())
narrow.add(
    "the sum over the dimensions",
    "The mean, so that the term does not depend on how many dimensions there are.",
    lambda z: F.relu(1 - _spread(z)).sum(),
)
narrow.add(
    "the standard deviation of each embedding, not of each dimension",
    "dim=0: how much the pictures of the batch differ. Along dim=1 a constant network can be wide.",
    lambda z: F.relu(1 - (z.var(dim=1) + 1e-4).sqrt()).mean(),
)
narrow.add(
    "one standard deviation of all numbers together",
    "Give dim=0: each dimension has its own, over the pictures of the batch.",
    lambda z: F.relu(1 - (z.var() + 1e-4).sqrt()),
)
narrow.add(
    "the variance term of embeddings of length 1",
    "VICReg does not normalise: in D dimensions of length 1 the standard deviation cannot reach 1.",
    lambda z: variance_term(F.normalize(z, dim=1)),
)
narrow.add(
    "the mean square instead of the variance",
    "Subtract the mean first: a point far from 0 is still a point.",
    lambda z: F.relu(1 - (z.square().sum(dim=0) / (len(z) - 1) + 1e-4).sqrt()).mean(),
)
narrow.add(
    "a variance divided by N",
    "The task divides by N - 1, as `var` does by itself.",
    lambda z: F.relu(1 - (z.var(dim=0, correction=0) + 1e-4).sqrt()).mean(),
)
narrow.add(
    "the variance term without 1e-4, by a root of the variance",
    "At variance 0 the root has an infinite gradient, and infinity times 0 is not a number. Add 1e-4 under the root.",
    lambda z: F.relu(1 - z.var(dim=0).sqrt()).mean(),
)
narrow.add(
    "the variance term without 1e-4 under its root",
    "Add it to the variance, inside: near a collapse it keeps the gradient in bounds.",
    lambda z: F.relu(1 - z.std(dim=0)).mean(),
)
narrow.add(
    "the variance term with its sign reversed",
    "A loss falls when things get better: it is large when dimensions are narrow.",
    lambda z: -variance_term(z),
)
narrow.add(
    "the variance term without any gradient",
    "The value is right, but it cannot push anything apart: no .item(), .detach() or no_grad on the way.",
    lambda z: variance_term(z).detach(),
)
narrow.add(
    "the narrowest dimension only",
    "Take the mean over all dimensions.",
    lambda z: F.relu(1 - _spread(z)).max(),
)


@narrow.keep(
    "the variance term that changes its input",
    "The value is right, but the caller's tensor is not what it was: no `-=`.",
)
def _centred_in_place(z: Tensor) -> Tensor:
    loss = variance_term(z.clone())
    z -= z.mean(dim=0)
    return loss


def _batch(seed: int, n: int, widths: tuple[float, ...], *, shift: float = 0.0):
    return lambda: ((randn(seed, n, len(widths)) * torch.tensor(widths) + shift,), {})


variance_exercise = Exercise(
    id="07b",
    prompt="Write `variance_term(z)`: the part of VICReg that keeps every dimension of a batch spread.",
    stub='''\
def variance_term(z):
    """VICReg's variance term of one view z (N, D): one number. For each dimension, how much its standard
    deviation over the batch, √(variance + 1e-4), falls short of 1 (0 if it does not); the mean over the
    dimensions. The variance divides by N - 1."""
    return None  # your lines here
''',
    reference=variance_term,
    probes=(
        Probe("8 embeddings, some dimensions wide and some narrow", _batch(1, 8, (3.0, 0.2, 0.5, 2.0, 0.8))),
        Probe("6 embeddings, far from 0", _batch(3, 6, (0.3, 0.6, 0.1), shift=4.0)),
        Probe("20 embeddings, all dimensions wide", _batch(5, 20, (3.0, 4.0))),
        Probe("8 embeddings, nearly equal", _batch(7, 8, (1e-3, 2e-3, 1e-3))),
        Probe("4 embeddings, all equal", lambda: ((torch.full((4, 3), 0.5),), {})),
    ),
    mistakes=narrow,
    verified="Value and gradient are right for wide, narrow and dead dimensions, and when all embeddings are equal.",
    usual="A hinge on the variance instead of its root. It looks alike, but its push vanishes near the collapse.",
    minutes=10,
    gradient=True,
)

EXERCISES = (barlow_exercise, variance_exercise)

"""Linear probing: how much of what we want to know can a linear map read from frozen features?"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sslkit.evaluation._score import Score, accuracy, check, check_features

DECAYS = (1.0, 1e-1, 1e-2, 1e-3, 1e-4)
FEW_LABEL_DECAY = 1e-2  # where there are too few labels to choose it on


@dataclass(frozen=True)
class LinearProbe:
    """A linear classifier on frozen features. `probe.predict(x)` maps (N, D) to labels (N,)."""

    weight: Tensor  # (D, K)
    bias: Tensor  # (K,)
    mean: Tensor  # (D,) of the training features
    classes: Tensor  # (K,) the label of each output
    decay: float

    def predict(self, x: Tensor) -> Tensor:
        logits = (check_features("new", x, dim=len(self.mean)) - self.mean) @ self.weight + self.bias  # (N, K)
        return self.classes[logits.argmax(1)]


class Axes:
    """Features (N, D), standardised and turned to their principal axes, where every linear fit is quick.

    Turning raw pixels takes longer than a fit, so fits on the same features share it.
    """

    def __init__(self, x: Tensor, mean: Tensor | None = None, scale: Tensor | None = None):
        x = check_features("train", x)
        self.mean, self.scale = standard(x) if mean is None else (mean, scale)  # (D,) each
        z = self.standardise(x)
        self.squares, self.axes = principal_axes(z)  # (R,) mean squares along the axes (D, R)
        self.along = z @ self.axes  # (N, R)

    def standardise(self, x: Tensor) -> Tensor:
        """Other features (M, D), as these are seen."""
        return (x - self.mean) / self.scale


def fit_linear(
    train_x: Tensor,
    train_y: Tensor,
    val_x=None,
    val_y=None,
    *,
    decays: Sequence[float] = DECAYS,
    seed: int = 0,
    axes: Axes | None = None,
) -> LinearProbe:
    """Fit a linear classifier on frozen features (N, D), with the decay that validation images like best.

    Multinomial logistic regression on features standardised by training statistics, to convergence. Decays are tried from
    the strongest on, until validation accuracy is more than its standard error below the best: weak decays take longest.
    Equal accuracies go to the stronger decay.
    Without validation images a fifth of each class is put aside to choose on, and the probe is then fitted on all; where
    classes are too small for that, the decay is 0.01. axes: `Axes(train_x)`, if they are known. Raises ValueError if there
    is only one class.
    """
    train_x, train_y = check("train", train_x, train_y)
    classes, target = train_y.unique(return_inverse=True)
    decays = torch.as_tensor(decays, dtype=torch.float64).flatten().tolist()
    if len(classes) < 2 or not decays or not all(0 < decay < torch.inf for decay in decays):
        raise ValueError(f"A probe needs two classes and decays above 0; got {len(classes)} and {tuple(decays)}.")
    if len(decays) > 1 and (val_x is None or not len(val_x)):
        held = hold_out(train_y, seed)
        choice = (train_x[~held], train_y[~held], train_x[held], train_y[held])
        decays = [fit_linear(*choice, decays=decays).decay if held.any() else FEW_LABEL_DECAY]
    if len(decays) > 1:
        val_x, val_y = check("val", val_x, val_y, dim=train_x.shape[1])
    axes = axes or Axes(train_x)
    path = logistic(axes, target, len(classes), sorted(decays, reverse=True))
    scale = axes.scale[:, None]
    best, most = None, -1
    for decay, weight, bias in path:
        probe = LinearProbe(weight / scale, bias, axes.mean, classes, decay)
        right = int((probe.predict(val_x) == val_y).sum()) if len(decays) > 1 else 0
        if best and right < most - (most * (1 - most / len(val_x))) ** 0.5:  # a smaller fall may be luck
            break
        if right > most:
            best, most = probe, right
    return best


def linear_probe(
    train_x: Tensor, train_y: Tensor, test_x: Tensor, test_y: Tensor, *, val_x=None, val_y=None, **how
) -> Score:
    """Accuracy of `fit_linear`, which has the protocol. Test images are used once, after every choice is made.

    (N, D), (N,), (M, D), (M,) -> Score. how: `decays`, `seed` and `axes` of `fit_linear`.
    Raises ValueError or TypeError for features or labels that do not fit.
    """
    test_x, test_y = check("test", test_x, test_y)
    return accuracy(fit_linear(train_x, train_y, val_x, val_y, **how).predict(test_x) == test_y)


def few_label(
    train_x: Tensor, train_y: Tensor, test_x: Tensor, test_y: Tensor, *, budgets=(1, 5, 10, 50, None), draws=5, seed=0
) -> dict[int | None, Score]:
    """Accuracy of the linear probe when only some training images have labels: {labels per class: Score}.

    Each budget is drawn several times; the interval is over these draws and over test images. With few labels there is
    nothing to choose a decay on: it is 0.01. None means all labels, one fit, decay chosen as `fit_linear` does without
    validation images. Features are standardised by all training images, which needs no labels. A class that has fewer
    images gives all of them. (N, D), (N,), (M, D), (M,) -> Scores. Raises as `linear_probe` does.
    """
    train_x, train_y = check("train", train_x, train_y)
    test_x, test_y = check("test", test_x, test_y, dim=train_x.shape[1])
    classes, target = train_y.unique(return_inverse=True)
    if len(classes) < 2 or draws < 1 or any(budget is not None and budget < 1 for budget in budgets):
        raise ValueError(f"few_label needs two classes, a draw, a label; got {len(classes)}, {draws=}, {budgets=}.")
    mean, scale = standard(train_x)
    test_z, scores = (test_x - mean) / scale, {}
    for budget in budgets:
        if budget is None:
            scores[None] = linear_probe(train_x, train_y, test_x, test_y, seed=seed)
            continue
        correct = []
        for draw in range(draws):
            index = some_of_each(target, lambda n, budget=budget: budget, seed + draw)
            axes = Axes(train_x[index], mean, scale)
            _, weight, bias = next(logistic(axes, target[index], len(classes), [FEW_LABEL_DECAY]))
            correct.append(classes[(test_z @ weight + bias).argmax(1)] == test_y)
        scores[budget] = accuracy(torch.stack(correct, 1), seed=seed)  # (n, draws)
    return scores


def logistic(features: Axes, target: Tensor, n_classes: int, decays: Sequence[float]) -> Iterator[tuple]:
    """Multinomial logistic regression: the minimum of mean cross-entropy + decay/2 |W|^2, for one decay after another.

    Axes of (N, D), (N,) -> decay, weight (D, K) of standardised features, bias (K,). Every class has a row. Each starts
    from the one before: give strong ones first. L-BFGS, in coordinates where each class's block of the Hessian is the
    identity as it is without weights, when the probabilities are the classes' shares s (s (1 - s) variance + decay along
    each principal axis): tens of steps where the plain coordinates of pixels take hundreds or thousands.
    """
    variance, z = features.squares, features.along  # (R,), (N, R)
    onehot = z.new_zeros(n_classes, len(z)).scatter_(0, target[None], 1.0)  # (K, N): a softmax over few columns is slow
    share = onehot.mean(1, keepdim=True)  # (K, 1)
    curvature = share * (1 - share)
    weight, bias, bias_scale = z.new_zeros(n_classes, z.shape[1]), share.log(), curvature.rsqrt()
    for decay in decays:
        scale = (curvature * variance + decay).rsqrt()  # (K, R)
        scaled, scaled_bias = weight / scale, bias / bias_scale
        steps = dict(max_iter=1000, history_size=20, tolerance_grad=1e-4, line_search_fn="strong_wolfe")
        optimizer = torch.optim.LBFGS([scaled, scaled_bias], **steps)

        def objective(decay=decay, scale=scale, scaled=scaled, scaled_bias=scaled_bias):
            weight = scaled * scale
            log_p = ((z @ weight.T).T.contiguous() + scaled_bias * bias_scale).log_softmax(0)  # (K, N)
            excess = (log_p.exp() - onehot) / len(z)
            scaled.grad = (excess @ z + decay * weight) * scale  # by hand: a third less time than autograd
            scaled_bias.grad = excess.sum(1, keepdim=True) * bias_scale
            return -(onehot * log_p).sum() / len(z) + decay / 2 * weight.square().sum()

        optimizer.step(objective)
        weight, bias = scaled * scale, scaled_bias * bias_scale
        yield decay, features.axes @ weight.T, bias.flatten().clone()


def standard(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and scale of each dimension. One that does not vary, but for rounding, says nothing: infinite scale, so that it
    becomes 0."""
    std, mean = torch.std_mean(x, 0, correction=0)
    return mean, std.where(std > torch.maximum(1e-6 * mean.abs(), 1e-12 * std.max()), torch.inf)


def principal_axes(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean squares along the principal axes (R,), smallest first, and these axes (D, R), orthonormal; R = min(N, D)."""
    if len(x) < x.shape[1]:  # N rows span no more than N directions
        basis = torch.linalg.qr(x.T).Q  # (D, N)
        squares, axes = principal_axes(x @ basis)
        return squares, basis @ axes
    squares, axes = torch.linalg.eigh(x.T @ x / len(x))
    return squares.clamp(min=0), axes


def some_of_each(y: Tensor, how_many: Callable[[int], int], seed: int) -> Tensor:
    """Indices of images drawn at random: how_many(n) of each class that has n."""
    order = torch.randperm(len(y), generator=torch.Generator().manual_seed(seed))
    members = [order[y[order] == label] for label in y.unique()]
    return torch.cat([index[: how_many(len(index))] for index in members])


def hold_out(y: Tensor, seed: int) -> Tensor:
    """Which images to put aside: a fifth of each class, rounded down. (N,) -> bool (N,)."""
    return torch.isin(torch.arange(len(y)), some_of_each(y, lambda n: n // 5, seed))

"""A number with its uncertainty, and the checks on what every measurement is given."""

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

Z2 = 1.96**2  # the square of the normal distribution's 97.5 % point


@dataclass(frozen=True)
class Score:
    """A value on n test images with its 95 % interval: `str(score)` is "0.74 [0.72, 0.76]", `float(score)` is 0.74.

    The interval says what other test images would give (for few labels, also other labelled images). It does not say
    what another training run would give: for that, train with several seeds. NaN is what cannot be measured.
    """

    value: float
    low: float
    high: float
    n: int

    def __float__(self) -> float:
        return self.value

    def __str__(self) -> str:
        return f"{self.value:z.2f} [{self.low:z.2f}, {self.high:z.2f}]"


def accuracy(correct: Tensor, *, seed: int = 0) -> Score:
    """The share of right answers, with the percentile bootstrap over test images. (n,) or (n, draws) -> Score.

    With several draws of labelled images, one per column, the luck of the draw is added: Student's t of the mean over
    draws, because three or five of them are too few to resample. One draw cannot tell its luck. If all answers are
    right, or all wrong, resampling sees no spread; the open end is then Wilson's bound, n / (n + 1.96^2) or 1 minus it.
    """
    correct = correct.float().reshape(len(correct), -1)
    n, draws = correct.shape
    value = correct.double().mean().item()
    low, high = _interval((_resamples(n, seed) @ correct).mean(1))
    if draws > 1:
        from scipy.special import stdtrit  # slow to import

        luck = stdtrit(draws - 1, 0.975) * correct.mean(0).std().item() / draws**0.5
        low, high = value - math.hypot(value - low, luck), value + math.hypot(high - value, luck)
    low, high = max(low, 0.0), min(high, 1.0)
    if value in (0, 1):
        low, high = (0.0, Z2 / (n + Z2)) if value == 0 else (n / (n + Z2), 1.0)
    return Score(value, low, high, n)


def r2(residual: Tensor, target: Tensor, *, seed: int = 0) -> Score:
    """R^2 = 1 - sum |residual|^2 / sum |target - mean|^2, with the bootstrap over rows. (n, d), (n, d) -> Score.

    1 is perfect, 0 is what the mean of the test targets would get, negative is worse. The d numbers of one factor (such
    as the cosine and sine of an angle) are summed before the division. NaN if the target does not vary.
    """
    target = target - target.mean(0)
    rows = torch.cat([residual.square().sum(1, True), target.square().sum(1, True), target], 1)  # (n, 2 + d)

    def statistic(means: Tensor) -> Tensor:  # (..., 2 + d) -> (...)
        variance = means[..., 1] - means[..., 2:].square().sum(-1)
        return torch.where(variance > 1e-12, 1 - means[..., 0] / variance, torch.nan)

    return Score(statistic(rows.mean(0)).item(), *_interval(statistic(_resamples(len(rows), seed) @ rows)), len(rows))


@lru_cache(maxsize=2)
def _resamples(n: int, seed: int) -> Tensor:
    """The share that each of n rows has when n rows are drawn with replacement, a thousand times: (1000, n).

    All scores on the same test images share these draws, so that they add nothing to the difference of two scores.
    """
    generator = torch.Generator().manual_seed(seed)
    counts = [torch.randint(n, (n,), generator=generator).bincount(minlength=n) for _ in range(1000)]
    return torch.stack([count.float() for count in counts]) / n


def _interval(values: Tensor) -> list[float]:
    return values.nanquantile(values.new_tensor([0.025, 0.975])).tolist()


def check_features(name: str, x: Tensor, *, dim: int | None = None) -> Tensor:
    """Features as float32 (N, D) on the CPU, or one sentence that says what is wrong with them."""
    x = torch.as_tensor(x).detach().cpu().float()
    bad = int((~x.isfinite()).sum())
    if x.ndim != 2 or not x.numel() or bad or dim not in (None, x.shape[1]):
        got = f"have shape {tuple(x.shape)}, with {bad} NaN or infinite numbers"
        raise ValueError(f"{name} features {got}, but must be finite and (N, {dim or 'D'}), with at least one image.")
    return x


def check(name: str, x: Tensor, y: Tensor, *, dim: int | None = None) -> tuple[Tensor, Tensor]:
    """Features as float32 (N, D) and their labels as int64 (N,), or one sentence that says what is wrong with them."""
    x = check_features(name, x, dim=dim)
    if y is None:
        raise ValueError(f"{name} labels are missing. Without labels there are only collapse, retrieval and maps.")
    try:
        y = torch.as_tensor(y).detach().cpu()
    except (TypeError, ValueError, RuntimeError) as error:
        numbers = "np.unique(labels, return_inverse=True)[1] makes them of names"
        raise TypeError(f"{name} labels must be whole numbers; {numbers}.") from error
    if y.shape != (len(x),) or y.is_floating_point():
        raise ValueError(f"{name} labels are {y.dtype} {tuple(y.shape)}, but must be integers of shape ({len(x)},).")
    return x, y.long()

"""Collapse: has the encoder stopped telling pictures apart? A loss curve alone cannot say."""

import torch
import torch.nn.functional as F
from torch import Tensor

from sslkit.evaluation._score import check_features

AT_MOST = 2048  # images that are looked at: pairs grow with the square


def collapse(x: Tensor, x2: Tensor | None = None, *, seed: int = 0) -> dict:
    """How far features (N, D) are spread, and one sentence that says whether they have collapsed.

    std         mean over dimensions of the standard deviation of normalised features; 0 when all are equal
    std_spread  1/sqrt(D), what `std` is when directions are spread evenly
    alignment   mean squared distance between normalised x and x2, two views of the same images; None without x2
    uniformity  log mean exp(-2 distance^2) over pairs i < j of normalised features (arXiv 2005.10242, t = 2): 0 when
                all are equal; spread evenly it is -1.6 in 2 dimensions, -3.1 in 8, -3.8 in 32, towards -4 in many
    rankme      exp(entropy of p), p = singular values / their sum + 1e-7 (RankMe, arXiv 2210.02885): how many
                directions are in use, 1 to min(N, D). x is neither centred nor normalised. Do not compare across D
    shared      the part of the mean squared length that belongs to the mean of all features, 0 to 1
    spectrum    singular values / their sum, largest first, min(N, D) of them
    n, dim      images looked at (2,048 at most, drawn by seed), and D
    verdict     "collapsed" if std is below 10 % of 1/sqrt(D) or rankme below 1.5; "partly collapsed" if std is below
                30 % of it or `rankme` below 8 directions (min(N, D) / 8 if that is less; min(N, D) / 20 if that is
                more); else "spread out". Both are seen from 0, so a large mean makes them small, also where what is left
                is good: more sentences say so. The limits are this kit's, and no law: beside a healthy run compare numbers

    Raises ValueError for features that are not finite, not (N, D), or not of one shape.
    """
    x, x2 = _scaled(check_features("x", x)), None if x2 is None else _scaled(check_features("x2", x2))
    if x2 is not None and x2.shape != x.shape:
        raise ValueError(f"x is {tuple(x.shape)} and x2 {tuple(x2.shape)}, but row i of both is the same image.")
    chosen = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))[:AT_MOST].sort().values
    x, z = x[chosen], F.normalize(x[chosen], dim=1)
    n, dim = x.shape
    std, spread = z.std(0, correction=0).mean().item(), dim**-0.5
    alignment = None if x2 is None else (z - F.normalize(x2[chosen], dim=1)).square().sum(1).mean().item()
    uniformity = (-2 * torch.pdist(z).square()).exp().mean().log().item() if n > 1 else 0.0
    p, rankme = _directions(x)
    mean = x.mean(0)
    shared = (mean.square().sum() / x.square().sum(1).mean().clamp(min=1e-38)).item()
    few = max(min(8, len(p) / 8), len(p) / 20)
    verdict = "spread out: images differ in several directions"
    low = ["in few directions"] * (rankme < few) + ["by little"] * (std < 0.3 * spread)
    if low:
        verdict = f"partly collapsed: images differ {' and '.join(low)}"
    if collapsed := std < 0.1 * spread or rankme < 1.5:
        verdict = "collapsed: all features lie almost on one point or line" if n > 1 else "unknown: this is one image"
    verdict += f" (std {std:.3f}, evenly spread would be {spread:.3f}; RankMe {rankme:.1f} of {len(p)})."
    # Nearly 1 is rounding. What differs is asked only if somebody has to know.
    if (low or collapsed) and n > 1 and 0.5 < shared < 1 - 1e-10 and (rest := _directions(x - mean)[1]) >= few:
        verdict += (
            f" But {shared:.1%} of the squared length is the mean of all images; without it RankMe is {rest:.1f}."
        )
        verdict += " Only an exam tells whether that is noise."
    report = {"std": std, "std_spread": spread, "alignment": alignment, "uniformity": uniformity, "rankme": rankme}
    return report | {"shared": shared, "spectrum": p.float(), "n": n, "dim": dim, "verdict": verdict}


def _directions(x: Tensor) -> tuple[Tensor, float]:
    """Singular values / their sum, largest first, and RankMe."""
    sigma = torch.linalg.eigvalsh(x.T @ x if len(x) >= x.shape[1] else x @ x.T).clamp(min=0).sqrt().flip(0)
    p = sigma / sigma.sum() if sigma.any() else F.one_hot(torch.tensor(0), len(sigma)).double()
    return p, (-((p + 1e-7) * (p + 1e-7).log()).sum()).exp().item()


def _scaled(x: Tensor) -> Tensor:
    return x.double() / x.abs().max().clamp(min=1e-38)  # so that squares neither overflow nor vanish

"""Maps: features (N, D) drawn as points (N, 2), and the numbers that say how far a map can be trusted.

Distances are Euclidean. kNN and retrieval compare directions: to map what they see, pass `F.normalize(features)`.
Tensors or arrays go in; the arithmetic is float64 on the CPU; maps come out as float32.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from sslkit import checkpoint, device
from sslkit.datasets._cache import cache_folder
from sslkit.errors import require

# 1,000 steps, scikit-learn's default, take a third longer than 750 for the same neighbours and the same trustworthiness.
STEPS, WARM_STEPS = 750, 250
# How coarsely far points are taken together: a quarter less time than scikit-learn's 0.5, the same neighbours and trust.
ANGLE = 0.8
_MADE: dict[str, Tensor] = {}  # maps made by this process, by their content


def pca(x: Tensor, *, dim: int = 2) -> Tensor:
    """The projection that keeps most variance: `(N, D) -> (N, dim)`, onto the first principal axes.

    Exact and deterministic: each axis points the way that makes its largest weight positive. The share of the variance
    that a map keeps is `y.var(0).sum() / x.var(0).sum()`. Raises ValueError if `dim` exceeds N or D.
    """
    x = _points("x", x)
    require(1 <= dim <= min(x.shape), f"dim is {dim}, but x {tuple(x.shape)} has principal axes 1 to {min(x.shape)}.")
    return ((x - x.mean(0)) @ _principal(x)[1][:dim].T).float()


def tsne(x: Tensor, *, perplexity: float = 30.0, seed: int = 0, init: str | Tensor = "pca") -> Tensor:
    """A map that keeps neighbours, not distances: `(N, D) -> (N, 2)`, by scikit-learn's Barnes-Hut t-SNE.

    van der Maaten and Hinton, JMLR 9, 2008; Barnes-Hut: van der Maaten, JMLR 15, 2014. The size of a cluster, the
    distance between two and the extent of the map mean nothing. Features are first reduced to 50 principal axes. `init`
    is "pca", "random", or another map (N, 2) of the same points to start from; only "random" depends on `seed`. A
    collapsed encoder, whose points are all equal, gets a map whose points are all equal. Raises ValueError unless
    N > 3 * perplexity.
    """
    from sklearn.manifold import TSNE

    x, start, steps, exaggeration = _points("x", x), init, STEPS, 12.0
    require(
        1 <= perplexity < len(x) / 3, f"perplexity is {perplexity:g}, but 1 <= p < N / 3 = {len(x) / 3:g} is needed."
    )
    given = init if isinstance(init, str) else tuple(init.shape)
    known = given in ("pca", "random", (len(x), 2))
    require(known, f'init is {given!r}, but must be "pca", "random" or a map of shape ({len(x)}, 2).')
    if x.std(0).max() <= 1e-6 * x.abs().max():  # what is left is rounding, and t-SNE would blow it up
        return torch.zeros(len(x), 2)
    if not isinstance(init, str):  # a warm start: the map is there already, so it only has to go on
        start, steps, exaggeration = _points("init", init).float().numpy(), WARM_STEPS, 1.0
    elif init == "pca":
        start = pca(x).numpy()
        start = start / start[:, 0].std() * 1e-4  # so small that points attract before they repel
    how = {"perplexity": perplexity, "angle": ANGLE, "max_iter": steps, "early_exaggeration": exaggeration}
    engine = TSNE(init=start, random_state=seed, **how)
    reduced = pca(x, dim=min(50, *x.shape)).numpy()
    with device.SCIKIT_LEARN:
        return torch.from_numpy(engine.fit_transform(reduced)).float()


def aligned(snapshots: Tensor, *, method: str = "pca", perplexity: float = 30.0) -> Tensor:
    """One map per snapshot of the same N points during training, comparable by eye: `(S, N, D) -> (S, N, 2)`.

    "pca": every snapshot, centred, on the two principal axes of the last one; lengths can be compared. "tsne": each map
    starts from the map before, never from a later one, so that what the encoder will learn cannot leak into the map of
    what it knew; their extents, which mean nothing, are made equal. Started apart, t-SNE maps turn and flip, and an
    animation of them shows nothing else.
    """
    snapshots = stacked(snapshots).detach().cpu()
    known = snapshots.ndim == 3 and method in ("pca", "tsne")
    require(
        known, f'aligned needs snapshots (S, N, D) and "pca" or "tsne", got {tuple(snapshots.shape)} and {method!r}.'
    )
    if method == "pca":
        _points("snapshots", snapshots.flatten(0, 1))
        axes = _principal(_points("the last snapshot", snapshots[-1]))[1][:2]
        return ((snapshots.double() - snapshots.double().mean(1, keepdim=True)) @ axes.T).float()
    maps = [tsne(snapshots[0], perplexity=perplexity)]
    for x in snapshots[1:]:
        maps.append(tsne(x, perplexity=perplexity, init=maps[-1] if maps[-1].any() else "pca"))
    return torch.stack([y / y.std().clamp(min=1e-12) for y in maps])


def stacked(snapshots) -> Tensor:
    """A tensor of a list of snapshots, as `History` keeps them; a tensor or an array as it is."""
    listed = isinstance(snapshots, list | tuple) and len(snapshots) > 0
    return torch.stack([torch.as_tensor(x) for x in snapshots]) if listed else torch.as_tensor(snapshots)


def remembered(make: Callable[..., Tensor], x: Tensor, **options) -> Tensor:
    """What `make(x, **options)` returns, made only once for the same content: a t-SNE takes long.

    Kept in memory, and in sslkit's cache folder where that can be written. The key is a hash of x, the options, this
    file and scikit-learn's version, so that a map never outlives the code that made it.
    """
    from sklearn import __version__

    x = torch.as_tensor(x).detach().cpu().contiguous()
    said = repr((make.__name__, sorted(options.items()), tuple(x.shape), str(x.dtype), __version__))
    digest = hashlib.sha256(said.encode() + Path(__file__).read_bytes())
    digest.update(x.numpy())
    key = digest.hexdigest()[:32]
    file = lambda: cache_folder() / "maps" / f"{key}.npy"
    if key not in _MADE:
        try:
            _MADE[key] = torch.from_numpy(np.load(file()))
        except (OSError, ValueError, EOFError):  # not there, or damaged
            _MADE[key] = make(x, **options)
            with suppress(OSError):  # no room, or not ours: the map is made anew another time
                checkpoint.write_file(file(), lambda opened: np.save(opened, _MADE[key].numpy()))
    return _MADE[key].clone()


def neighbours(x: Tensor, *, k: int = 10, of: Tensor | None = None, chunk: int = 1024) -> Tensor:
    """The k nearest other points of each point, nearest first, exactly: `(N, D) -> (N, k)` int64. Needs k < N.

    of: the numbers (M,) of the points that are asked for, `-> (M, k)`; by default all.
    """
    x = _points("x", x)
    require(1 <= k < len(x), f"k is {k}, but {len(x)} points have 1 to {len(x) - 1} neighbours each.")
    return torch.cat([d.topk(k, largest=False).indices for d in _distances(x, chunk, of)])


def neighbour_recall(x: Tensor, y: Tensor, *, k: int = 10, chunk: int = 1024) -> float:
    """How many of each point's k nearest neighbours in x are among its k nearest on the map y: 0 to 1.

    A map that knows nothing of x recalls about k / (N - 1).
    """
    true, seen = (neighbours(points, k=k, chunk=chunk) for points in _pair(x, y))  # (N, k) each
    return (true[:, :, None] == seen[:, None, :]).any(2).double().mean().item()


def trustworthiness(x: Tensor, y: Tensor, *, k: int = 10, chunk: int = 1024) -> float:
    """How rarely the map y shows as neighbours what is far apart in x: 1 is never, and about 0.5 is chance.

    Venna and Kaski 2001: T = 1 - 2 / (N k (2N - 3k - 1)) * the sum of max(0, r(i, j) - k) over every point i and its k
    neighbours j on the map, with r(i, j) the rank of j among the neighbours of i in x. Needs k < N / 2. The same number
    as scikit-learn's, without its N x N matrices.
    """
    return trust(x, y, k=k, chunk=chunk).mean().item()


def trust(x: Tensor, y: Tensor, *, k: int = 10, chunk: int = 1024) -> Tensor:
    """The trustworthiness of every single point of the map y, whose mean is `trustworthiness`: `-> (N,)` float64, 0 to 1."""
    (x, y), n, excess = _pair(x, y), len(x), []
    require(1 <= k < n / 2, f"k is {k}, but must be from 1 to below N / 2 = {n / 2:g}.")
    for d, seen in zip(_distances(x, chunk), neighbours(y, k=k, chunk=chunk).split(chunk)):
        ranks = [(d < one[:, None]).sum(1, dtype=torch.int32) + 1 for one in d.gather(1, seen).T]  # k times (chunk,)
        excess.append((torch.stack(ranks) - k).clamp(min=0).sum(0))
    return 1 - 2 * torch.cat(excess).double() / (k * (2 * n - 3 * k - 1))


def noise_twin(x: Tensor, seed: int = 0) -> Tensor:
    """A Gaussian cloud with exactly the mean and the covariance of x, and nothing else of it: `(N, D) -> (N, D)`.

    Whatever clusters a map of the twin shows, the map has made.
    """
    x = _points("x", x)
    squares, axes = _principal(x)
    noise = torch.randn(len(x), len(axes), generator=torch.Generator().manual_seed(seed), dtype=x.dtype)
    white = torch.linalg.qr(noise - noise.mean(0)).Q  # (N, R): columns orthonormal, of mean zero
    return (x.mean(0) + white * squares.sqrt() @ axes).float()


def _principal(x: Tensor) -> tuple[Tensor, Tensor]:
    """Sums of squares along the R = min(N, D) principal axes, largest first, and the axes: `(N, D) -> (R,), (R, D)`."""
    x, wide = x - x.mean(0), len(x) < x.shape[1]
    squares, vectors = torch.linalg.eigh(x @ x.T if wide else x.T @ x)  # the smaller of the two has them all
    axes = torch.nn.functional.normalize(vectors.T @ x) if wide else vectors.T
    largest = axes.gather(1, axes.abs().argmax(1, keepdim=True))
    return squares.flip(0).clamp(min=0), (axes * largest.sign()).flip(0)


def _distances(x: Tensor, chunk: int, of: Tensor | None = None):
    """Distances to all points, of all or of these, in blocks of rows (chunk, N); no point is its own neighbour."""
    x = x - x.mean(0)  # distances stay, rounding errors shrink
    for rows in (torch.arange(len(x)) if of is None else of).split(chunk):
        yield torch.cdist(x[rows], x).scatter_(1, rows[:, None], torch.inf)


def _points(name: str, x: Tensor) -> Tensor:
    x = torch.as_tensor(x).detach().cpu().double()
    require(x.ndim == 2 and len(x) > 1, f"{name} has shape {tuple(x.shape)}, but a map needs (N, D) with N > 1 points.")
    bad = (~x.isfinite()).any(1).sum().item()
    require(bad == 0, f"{name} has NaN or infinity in {bad} of {len(x)} rows, which no map can place: drop these rows.")
    return x


def _pair(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    require(len(x) == len(y), f"x has {len(x)} points and y has {len(y)}, but y must be a map of the points of x.")
    return _points("x", x), _points("y", y)

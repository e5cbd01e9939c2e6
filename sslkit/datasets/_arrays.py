"""`arrays`: pictures that are already numbers, as NumPy or torch arrays or in an .npz file."""

from __future__ import annotations

import warnings
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import torch

from sslkit.datasets._images import Images, draw_split, not_ours


def arrays(
    images,
    labels=None,
    *,
    groups=None,
    names: tuple[str, ...] = (),
    layout: str | None = None,
    seed: int = 0,
    val: float = 0.125,
    test: float = 0.125,
) -> Images:
    """Make `Images` of arrays: uint8, or floats in [0, 1]; (N, H, W), (N, C, H, W) or (N, H, W, C) with C = 1, 3 or 4.

    images  NumPy array or tensor, or the path of an .npz file with `images` (or `x`) and perhaps `labels` (or `y`)
    labels  N integers or strings; the sorted values found are the classes, or the integers index `names` if given
    groups  N integers or strings: pictures of one group share a split
    layout  "NCHW" or "NHWC"; only needed when both the second and the last axis are 1, 3 or 4 long

    The split is drawn by seed, by class and by group; `data.split = ...` sets another.
    Raises ValueError or TypeError in one sentence for everything that does not fit, NaN pixels included.
    """
    name = "arrays"
    if isinstance(images, (str, Path)):
        name, (images, stored) = not_ours(Path(images).stem), _read(Path(images).expanduser())
        labels = stored if labels is None else labels
    x = _pixels(_numpy("images", images), layout)
    y, names = classes("labels", labels, len(x), tuple(names))
    groups, group_names = classes("groups", groups, len(x))
    split = draw_split(y, groups, len(x), seed=seed, val=val, test=test)
    return Images(x, y, split, groups=groups, names=names, name=name, group_names=group_names)


def _read(path: Path):
    """The pictures and labels (or None) of an .npz file."""
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}.")
    try:
        with np.load(path) as file:
            content = dict(file)
    except (ValueError, TypeError, OSError, EOFError, BadZipFile) as error:
        raise ValueError(f"{path} is not an .npz file of plain arrays ({error}).") from error
    images = content.get("images", content.get("x"))
    if images is None:
        raise ValueError(f"{path} holds {sorted(content)}, but pictures are expected under 'images' or 'x'.")
    return images, content.get("labels", content.get("y"))


def _numpy(what: str, values) -> np.ndarray:
    try:
        array = np.asarray(values.detach().cpu() if isinstance(values, torch.Tensor) else values)
    except ValueError:  # rows of different shapes
        array = np.array(None)
    if array.dtype == object and array.ndim and all(isinstance(value, str) for value in array.flat):
        array = array.astype(str)  # as pandas keeps them
    if array.dtype == object:
        hint = (
            "pictures of different sizes go through datasets.folder"
            if what == "images"
            else "of one type, integers or strings"
        )
        raise TypeError(f"{what} must be one array; {hint}.")
    return array


def _pixels(x: np.ndarray, layout: str | None) -> torch.Tensor:
    """Any layout, uint8 or floats in [0, 1] -> uint8 (N, C, H, W)."""
    shape = x.shape
    axes = {"NCHW": 1, "NHWC": 3} if x.ndim == 4 else {}
    fits = [name for name, axis in axes.items() if shape[axis] in (1, 3, 4)]
    if x.ndim == 3 and shape[2] not in (1, 3, 4):  # else it is probably one picture (H, W, C)
        x, fits = x[:, None], ["NCHW"]  # (N, H, W) -> (N, 1, H, W)
    if not fits or 0 in shape:
        expected = "at least one, as (N, H, W), or as (N, C, H, W) or (N, H, W, C) with C = 1, 3 or 4"
        raise ValueError(f"images have shape {shape}, but pictures are expected, {expected}.")
    if layout not in fits and (layout or len(fits) > 1):
        raise ValueError(
            f"images have shape {shape}: say layout={' or layout='.join(map(repr, fits))}, not {layout!r}."
        )
    x = x.transpose(0, 3, 1, 2) if (layout or fits[0]) == "NHWC" else x
    if np.issubdtype(x.dtype, np.floating):
        low, high = float(x.min()), float(x.max())  # NaN if there is one
        if not np.isfinite([low, high]).all():
            bad = ~np.isfinite(x).all((1, 2, 3))
            raise ValueError(f"{bad.sum():,} images have NaN or infinite pixels, the first is image {bad.argmax()}.")
        if low < 0 or high > 1:
            fix = "divide by 255" if low >= 0 and high <= 255 else "undo their normalisation"
            raise ValueError(f"images are floats from {low:.4g} to {high:.4g}, but 0 to 1 is expected: {fix}.")
        x = np.round(x * 255).astype(np.uint8)
    if x.dtype != np.uint8:
        raise TypeError(f"images are {x.dtype}; give uint8 from 0 to 255, or floats from 0 to 1.")
    return torch.from_numpy(np.require(x, requirements=["C", "W"]))


def classes(what: str, values, n: int, names: tuple[str, ...] = ()) -> tuple[torch.Tensor | None, tuple[str, ...]]:
    """N integers or strings -> int64 (N,) from 0 to K - 1, and K names; integers that index given names stay."""
    if values is None:
        return None, names
    values = _numpy(what, values)
    if values.shape != (n,):
        raise ValueError(f"{what} have shape {values.shape}, but there are {n:,} images: give one entry per image.")
    if values.dtype.kind not in ("iub" if names else "iubU"):
        allowed = "integers that index names" if names else "integers or strings"
        raise TypeError(f"{what} must be {allowed}, but they are {values.dtype}.")
    if names:
        return torch.from_numpy(values.astype(np.int64)), tuple(map(str, names))
    found, index = np.unique(values, return_inverse=True)
    if what == "labels" and values.dtype.kind == "i" and found.size > 2 and found[0] == -1:
        warnings.warn(f"{what} have a class -1. If it stands for 'not known', leave these pictures out.", stacklevel=3)
    return torch.from_numpy(index.astype(np.int64)), tuple(str(value) for value in found.tolist())

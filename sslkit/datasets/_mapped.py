"""`mapped`: pictures in an .npy file that stay on disk, for sets that are larger than memory."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import torch

from sslkit.datasets._arrays import classes
from sslkit.datasets._images import Images, not_ours


def mapped(
    path: str | Path, labels=None, *, names: tuple[str, ...] = (), val: float = 0.05, test: float = 0.05
) -> Images:
    """`Images` of an .npy file of uint8 (N, C, H, W), read in place: only the pictures of a batch come into memory.

    labels  as in `datasets.arrays`
    val, test  shares at the end of the file, validation before test: the file's order decides, so shuffle before writing

    `numpy.lib.format.open_memmap(path, "w+", "uint8", shape)` writes such a file piece by piece.
    Raises FileNotFoundError without such a file, ValueError or TypeError for an array or labels of another kind, or shares
    that leave nothing to train on.
    """
    if not (0 <= val and 0 <= test and val + test < 1):
        raise ValueError(f"val and test are shares that leave something to train on, but {val=} and {test=}.")
    images = open_mapped(path)
    part = torch.linspace(0, 1, len(images), dtype=torch.float64)  # where a picture stands in the file
    split = (part > 1 - test - val).to(torch.uint8) + (part > 1 - test).to(torch.uint8)
    labels, names = classes("labels", labels, len(images), tuple(names))
    return Images(images, labels, split, names=names, name=not_ours(Path(path).stem))


def open_mapped(path: str | Path) -> torch.Tensor:
    """The array of an .npy file as a tensor that stays on disk. Nothing that is written to it reaches the file.

    Copy on write, as long as memory would be enough for a copy of everything: for more than that the system refuses, and
    the array is read-only. Raises ValueError with one sentence.
    """
    path = Path(path).expanduser()
    try:
        try:
            array = np.load(path, mmap_mode="c")
        except OSError as error:
            if isinstance(error, FileNotFoundError):
                raise FileNotFoundError(f"There is no file {path}.") from None
            array = np.load(path, mmap_mode="r")
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "The given NumPy array is not writable")
            return torch.from_numpy(array)
    except (ValueError, TypeError, EOFError) as error:
        raise ValueError(f"{path} is not an .npy file of plain numbers ({error}).") from error

"""Pictures that are decoded once and then memory-mapped: the cache behind `folder` and torchvision's sets."""

from __future__ import annotations

import errno
import os
import tempfile
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import torch

from sslkit.datasets._images import Images, not_ours
from sslkit.datasets._mapped import open_mapped

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST)

ROWS = ("labels", "split", "groups")  # what there is of each picture


def cache_folder() -> Path:
    """Where sslkit keeps what it has decoded or downloaded: $SSLKIT_CACHE, or sslkit in the user's cache folder."""
    try:
        if chosen := os.environ.get("SSLKIT_CACHE"):
            return Path(chosen).expanduser()
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache").expanduser() / "sslkit"
    except RuntimeError as error:
        raise OSError("There is no home folder to keep decoded pictures in: set SSLKIT_CACHE to a folder.") from error


def square(picture, size: int) -> np.ndarray:
    """A PIL picture of any mode -> (4, size, size) uint8 RGBA: turned upright, the middle square, resized smoothly."""
    from PIL import Image, ImageOps

    picture.draft(None, (2 * size, 2 * size))  # lets JPEG decode at a fraction of its size
    if picture.mode.startswith(("I", "F")):  # 16 bits a pixel, or 8 of 32; of floats nobody knows
        x = np.asarray(picture)
        if picture.mode == "F" or x.min() < 0 or x.max() > 65535:
            raise ValueError("Nobody knows what is black and what is white.")
        if 256 <= x.max() < 4096:  # one text for all of them, so that it is said once
            warnings.warn(
                "Pictures of 16 bits that use 12 of them or fewer look nearly black: stretch them first.", stacklevel=2
            )
        picture = Image.fromarray((x if x.max() < 256 and picture.mode == "I" else x // 256).astype(np.uint8))
    picture = ImageOps.exif_transpose(picture).convert("RGBA")
    return np.asarray(ImageOps.fit(picture, (size, size), Image.Resampling.BICUBIC)).transpose(2, 0, 1)


def cached(
    name: str, key: str, pictures: Callable[[], Iterable[np.ndarray | None]], describe: Callable[[list[int]], dict]
) -> tuple[Images, dict]:
    """The `Images` stored under this key, and all that `describe` said of them; made first if not there yet.

    pictures  gives (4, S, S) uint8 RGBA one by one, or None for one to leave out
    describe  gets the numbers of the pictures that were kept, and returns arrays: `split`, `names`, perhaps `labels`,
              perhaps `groups` and `group_names`

    The pictures are stored in the order of their split, so that a split is a view of the file, with one channel if all
    are grey and with four if any is transparent. Everything is written to a new folder that gets its name when it is
    complete: a half-written cache is never found. Raises OSError if the cache cannot be written.
    """
    folder = cache_folder() / key
    if not folder.exists():
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
                new = Path(scratch) / "new"
                new.mkdir()
                _write(new, pictures(), describe)
                if not folder.exists():  # else another process was faster
                    new.rename(folder)
        except OSError as error:
            if error.errno not in FULL:
                raise
            raise OSError(
                f"The cache {folder.parent} cannot be written ({error.strerror}): make room, or set SSLKIT_CACHE to "
                "another folder."
            ) from error
    with np.load(folder / "about.npz") as file:
        about = dict(file)
    images = open_mapped(folder / "images.npy")
    rows = {row: torch.from_numpy(about[row]) for row in ROWS if row in about}
    names = {key: tuple(about[key].tolist()) for key in ("names", "group_names") if key in about}
    return Images(images, **{"labels": None} | rows | names, name=not_ours(name)), about


def _write(folder: Path, pictures: Iterable[np.ndarray | None], describe: Callable[[list[int]], dict]) -> None:
    kept, channels, size = [], 1, 0
    with open(folder / "scratch", "wb") as file:  # plain writes: a full disk is an error, not a crash as with mmap
        for number, picture in enumerate(pictures):
            if picture is not None:
                file.write(picture.tobytes())
                kept.append(number)
                size = picture.shape[-1]
                colours = 3 if (picture[0] != picture[1]).any() or (picture[1] != picture[2]).any() else 1
                channels = max(channels, 4 if (picture[3] < 255).any() else colours)
    about = describe(kept)
    order = np.argsort(about["split"], kind="stable")
    pixels = np.memmap(folder / "scratch", np.uint8, "r", shape=(len(kept), 4, size, size))
    with open(folder / "images.npy", "wb") as file:
        header = {"descr": "|u1", "fortran_order": False, "shape": (len(kept), channels, size, size)}
        np.lib.format.write_array_header_1_0(file, header)
        for part in np.array_split(order, len(order) // 1024 + 1):
            file.write(pixels[part, :channels].tobytes())
    about |= {key: about[key][order] for key in ROWS if key in about}
    np.savez(folder / "about.npz", **about)
    (folder / "scratch").unlink()

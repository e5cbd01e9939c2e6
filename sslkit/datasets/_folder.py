"""`folder`: the user's own pictures, any size and any format that Pillow reads."""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from numbers import Integral
from pathlib import Path

import numpy as np
import torch

from sslkit.datasets._cache import cached, square
from sslkit.datasets._images import Images, draw_split

SPLITS = {"train", "training", "val", "valid", "validation", "test", "testing"}


def folder(
    path: str | Path,
    *,
    size: int = 32,
    groups: Callable[[Path], object] | None = None,
    seed: int = 0,
    val: float = 0.125,
    test: float = 0.125,
) -> Images:
    """Read all pictures below a folder: upright, the middle square, resized to size x size.

    If every picture lies in a sub-folder, the sub-folders of the first level are the classes; otherwise there are no
    labels, and a warning names the pictures outside. The set is RGB; grey if all pictures are grey, RGBA if any is
    transparent. Links are followed, hidden files passed over. Files that are no readable picture, or have numbers without a
    known white (floats), are left out, and one warning counts and lists them.

    groups: what a picture belongs to, such as a patient, a burst of shots or a day, from its path below the folder; pictures
    of one group share a split: `groups=lambda file: file.stem.split("_")[0]`. With `groups=str` every picture is one of its
    own, and `data.group_names[data.groups[i]]` is the file of picture i.

    The decoded pictures are kept in the user's cache folder (or $SSLKIT_CACHE) and memory-mapped. They are decoded
    again when a file's name, length or time of change differs.
    Raises FileNotFoundError or NotADirectoryError for a wrong path, ValueError for a folder without pictures, and TypeError
    for groups that are no function.
    """
    path = Path(path).expanduser()
    if not path.exists():
        raise FileNotFoundError(f"There is no folder {path}.")
    if not path.is_dir():
        raise NotADirectoryError(f"{path} is a file; give the folder that holds the pictures.")
    if not isinstance(size, Integral) or size < 4:
        raise ValueError(f"size is the side of the pictures in pixels, a whole number of at least 4, but {size=}.")
    if groups is not None and not callable(groups):
        raise TypeError(
            f"groups is a {type(groups).__name__}; give a function of a picture's path, or use datasets.arrays."
        )
    files = sorted(file for file in _below(path) if file.is_file())
    files = [file for file in files if not any(part.startswith(".") for part in file.relative_to(path).parts)]
    if not files:
        raise ValueError(f"The folder {path} is empty; put pictures into it, or sub-folders with pictures as classes.")
    members = None if groups is None else [str(groups(file.relative_to(path))) for file in files]

    def decode(file):
        from PIL import Image

        try:
            with Image.open(file) as picture:
                return square(picture, size)
        except Exception:  # whatever a broken file makes Pillow raise: it is left out, counted and listed
            return None

    def pictures():
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            yield from pool.map(decode, files)

    def describe(kept):
        if not kept:
            raise ValueError(f"None of the {len(files):,} files in {path} is a picture that can be read.")
        places = [files[number].relative_to(path).parts for number in kept]
        skipped = np.array([str(files[number].relative_to(path)) for number in set(range(len(files))) - set(kept)])
        about = {"names": np.array([], dtype=str), "skipped": np.sort(skipped)}
        outside = [place[0] for place in places if len(place) == 1]
        about["outside"] = np.array(outside if len(outside) < len(places) else [], dtype=str)
        if not outside:
            about["names"], about["labels"] = np.unique([place[0] for place in places], return_inverse=True)
        if members:
            about["group_names"], about["groups"] = np.unique([members[n] for n in kept], return_inverse=True)
        known = [torch.from_numpy(about[name]) if name in about else None for name in ("labels", "groups")]
        return about | {"split": draw_split(*known, len(kept), seed=seed, val=val, test=test).numpy()}

    options = (size, seed, val, test) if members is None else (size, seed, val, test, members)
    key = f"folder-{_key(path, files, *options)}"
    images, about = cached(path.resolve().name, key, pictures, describe)
    problems = {
        "skipped": "are no readable pictures: {}.",
        "outside": "lie in no sub-folder, so there are no labels: {}. To make classes of the sub-folders, move them.",
    }
    for problem, said in problems.items():
        found = about.get(problem, np.array([])).tolist()  # a cache may be older than a problem
        if found:
            names = ", ".join(found[:10]) + (f" and {len(found) - 10:,} more" if len(found) > 10 else "")
            warnings.warn(f"{len(found):,} of {len(files):,} files in {path} {said.format(names)}", stacklevel=2)
    if images.names and SPLITS.issuperset(map(str.lower, images.names)):
        warnings.warn(
            f"The sub-folders of {path} are called {', '.join(images.names)}, like splits, but now they are the classes. "
            "Give the folder that holds the class folders, such as that of the training pictures.",
            stacklevel=2,
        )
    return images


def _below(path: Path) -> Iterator[Path]:
    """All files below, also behind links to folders, each folder once."""
    seen = set()
    for place, folders, names in os.walk(path, followlinks=True):
        if (real := os.path.realpath(place)) in seen:
            folders.clear()
        else:
            seen.add(real)
            yield from (Path(place, name) for name in names)


def _key(path: Path, files: list[Path], *options) -> str:
    """Changes when a file is added, removed, renamed or rewritten, and with the options."""
    digest = hashlib.sha256(repr(options).encode())
    for file in files:
        info = file.stat()
        line = f"{file.relative_to(path)}\0{info.st_size}\0{info.st_mtime_ns}\n"
        digest.update(line.encode(errors="surrogateescape"))
    return digest.hexdigest()[:24]

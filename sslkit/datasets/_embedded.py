"""The sets that come with sslkit or its libraries and need no network: `emoji`, `fashion`, `digits`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from sslkit.datasets._images import Images, draw_split, with_test

PACKAGE = Path(__file__).parents[1]
FOLDERS = (PACKAGE / "_data", PACKAGE.parent / "data")  # in an installed wheel, in a checkout


def emoji(*, seed: int = 0, val: float = 0.1, test: float = 0.25) -> Images:
    """1,911 things, each drawn by two to four artists: RGBA 32 x 32, 10 classes, whole things held out.

    `groups` is the thing ("concept"), `group_names` what it is called; `factors` are the artist and the subgroup
    (99 finer classes). Another artist's drawing of the same thing is a natural positive pair, but using it is
    supervision. "fluent 3d" and "fluent flat" are the same drawings: never count them as two artists in a test.
    Licences are in data/LICENSES: Apache-2.0 (Noto), CC-BY-4.0 (Twemoji), MIT (Fluent).
    """
    file = _open("emoji")
    names = {key: tuple(file[f"{key}_names"].tolist()) for key in ("artist", "group", "subgroup", "concept")}
    numbers = {key: torch.from_numpy(file[key].astype(np.int64)) for key in ("artist", "group", "subgroup", "concept")}
    concept = numbers["concept"]
    labels, subgroup = numbers["group"][concept], numbers["subgroup"][concept]
    return Images(
        torch.from_numpy(file["images"]).permute(0, 3, 1, 2).contiguous(),  # (N, 4, 32, 32)
        labels,
        draw_split(labels, concept, len(labels), seed=seed, val=val, test=test),
        factors={"artist": numbers["artist"], "subgroup": subgroup},
        groups=concept,
        names=names["group"],
        name="emoji",
        factor_names={"artist": names["artist"], "subgroup": names["subgroup"]},
        group_names=names["concept"],
    )


def emoji_words() -> tuple[str, ...]:
    """What people call the 1,911 things of `emoji`: a name and keywords, with spaces between; "" for the five skin tones.

    The order is that of `group_names`: `emoji_words()[i]` belongs to all pictures whose `groups` is i. Licence: MIT.
    """
    return tuple(_open("words")["words"].tolist())


def fashion(*, seed: int = 0, val: float = 0.125) -> Images:
    """12,000 pictures of Fashion-MNIST (arXiv:1708.07747): grey 28 x 28, 10 kinds of clothes, equally many of each.

    10,000 are of the original's training set, of which a share `val` is for validation, and 2,000 of its test set.
    The whole set is `load("fashion_mnist")`. Licence: MIT.
    """
    file = _open("fashion")
    images = np.concatenate([file["train_images"], file["test_images"]])[:, None]  # (N, 1, 28, 28)
    train, test = (torch.from_numpy(file[f"{part}_labels"].astype(np.int64)) for part in ("train", "test"))
    split, names = with_test(train, len(test), seed=seed, val=val), tuple(file["names"].tolist())
    return Images(torch.from_numpy(images), torch.cat([train, test]), split, names=names, name="fashion")


def digits(*, seed: int = 0, val: float = 0.125, test: float = 0.25) -> Images:
    """scikit-learn's 1,797 handwritten digits: grey 8 x 8, 10 classes. Small enough for a test of anything."""
    from sklearn.datasets import load_digits

    file = load_digits()
    images = torch.from_numpy(file.images / 16 * 255).round().to(torch.uint8)[:, None]  # (N, 1, 8, 8)
    labels = torch.from_numpy(file.target).long()
    split = draw_split(labels, None, len(labels), seed=seed, val=val, test=test)
    return Images(images, labels, split, names=tuple("0123456789"), name="digits")


def _open(name: str) -> dict:
    for folder in FOLDERS:
        if (folder / f"{name}.npz").is_file():
            with np.load(folder / f"{name}.npz") as file:
                return dict(file)
    places = " nor ".join(map(str, FOLDERS))
    raise FileNotFoundError(f"{name}.npz is neither in {places}: install sslkit again, or run data/build_{name}.py.")

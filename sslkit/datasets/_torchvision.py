"""torchvision's sets through one adaptor: downloaded by torchvision, converted once, memory-mapped ever after."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from sslkit.datasets._cache import cache_folder, cached, square
from sslkit.datasets._images import Images, with_test

FLAG = ({"train": True}, {"train": False})
SPLIT = ({"split": "train"}, {"split": "test"})

# name: (torchvision's class, what makes its training and its test part, side of the pictures)
SETS = {
    "cifar10": ("CIFAR10", FLAG, 32),
    "cifar100": ("CIFAR100", FLAG, 32),
    "eurosat": ("EuroSAT", ({},), 64),  # has no official test part
    "fashion_mnist": ("FashionMNIST", FLAG, 28),
    "flowers102": ("Flowers102", SPLIT, 64),
    "gtsrb": ("GTSRB", SPLIT, 32),
    "kmnist": ("KMNIST", FLAG, 28),
    "mnist": ("MNIST", FLAG, 28),
    "pets": ("OxfordIIITPet", ({"split": "trainval"}, {"split": "test"}), 64),
    "stl10": ("STL10", SPLIT, 96),
    "svhn": ("SVHN", SPLIT, 32),
}
OFFLINE = "shapes, emoji, fashion, digits, folder(path) and arrays(images, labels)"


def torchvision_set(
    name: str, *, size: int | None = None, seed: int = 0, val: float = 0.125, root: str | Path | None = None
) -> Images:
    """One of torchvision's sets by its name here: its official test part, a share `val` of the rest for validation.

    size   side of the pictures, the set's own if None
    root   where torchvision finds its files or puts its download, sslkit's cache folder if None
    Raises OSError if the set is not there and cannot be downloaded.
    """
    kind, parts, own_size = SETS[name]
    labels, classes = [], []

    def pictures():
        from torchvision import datasets

        for options in parts:
            try:
                part = getattr(datasets, kind)(str(root or cache_folder() / "downloads"), download=True, **options)
            except (OSError, RuntimeError) as error:  # no network, or a file that is not what it should be
                raise OSError(f"{name} cannot be downloaded ({error}). Without a network: {OFFLINE}.") from error
            classes[:] = getattr(part, "classes", ())
            labels.append([])
            for picture, label in part:
                labels[-1].append(int(label))
                yield square(picture, size or own_size)

    def describe(kept):
        train, test = (np.array(part, dtype=np.int64) for part in (*labels, [])[:2])
        split = with_test(torch.from_numpy(train), len(test), seed=seed, val=val).numpy()
        both = np.concatenate([train, test])
        return {"labels": both, "split": split, "names": np.array(classes or range(both.max() + 1), dtype=str)}

    return cached(name, f"{name}-{size or own_size}-{seed}-{val}", pictures, describe)[0]

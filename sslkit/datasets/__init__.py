"""Data sets, all as `Images`: `load(name)`, or your own pictures with `folder(path)`, `arrays(images, labels)` and
`mapped(path)`, which stay on disk. A `Stream` of batches is what `sslkit.train.fit` makes of any other iterable."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from sslkit.datasets._arrays import arrays
from sslkit.datasets._embedded import digits, emoji, fashion
from sslkit.datasets._embedded import emoji_words as emoji_words
from sslkit.datasets._folder import folder
from sslkit.datasets._images import Images
from sslkit.datasets._mapped import mapped
from sslkit.datasets._shapes import shapes
from sslkit.datasets._stream import Stream as Stream
from sslkit.datasets._torchvision import SETS, torchvision_set
from sslkit.errors import unknown

LOADERS = {"shapes": shapes, "emoji": emoji, "fashion": fashion, "digits": digits}  # these need no network
LOADERS |= {name: partial(torchvision_set, name) for name in SETS}
NAMES = tuple(LOADERS)


def load(name: str | Path, **options) -> Images:
    """The data set of this name, or of this path: a folder of pictures, an .npz file, or an .npy file that stays on disk.

    `options` go to its loader: `load("shapes", n=800, size=(0.2, 0.4))`, `load("cifar10", size=16)`.
    Raises ValueError for a name that nobody knows.
    """
    if name in LOADERS:
        return LOADERS[name](**options)
    if str(name).endswith(".npz"):
        return arrays(name, **options)
    if str(name).endswith(".npy"):
        return mapped(name, **options)
    if "/" in str(name) or (str(name).strip() and Path(name).is_dir()):
        return folder(name, **options)
    raise unknown("data set", name, NAMES)

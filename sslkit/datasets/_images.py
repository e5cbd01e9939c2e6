"""`Images`: the one form in which pictures travel through sslkit, and how they are split."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, fields, replace

import torch
from torch import Tensor

GIGABYTE = 2**30
OURS = ("shapes", "emoji", "fashion", "digits")


@dataclass(eq=False, repr=False)
class Images:
    """Pictures as one uint8 tensor, with whatever is known about them.

    images       uint8 (N, C, H, W), C = 1 (grey), 3 (RGB) or 4 (RGBA); in memory or memory-mapped
    labels       int64 (N,), or None
    split        uint8 (N,): 0 train, 1 val, 2 test
    factors      what varies, by name: int64 (N,) is a class, float32 (N, d) is a number, NaN where a picture has none
    groups       int64 (N,): pictures of one group always share a split; or None
    names        the classes' names, `names[label]`
    factor_names the names of an int64 factor's values, `factor_names["texture"][value]`
    group_names  the groups' names, `group_names[group]`
    masks        uint8 (N, 1, H, W): how much of a pixel is object, 255 = all of it; or None

    `data.train`, `data.val`, `data.test` and `data[index]` are `Images` again. A split that lies in one piece is a view
    without a copy, which is why what is memory-mapped is stored in the order of its split.
    Raises ValueError when the parts do not fit together.
    """

    images: Tensor
    labels: Tensor | None
    split: Tensor
    factors: dict[str, Tensor] = field(default_factory=dict)
    groups: Tensor | None = None
    names: tuple[str, ...] = ()
    name: str = "images"
    factor_names: dict[str, tuple[str, ...]] = field(default_factory=dict)
    group_names: tuple[str, ...] = ()
    masks: Tensor | None = None

    def __post_init__(self):
        self.check()

    def check(self) -> None:
        """Raise ValueError unless all parts fit together: after one of them was set by hand."""
        x = self.images
        if not isinstance(x, Tensor) or x.dtype != torch.uint8 or x.ndim != 4 or x.shape[1] not in (1, 3, 4):
            raise ValueError(
                f"images must be a uint8 tensor (N, C, H, W) with C = 1, 3 or 4, not {_what(x)}; datasets.arrays converts."
            )
        for name, dtype in (("labels", torch.int64), ("split", torch.uint8), ("groups", torch.int64)):
            value = getattr(self, name)
            if value is not None and not (isinstance(value, Tensor) and value.dtype == dtype and value.ndim == 1):
                raise ValueError(
                    f"{name} must be a tensor (N,) of {dtype}, not {_what(value)}; datasets.arrays converts."
                )
        for name, value in self.factors.items():
            kind = (value.dtype, value.ndim) if isinstance(value, Tensor) else None
            if kind not in ((torch.int64, 1), (torch.float32, 2)):
                raise ValueError(
                    f"factor {name!r} is {_what(value)}; it must be a tensor: int64 (N,) for a class, float32 (N, d) for a "
                    "number."
                )
        for name, value in (self._rows() | self.factors).items():
            if len(value) != len(x):
                raise ValueError(f"{name} has {len(value):,} entries, but there are {len(x):,} images.")
        if len(x) and self.split.max() > 2:
            raise ValueError(f"split holds a {int(self.split.max())}; it is 0 for train, 1 for val and 2 for test.")
        if self.labels is not None and self.names and len(x):
            low, high = int(self.labels.min()), int(self.labels.max())
            if low < 0 or high >= len(self.names):
                raise ValueError(f"labels go from {low} to {high}, but there are {len(self.names)} class names.")

    def _rows(self) -> dict[str, Tensor]:
        """All tensors with one entry per picture; the factors come on top."""
        return {f.name: getattr(self, f.name) for f in fields(self) if isinstance(getattr(self, f.name), Tensor)}

    def __len__(self) -> int:
        return len(self.images)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W)."""
        return tuple(self.images.shape[1:])

    def __getitem__(self, index) -> Images:
        """The pictures at `index` (slice, tensor, mask, list or one number) with all that belongs to them."""
        if not isinstance(index, slice):
            index = torch.as_tensor(index)
            index = index[None] if index.ndim == 0 else index if len(index) else index.long()  # an empty list is floats
        rows = {name: value[index] for name, value in self._rows().items()}
        return replace(self, **rows, factors={name: value[index] for name, value in self.factors.items()})

    def _part(self, number: int) -> Images:
        self.check()
        index = (self.split == number).nonzero().flatten()
        if len(index) and index[-1] - index[0] == len(index) - 1:  # in one piece: a view
            index = slice(int(index[0]), int(index[-1]) + 1)
        return self[index]

    @property
    def train(self) -> Images:
        return self._part(0)

    @property
    def val(self) -> Images:
        return self._part(1)

    @property
    def test(self) -> Images:
        return self._part(2)

    def fingerprint(self) -> str:
        """16 hexadecimal digits that change when a pixel, a label, a group, a split or a class name changes.

        Of more than a gigabyte of pictures only some are read, evenly spaced, about a gigabyte in all.
        """
        digest = hashlib.sha256(repr((tuple(self.images.shape), self.names)).encode())
        for name, rows in self._rows().items():
            digest.update(name.encode())
            for chunk in rows[:: 1 + rows.nbytes // GIGABYTE].split(4096):  # in pieces: it may be larger than memory
                digest.update(chunk.cpu().contiguous().numpy())
        return digest.hexdigest()[:16]

    def __repr__(self) -> str:
        sizes = ", ".join(f"{int((self.split == i).sum()):,} {part}" for i, part in enumerate(("train", "val", "test")))
        classes = f", {len(self.names)} classes" if self.names else ""
        factors = f", factors: {', '.join(self.factors)}" if self.factors else ""
        what = f"{len(self):,} image" + "s" * (len(self) != 1)
        return f"{self.name}: {what} of {'x'.join(map(str, self.shape))} ({sizes}){classes}{factors}"


def not_ours(name: str) -> str:
    """A name for somebody's own pictures: the names of the kit's sets bring views that suit those."""
    return f"{name} (yours)" if name in OURS else name


def _what(value) -> str:
    shape = f"{value.dtype} of shape {tuple(value.shape)}" if hasattr(value, "shape") else ""
    return shape if isinstance(value, Tensor) else f"{shape and shape + ', '}a {type(value).__name__}"


def draw_split(labels: Tensor | None, groups: Tensor | None, n: int, *, seed=0, val=0.125, test=0.125) -> Tensor:
    """Cut n pictures into train, val and test: by seed, every class in proportion, no group divided.

    Systematic sampling: the units (groups, or single pictures) of each class are shuffled and spread evenly over
    [0, 1); the first share of that line is the test split, the next the validation split. So the totals are exact and
    each class gets its share to about one unit. With three units or more no split is empty unless its share is 0.
    A group whose pictures differ in label counts as the class of its first picture.

    (N,), (N,) -> uint8 (N,): 0 train, 1 val, 2 test. Raises ValueError if the shares leave nothing to train on.
    """
    if not (0 <= val and 0 <= test and val + test < 1):
        raise ValueError(f"val and test are shares that leave something to train on, but {val=} and {test=}.")
    unit = torch.arange(n) if groups is None else groups.unique(return_inverse=True)[1]
    n_units = int(unit.max()) + 1
    first = torch.full((n_units,), n).scatter_reduce(0, unit, torch.arange(n), "amin")  # each unit's first picture
    stratum = torch.zeros(n_units) if labels is None else labels[first]
    line = torch.empty(n_units, dtype=torch.float64)
    generator = torch.Generator().manual_seed(seed)
    for value in stratum.unique():
        members = (stratum == value).nonzero().flatten()
        shift = torch.rand(len(members), generator=generator, dtype=torch.float64)
        line[members] = (torch.randperm(len(members), generator=generator) + shift) / len(members)
    n_val, n_test = (max(round(share * n_units), n_units >= 3) if share else 0 for share in (val, test))
    place = line.argsort().argsort()
    return ((place < n_test + n_val).to(torch.uint8) + (place < n_test).to(torch.uint8))[unit]


def with_test(train_labels: Tensor, n_test: int, *, seed: int, val: float) -> Tensor:
    """The split of a set whose last n_test pictures are its official test part: val is carved from the rest."""
    split = draw_split(train_labels, None, len(train_labels), seed=seed, val=val, test=0 if n_test else 0.125)
    return torch.cat([split, split.new_full((n_test,), 2)])

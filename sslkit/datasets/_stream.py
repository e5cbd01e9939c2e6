"""`Stream`: batches from any iterable, for pictures that do not fit into memory or have no end."""

from __future__ import annotations

import io
import pickle
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor


class Stream:
    """Full batches without end, from an iterable of uint8 images (B, C, H, W) or of pairs (images, labels).

    The iterable may be a `torch.utils.data.DataLoader`. It is begun again when it ends, and a batch smaller than the first
    is left out. If it has `state_dict` and `load_state_dict` (plain values and tensors), a stopped run goes on exactly.
    `first` is the first batch, `shape` is (C, H, W).
    Every batch is looked at when it comes; of later ones that are on a GPU only the form, so that nothing waits for it.
    Raises ValueError for an iterable without a full batch, or with other images than uint8 or floats in [0, 1], TypeError
    for what is no iterable of tensors.
    """

    name, names = "stream", ()

    def __init__(self, batches: Iterable):
        if isinstance(batches, str) or not isinstance(batches, Iterable):
            raise TypeError(
                f"data is {batches!r:.40}; give datasets.load(name), or an iterable of batches (B, C, H, W)."
            )
        self.batches, self.size, self.shape = batches, None, None
        self.iterator = enumerate(batches, 1)
        self.first = self._next()
        self.size, self.shape = len(self.first[0]), tuple(self.first[0].shape[1:])

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor | None]]:
        if self.first is not None:
            yield self.first
        while True:
            yield self._next()

    def _next(self) -> tuple[Tensor, Tensor | None]:
        for _ in range(2):  # the second time from its beginning
            for number, batch in self.iterator:
                images, labels = self._checked(number, batch)
                if self.size in (None, len(images)):
                    return images, labels
            self.iterator = enumerate(self.batches, 1)
        kind = type(self.batches).__name__
        if self.size is None:
            raise ValueError(f"The iterable ({kind}) is empty; give at least one batch: drop_last=True may leave none.")
        raise ValueError(
            f"The iterable ({kind}) has ended and gives no full batch when it is begun again. "
            "A generator can be read only once: give a list, a DataLoader, or an object with __iter__."
        )

    def _checked(self, number: int, batch) -> tuple[Tensor, Tensor | None]:
        """Images and labels of a batch, if it is as it should be; `number` is its place in the iterable, from 1."""
        parts = batch[:2] if isinstance(batch, tuple | list) else (batch,)
        try:
            x, *labels = map(torch.as_tensor, parts)
        except (RuntimeError, TypeError, ValueError) as error:
            got = " and a ".join(type(part).__name__ for part in parts) or "list of nothing"
            raise TypeError(
                f"Batch {number} is a {got}; give tensors (B, C, H, W) or pairs (images, labels) of numbers, neither "
                "dictionaries nor strings."
            ) from error
        floats, near = x.is_floating_point(), self.shape is None or x.device.type == "cpu"
        low, high = x.aminmax() if floats and near and x.numel() else (0, 1)
        fits = x.shape[1:] == self.shape if self.shape else x.ndim == 4 and x.shape[1] in (1, 3, 4) and x.numel() > 0
        if not (fits and (x.dtype == torch.uint8 or (floats and 0 <= low <= high <= 1))):  # false for NaN
            seen = ", from {:.4g} to {:.4g}".format(*x.aminmax()) if x.numel() else ""
            want = f"(C, H, W) = {self.shape} as in the first" if self.shape else "C = 1, 3 or 4"
            raise ValueError(
                f"Batch {number} is {x.dtype} of shape {tuple(x.shape)}{seen}; expected images (B, C, H, W) with {want}, "
                "uint8 or floats in [0, 1] that are not normalised: the encoder does that."
            )
        return x, labels[0] if labels else None

    def fingerprint(self) -> str:
        """Nobody can read a stream to its end, so its shape has to do."""
        return f"stream of {self.size} x {self.shape}"

    def state(self) -> object:
        """Where the iterable is, or None if it cannot tell. Raises TypeError if a checkpoint cannot hold the answer."""
        if not hasattr(self.batches, "state_dict"):
            return None
        file = io.BytesIO()
        torch.save(self.batches.state_dict(), file)
        file.seek(0)
        try:
            return torch.load(file, weights_only=True)
        except pickle.UnpicklingError as error:
            raise TypeError(
                f"state_dict() of the iterable ({type(self.batches).__name__}) holds more than tensors and plain values; "
                "a checkpoint with it could not be opened again."
            ) from error

    def go_to(self, state: object) -> None:
        """Go on where `state` says."""
        self.batches.load_state_dict(state)
        self.iterator, self.first = enumerate(self.batches, 1), None

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
    Raises ValueError for an iterable without a full batch, or with other images than uint8 or floats in [0, 1].
    """

    name, names = "stream", ()

    def __init__(self, batches: Iterable):
        self.batches, self.size = batches, None
        self.iterator = iter(batches)
        self.first = self._next()
        x = self.first[0]
        if x.ndim != 4 or not (x.dtype == torch.uint8 or (x.is_floating_point() and 0 <= x.min() and x.max() <= 1)):
            got = f"{x.dtype} of shape {tuple(x.shape)}, from {x.min():.4g} to {x.max():.4g}"
            raise ValueError(
                f"The first batch is {got}; expected uint8 images (B, C, H, W), or floats in [0, 1] that are not "
                "normalised: the encoder does that."
            )
        self.size, self.shape = len(x), tuple(x.shape[1:])

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor | None]]:
        if self.first is not None:
            yield self.first
        while True:
            yield self._next()

    def _next(self) -> tuple[Tensor, Tensor | None]:
        for _ in range(2):  # the second time from its beginning
            for batch in self.iterator:
                images, *labels = batch if isinstance(batch, tuple | list) else (batch,)
                images = torch.as_tensor(images)
                if self.size in (None, len(images)):
                    return images, torch.as_tensor(labels[0]) if labels else None
            self.iterator = iter(self.batches)
        raise ValueError(
            f"The iterable ({type(self.batches).__name__}) has ended and gives no full batch when it is begun again. "
            "A generator can be read only once: give a list, a DataLoader, or an object with __iter__."
        )

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
        self.iterator, self.first = iter(self.batches), None

"""Randomness as a function of names: the same seed and the same key give the same numbers, in any order, in any process.

Nothing has to be stored to resume a run exactly: the permutation of epoch 7 and the views of step 1234 can be drawn again.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from numbers import Integral

import torch

_DRAWING = threading.RLock()


def check(seed: int) -> None:
    """Raise ValueError unless the seed is a whole number that PyTorch takes."""
    if not isinstance(seed, Integral) or not 0 <= seed < 2**63:
        raise ValueError(f"seed is {seed!r}; give a whole number from 0 on, below 2**63.")


@contextmanager
def fixed(seed: int) -> Iterator[None]:
    """Whatever draws from PyTorch's CPU generator in here draws from this seed, and leaves the generator as it was.

    One thread at a time. Another one that draws meanwhile without asking here would still change the numbers.
    """
    with _DRAWING, torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would reach GPUs, too
        yield


def generator(*key: object) -> torch.Generator:
    """A CPU generator that depends on the key only, such as `generator(seed, "views", step, rank)`."""
    digest = hashlib.blake2b(repr(key).encode(), digest_size=4).digest()  # PyTorch's CPU generator reads 32 bits
    return torch.Generator().manual_seed(int.from_bytes(digest, "little"))

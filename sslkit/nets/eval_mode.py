"""How to look at what a network does without changing it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain

import torch
from torch import nn


@contextmanager
def looking(network: nn.Module) -> Iterator[torch.device]:
    """Eval mode and no gradients, for a look at what a network does. Yields its device; every module's mode is restored.

    In training mode a batch norm would go on moving its statistics, and what is made of a picture would depend on which
    pictures share its batch.
    """
    modes = {module: module.training for module in network.modules()}
    network.eval()
    try:
        with torch.no_grad():
            yield next(chain(network.parameters(), network.buffers()), torch.empty(0)).device
    finally:
        for module, training in modes.items():
            module.training = training

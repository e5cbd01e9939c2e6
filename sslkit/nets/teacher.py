"""What a method remembers of earlier steps: a teacher that follows the student slowly, and a queue of embeddings."""

from __future__ import annotations

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sslkit.errors import require

RUNNING = ("running_mean", "running_var", "num_batches_tracked")  # what a batch norm remembers


class Teacher(nn.Module):
    """A copy of a network that is never trained: it follows its student slowly, and nothing in it gets a gradient.

    Mean teacher (arXiv 1703.01780), MoCo's momentum encoder (arXiv 1911.05722, eq. 2), BYOL's target network.
    """

    def __init__(self, student: nn.Module):
        super().__init__()
        copies = {id(p): nn.Parameter(p.detach().clone(), requires_grad=False) for p in student.parameters()}
        copies |= {id(b): b.clone() for b in student.buffers()}
        self.network = copy.deepcopy(student, copies)  # tensors by clone: deepcopy itself cannot do those of a fake GPU

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        return self.network(x)

    @torch.no_grad()
    def follow(self, student: nn.Module, momentum: float) -> None:
        """Move every parameter to momentum * mine + (1 - momentum) * the student's. Call it after the optimiser's step.

        Running statistics of batch norms stay the teacher's own, as in MoCo's code: they fit its weights, the student's
        would not. While it trains nobody uses them. Other buffers, such as the statistics of pixels, are copied.
        """
        require(0 <= momentum <= 1, f"momentum is {momentum}; it is the share of the old teacher, from 0 to 1.")
        for mine, theirs in zip(self.network.parameters(), student.parameters(), strict=True):
            mine.lerp_(theirs, 1 - momentum)
        for (name, mine), theirs in zip(self.network.named_buffers(), student.buffers(), strict=True):
            if not name.endswith(RUNNING):
                mine.copy_(theirs)


class Queue(nn.Module):
    """The last `size` embeddings, first in, first out, at length one. It starts with random directions.

    rows (size, dim) and pointer, the place of the oldest row, are buffers: a checkpoint has both.
    """

    def __init__(self, size: int, dim: int):
        super().__init__()
        self.register_buffer("rows", F.normalize(torch.randn(size, dim), dim=1))
        self.register_buffer("pointer", torch.zeros((), dtype=torch.long))

    @torch.no_grad()
    def put(self, z: Tensor) -> None:
        """Replace the oldest rows by z (B, dim), for any B. Of more rows than there are places, the last ones stay."""
        size = len(self.rows)
        z = F.normalize(z[-size:].to(self.rows.dtype), dim=1)
        places = (self.pointer + torch.arange(len(z), device=z.device)) % size  # past the end it goes on at the start
        self.rows[places] = z
        self.pointer.copy_((self.pointer + len(z)) % size)

    def nearest(self, z: Tensor) -> Tensor:
        """The row most similar to each z, by cosine. (B, dim) -> (B, dim), without a gradient."""
        return self.rows[(z.detach().to(self.rows.dtype) @ self.rows.T).argmax(dim=1)]

"""LeJEPA: embeddings must look like normal noise from random directions, which are drawn in `collect`."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from sslkit import losses
from sslkit.augment import Policy
from sslkit.device import send
from sslkit.methods.base import Batch
from sslkit.methods.joint import Joint, wiring


class LeJEPA(Joint):
    """Pull views together while the embeddings of each view stay normally distributed (LeJEPA, arXiv 2511.08544).

    `n_directions` random directions are drawn in every step (`Batch.noise`); several processes draw their own, and the
    mean of their gradients then knows more directions. With V > 2 views, all pairs are compared; the authors compare with
    the mean of all views, which gives invariance 2 (V - 1) / V times the weight.
    """

    def __init__(
        self,
        encoder: nn.Module,
        *,
        lambda_: float = 0.02,
        n_directions: int = 256,
        head: tuple[int, int] = (512, 64),
        policies: Sequence[Policy] = (Policy(), Policy()),
        norm: str = "batch",
    ):
        hyper = {"lambda_": lambda_}
        super().__init__(
            **wiring("lejepa", encoder, losses.lejepa, losses.lejepa_references, hyper, head, policies, norm)
        )
        self.spec["n_directions"] = n_directions
        self.noise_shape = (head[1], n_directions)

    def collect(self, images, index, labels, generator) -> Batch:
        batch = super().collect(images, index, labels, generator)
        batch.noise = send(torch.randn(self.noise_shape, generator=generator, device="cpu"), images.device)  # (D, M)
        return batch

    def extras(self, batch: Batch) -> tuple[Tensor, ...]:
        return (batch.noise,)

"""NNCLR: the positive is not the other view, but the nearest neighbour of the other view."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations

import torch
from torch import Tensor, nn

from sslkit import losses
from sslkit.augment import Policy
from sslkit.distributed import gather
from sslkit.methods.base import Batch, Method, encode
from sslkit.nets import Queue, prediction_head, projection_head


class NNCLR(Method):
    """Predict from one view the nearest neighbour of the other (NNCLR, arXiv 2104.14548, section 3.2).

    Neighbours come from a queue of projections of earlier batches, the support set: another picture of the same kind is a
    better augmentation than a crop. They have no gradient; all learning goes through the predictions of the other view.
    InfoNCE over the batch, in both directions. First views enter the queue after each step.

    ImageNet: queue 98,304, temperature 0.1, projection head of three layers, output 256, predictor 4096 wide.
    """

    def __init__(
        self,
        encoder: nn.Module,
        *,
        temperature: float = 0.1,
        queue_size: int = 4096,
        head: tuple[int, int] = (512, 128),
        policies: Sequence[Policy] = (Policy(), Policy()),
        norm: str = "batch",
    ):
        super().__init__()
        self.encoder, self.head = encoder, projection_head(encoder.dim, *head, norm=norm)
        self.predictor = prediction_head(head[1], head[0], norm=norm)
        self.queue = Queue(queue_size, head[1])
        self.temperature, self.newest = temperature, None
        hyper = {"temperature": temperature, "queue_size": queue_size}
        self.describe("nnclr", policies, views=2, **hyper, head=list(head), norm=norm)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        z = encode(nn.Sequential(self.encoder, self.head), batch.views)  # V x (B, D)
        p = [gather(p) for p in encode(self.predictor, z)]
        z = [gather(z.detach()) for z in z]
        self.newest = z[0]  # in the queue after this step
        neighbours = [self.queue.nearest(z) for z in z]
        pairs = permutations(range(len(z)), 2)
        each = [losses.info_nce(neighbours[i], p[j], temperature=self.temperature) for i, j in pairs]
        return {"loss": torch.stack(each).mean()}

    def after_step(self, progress: float) -> None:
        self.queue.put(self.newest)

    def reference_values(self, batch_size: int) -> dict[str, float]:
        return losses.info_nce_references(batch_size - 1, temperature=self.temperature)

"""MoCo: negatives from a queue that a slow encoder has filled."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from sslkit import losses
from sslkit.augment import Policy
from sslkit.distributed import gather
from sslkit.methods.base import Batch, Method
from sslkit.nets import Queue, Teacher, projection_head


class MoCo(Method):
    """Find the key of each query among many keys of earlier batches (MoCo, arXiv 1911.05722; with v2's head, 2003.04297).

    The first view is the query. The second goes through a teacher, the momentum encoder, and becomes the key; the last
    `queue_size` keys are the negatives, however small the batch is. One direction, as in versions 1 and 2: per step only
    one view is trained on, the other costs a forward pass.

    Batch norm can let the answer leak: query and key of one batch share its statistics, the keys in the queue do not.
    The authors shuffle the batch over their GPUs. One process has nothing to shuffle over; here nothing is done, and
    nothing was found: after 300 steps on shapes a query was no closer to other keys of its own batch than to keys of
    another one (area under the ROC curve 0.50 with batches of 128, 0.48 with 32).

    The queue is short, since a long one is old: on shapes of 16 pixels, 300 steps of 128 images with 1,024 keys led to
    a kNN accuracy of 0.34, with 4,096 to 0.25 (one seed). It starts with random directions, which are too easy, so the
    loss rises first.

    ImageNet: queue 65,536, momentum 0.999, temperature 0.07 (v1) or 0.2 (v2), head (2048, 128).
    """

    def __init__(
        self,
        encoder: nn.Module,
        *,
        temperature: float = 0.2,
        queue_size: int = 1024,
        momentum: float = 0.99,
        head: tuple[int, int] = (512, 128),
        policies: Sequence[Policy] = (Policy(), Policy()),
        norm: str = "batch",
    ):
        super().__init__()
        self.encoder, self.head = encoder, projection_head(encoder.dim, *head, norm=norm)
        self.teacher = Teacher(nn.Sequential(self.encoder, self.head))
        self.queue = Queue(queue_size, head[1])
        self.temperature, self.momentum, self.keys = temperature, momentum, None
        hyper = {"temperature": temperature, "queue_size": queue_size, "momentum": momentum}
        self.describe("moco", policies, views=2, or_more=False, **hyper, head=list(head), norm=norm)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        q = gather(self.head(self.encoder(batch.views[0])))  # (B, D)
        self.keys = gather(self.teacher(batch.views[1]))  # (B, D), in the queue after this step
        return {"loss": losses.info_nce(q, self.keys, self.queue.rows, temperature=self.temperature)}

    def after_step(self, progress: float) -> None:
        self.teacher.follow(nn.Sequential(self.encoder, self.head), self.momentum)
        self.queue.put(self.keys)

    def reference_values(self, batch_size: int) -> dict[str, float]:
        return losses.info_nce_references(len(self.queue.rows), temperature=self.temperature)

"""Contrastive learning with labels: the one joint embedding that reads them."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from sslkit import losses
from sslkit.augment import Policy
from sslkit.distributed import gather
from sslkit.methods.base import Batch
from sslkit.methods.joint import Joint, wiring


class SupCon(Joint):
    """Find all views of the same class among all views of the batch (supervised contrastive learning, arXiv 2004.11362).

    It learns from the labels of the training pictures, so what it reaches is no result of learning without labels.
    """

    def __init__(
        self,
        encoder: nn.Module,
        *,
        temperature: float = 0.1,
        head: tuple[int, int] = (512, 128),
        policies: Sequence[Policy] = (Policy(), Policy()),
        norm: str = "batch",
    ):
        hyper = {"temperature": temperature}
        references = lambda n, **k: losses.sup_con_references(n)
        super().__init__(**wiring("supcon", encoder, losses.sup_con, references, hyper, head, policies, norm))

    def extras(self, batch: Batch) -> tuple[Tensor, ...]:
        if batch.labels is None:
            raise ValueError(
                "SupCon learns from labels, and these pictures have none. SimCLR is the same without labels."
            )
        return (gather(batch.labels),)

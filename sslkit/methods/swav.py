"""SwAV: cluster the batch, and predict the cluster of one view from another view."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor, nn

from sslkit import losses
from sslkit.augment import Policy
from sslkit.distributed import gather
from sslkit.methods.base import Batch, Method, encode, with_lr
from sslkit.nets import Prototypes, projection_head


class SwAV(Method):
    """Predict from every view which prototypes the other view was given (SwAV, arXiv 2006.09882, section 3).

    The first two views get codes: `sinkhorn` shares them out evenly over `n_prototypes` learnt directions, so that they
    cannot all get the same. All other policies are for views that only predict: in multi-crop they are small, cheap, and
    show a part (`recipes.multi_crop` gives four of half the size). For the first `freeze` of the steps the prototypes stand
    still. Over several processes the codes are those of the joint batch. The authors' queue for small batches is left
    out: 256 images are enough for 256 prototypes.

    ImageNet: 3,000 prototypes, head (2048, 128), 2 views of 224 pixels and 6 of 96.
    """

    def __init__(
        self,
        encoder: nn.Module,
        *,
        n_prototypes: int = 256,
        temperature: float = 0.1,
        epsilon: float = 0.05,
        freeze: float = 0.05,
        head: tuple[int, int] = (512, 128),
        policies: Sequence[Policy] = (Policy(), Policy()),
        norm: str = "batch",
    ):
        super().__init__()
        self.encoder, self.head = encoder, projection_head(encoder.dim, *head, norm=norm)
        self.prototypes = Prototypes(head[1], n_prototypes)
        self.temperature, self.epsilon, self.freeze = temperature, epsilon, freeze
        hyper = {"n_prototypes": n_prototypes, "temperature": temperature, "epsilon": epsilon, "freeze": freeze}
        self.describe("swav", policies, views=2, **hyper, head=list(head), norm=norm)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        network = nn.Sequential(self.encoder, self.head, self.prototypes)
        scores = [gather(scores) for scores in encode(network, batch.views)]  # V x (B, K)
        codes = [losses.sinkhorn(full, epsilon=self.epsilon) for full in scores[:2]]  # 2 x (B, K)
        return {"loss": losses.swapped_prediction(scores, codes, temperature=self.temperature)}

    def param_groups(self, progress: float) -> list[dict]:
        return with_lr(super().param_groups(progress), self.prototypes, 0.0 if progress < self.freeze else 1.0)

    def reference_values(self, batch_size: int) -> dict[str, float]:
        return {"collapsed": math.log(self.prototypes.out_features)}

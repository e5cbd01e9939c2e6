"""SimSiam: predict one view from the other, and stop the gradient at the target. No negatives, no teacher."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations

import torch
from torch import Tensor, nn

from sslkit import losses
from sslkit.augment import Policy
from sslkit.distributed import gather
from sslkit.methods.base import Batch, Method, encode, with_lr
from sslkit.nets import prediction_head, projection_head
from sslkit.schedules import cosine


class SimSiam(Method):
    """Predict the projection of one view from that of the other, which stands still meanwhile (SimSiam, arXiv 2011.10566,
    eq. 4).

    The projection ends in a norm. The predictor is a bottleneck, a quarter as wide as the projection, and its learning
    rate stays up while the others' follows the cosine (section 4.2 of the paper: it should keep up with the latest
    representations).

    Two guards against collapse can be taken away, to watch what happens: `stop_gradient=False` lets the target move
    towards the prediction, `predictor=False` compares projections directly.

    ImageNet: projection head of three layers (2048, 2048), predictor 512 wide.
    """

    def __init__(
        self,
        encoder: nn.Module,
        *,
        predictor: bool = True,
        stop_gradient: bool = True,
        head: tuple[int, int] = (512, 512),
        policies: Sequence[Policy] = (Policy(), Policy()),
        norm: str = "batch",
    ):
        super().__init__()
        self.encoder, self.head = encoder, projection_head(encoder.dim, *head, norm=norm, last_norm=True)
        self.predictor = prediction_head(head[1], head[1] // 4, norm=norm) if predictor else nn.Identity()
        self.stop_gradient = stop_gradient
        hyper = {"predictor": predictor, "stop_gradient": stop_gradient}
        self.describe("simsiam", policies, views=2, **hyper, head=list(head), norm=norm)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        z = encode(nn.Sequential(self.encoder, self.head), batch.views)  # V x (B, D)
        targets = [z.detach() for z in z] if self.stop_gradient else z
        p, targets = [gather(p) for p in encode(self.predictor, z)], [gather(t) for t in targets]
        pairs = permutations(range(len(p)), 2)
        return {"loss": torch.stack([losses.cosine_distance(p[i], targets[j]) for i, j in pairs]).mean()}

    def param_groups(self, progress: float) -> list[dict]:
        """The loop multiplies the learning rate by a cosine; the predictor's factor takes that out again.

        The loop's cosine begins after its warm-up, so with the default of 5 % the predictor's rate ends 11 % higher.
        """
        return with_lr(super().param_groups(progress), self.predictor, 1 / max(cosine(1.0, 0.0, progress), 1e-12))

    def reference_values(self, batch_size: int) -> dict[str, float]:
        return {"collapsed": -1.0, "bound": -1.0}  # the same: only the spread of the representation tells

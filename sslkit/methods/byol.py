"""BYOL: predict what a slow copy of oneself says of another view. No negatives."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations

import torch
from torch import Tensor, nn

from sslkit import losses
from sslkit.augment import Policy
from sslkit.distributed import gather
from sslkit.methods.base import Batch, Method, encode
from sslkit.nets import Teacher, prediction_head, projection_head
from sslkit.schedules import cosine


class BYOL(Method):
    """Predict the teacher's projection of one view from the student's projection of the other (BYOL, arXiv 2006.07733).

    The loss is the squared distance of unit vectors in both directions, added: 4 + 4 * `cosine_distance`, from 0 to 8.
    The teacher's momentum grows from `momentum` to 1 over the training, along a cosine.

    Two guards against collapse can be taken away, to watch what happens: `predictor=False` compares projections directly,
    `stop_gradient=False` makes the student its own teacher, gradient included.

    ImageNet: momentum 0.996, head and predictor (4096, 256).
    """

    def __init__(
        self,
        encoder: nn.Module,
        *,
        momentum: float = 0.99,
        predictor: bool = True,
        stop_gradient: bool = True,
        head: tuple[int, int] = (512, 128),
        policies: Sequence[Policy] = (Policy(), Policy()),
        norm: str = "batch",
    ):
        super().__init__()
        self.encoder, self.head = encoder, projection_head(encoder.dim, *head, norm=norm)
        self.predictor = prediction_head(head[1], head[0], norm=norm) if predictor else nn.Identity()
        self.teacher = Teacher(nn.Sequential(self.encoder, self.head))
        self.momentum, self.stop_gradient = momentum, stop_gradient
        hyper = {"momentum": momentum, "predictor": predictor, "stop_gradient": stop_gradient}
        self.describe("byol", policies, views=2, **hyper, head=list(head), norm=norm)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        z = encode(nn.Sequential(self.encoder, self.head), batch.views)  # V x (B, D)
        targets = encode(self.teacher, batch.views) if self.stop_gradient else z
        p, targets = [gather(p) for p in encode(self.predictor, z)], [gather(t) for t in targets]
        pairs = permutations(range(len(p)), 2)
        return {"loss": 4 + 4 * torch.stack([losses.cosine_distance(p[i], targets[j]) for i, j in pairs]).mean()}

    def after_step(self, progress: float) -> None:
        self.teacher.follow(nn.Sequential(self.encoder, self.head), cosine(self.momentum, 1.0, progress))

    def reference_values(self, batch_size: int) -> dict[str, float]:
        return {"collapsed": 0.0, "bound": 0.0}  # the same: only the spread of the representation tells

"""DINO: the student says of every view what its teacher says of the whole picture."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from sslkit import losses
from sslkit.augment import Policy
from sslkit.distributed import gather
from sslkit.methods.base import Batch, Method, encode, with_lr
from sslkit.nets import Prototypes, Teacher, projection_head
from sslkit.schedules import cosine


class DINO(Method):
    """Match the teacher's distribution over K outputs, of another view of the same image (DINO, arXiv 2104.14294).

    The teacher sees the first two views, the student all of them: further policies are for small views that show a part
    (`recipes.multi_crop` gives four of half the size). The teacher's momentum grows from `momentum` to 1 along a cosine.
    For the first `freeze` of the steps the last layer stands still.

    Two things oppose collapse and each other: a low `teacher_temperature` sharpens, and the centre, a running mean of the
    teacher's outputs that is taken off them, evens out. `centre=False` leaves it at 0, to watch what happens.

    ImageNet: 65,536 outputs, momentum 0.996, a head of three layers without norm (2048, 256), 2 views of 224 pixels and
    8 of 96, a weight decay that grows from 0.04 to 0.4, gradients clipped at 3, a `teacher_temperature` that begins at 0.04
    and grows to 0.07. Those last three are left out here, the head is the kit's, and the student is kept, not the teacher.
    """

    def __init__(
        self,
        encoder: nn.Module,
        *,
        n_prototypes: int = 1024,
        student_temperature: float = 0.1,
        teacher_temperature: float = 0.04,
        momentum: float = 0.99,
        centre: bool = True,
        centre_momentum: float = 0.9,
        freeze: float = 0.05,
        head: tuple[int, int] = (512, 128),
        policies: Sequence[Policy] = (Policy(), Policy()),
        norm: str = "batch",
    ):
        super().__init__()
        self.encoder, self.head = encoder, projection_head(encoder.dim, *head, norm=norm)
        self.prototypes = Prototypes(head[1], n_prototypes)
        self.teacher = Teacher(self.student)
        self.register_buffer("centre", torch.zeros(n_prototypes))
        self.temperatures = {"student_temperature": student_temperature, "teacher_temperature": teacher_temperature}
        self.momentum, self.freeze, self.mean = momentum, freeze, None
        self.centre_momentum = centre_momentum if centre else 1.0
        hyper = {"n_prototypes": n_prototypes, **self.temperatures, "momentum": momentum, "freeze": freeze}
        hyper |= {"centre": centre, "centre_momentum": centre_momentum}
        self.describe("dino", policies, views=2, **hyper, head=list(head), norm=norm)

    @property
    def student(self) -> nn.Module:
        return nn.Sequential(self.encoder, self.head, self.prototypes)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        student = [gather(s) for s in encode(self.student, batch.views)]  # V x (B, K)
        teacher = [gather(t) for t in encode(self.teacher, batch.views[:2])]  # 2 x (B, K)
        self.mean = torch.cat(teacher).mean(dim=0)  # (K,), in the centre after this step
        return {"loss": losses.self_distillation(student, teacher, self.centre, **self.temperatures)}

    def after_step(self, progress: float) -> None:
        self.teacher.follow(self.student, cosine(self.momentum, 1.0, progress))
        self.centre.lerp_(self.mean.to(self.centre.dtype), 1 - self.centre_momentum)

    def param_groups(self, progress: float) -> list[dict]:
        return with_lr(super().param_groups(progress), self.prototypes, 0.0 if progress < self.freeze else 1.0)

    def reference_values(self, batch_size: int) -> dict[str, float]:
        return {"all outputs equal": math.log(self.prototypes.out_features)}

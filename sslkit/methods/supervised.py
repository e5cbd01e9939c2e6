"""Learning with labels, in the same loop: the ceiling, and the second half of "pretrain, then fine-tune"."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sslkit import augment
from sslkit.augment import Policy
from sslkit.methods.base import Batch, Method, with_lr
from sslkit.nets import looking


class Supervised(Method):
    """A linear layer on the encoder, trained on labels: cross-entropy for classes (int64 (N,)), squared error for numbers
    (float32 (N, d)).

    `targets` holds the label of every training picture, in the order of the training split. `encoder_lr` is the factor on
    the encoder's learning rate: 1 trains from scratch, 0 freezes it (its batch norms, too), something between fine-tunes.
    """

    def __init__(
        self,
        encoder: nn.Module,
        targets: Tensor,
        *,
        outputs: int,
        policies: Sequence[Policy] = (Policy(),),
        encoder_lr: float = 1.0,
    ):
        super().__init__()
        self.encoder, self.head = encoder, nn.Linear(encoder.dim, outputs)
        if encoder_lr == 0:
            encoder.requires_grad_(False)  # no backward pass through what does not learn
        self.policies, self.encoder_lr = tuple(policies), encoder_lr
        self.register_buffer("targets", targets, persistent=False)

    def train(self, mode: bool = True):
        super().train(mode)
        if self.encoder_lr == 0:
            self.encoder.eval()
        return self

    def collect(self, images, index, labels, generator) -> Batch:
        batch = super().collect(images, index, labels, generator)
        batch.labels = self.targets[index]
        return batch

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        output = self.head(self.encoder(batch.views[0])).float()  # (B, outputs)
        if batch.labels.is_floating_point():
            return {"loss": F.mse_loss(output, batch.labels)}
        return {"loss": F.cross_entropy(output, batch.labels)}

    def finish(self, pictures) -> None:
        """Nothing: the linear layer has learned to read these features."""

    def param_groups(self, progress: float) -> list[dict]:
        return with_lr(super().param_groups(progress), self.encoder, self.encoder_lr)

    def predict(self, images: Tensor, *, batch_size: int = 512) -> Tensor:
        """Logits or numbers for pictures (N, C, H, W), in eval mode. -> (N, outputs) on the CPU."""
        with looking(self) as device:
            parts = [self.head(self.encoder(augment.to_float(x).to(device))).cpu() for x in images.split(batch_size)]
        return torch.cat(parts)

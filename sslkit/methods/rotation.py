"""A pretext task: say which way up a picture is."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sslkit.augment import Policy
from sslkit.methods.base import Batch, Method, encode


class Rotation(Method):
    """Tell by how many quarter turns each image was rotated (arXiv 1803.07728): classification without labels.

    The collector makes all four rotations of each image and names them, `batch.pseudo_labels`; the rest is a linear layer
    and cross-entropy. Views may crop and flip, as the authors' do: neither changes which way is up. Of pictures that are not
    square it sees the square in the middle: the shape of a view would tell how it was turned.
    """

    def __init__(self, encoder: nn.Module, *, policies: Sequence[Policy] = (Policy(),)):
        super().__init__()
        self.encoder, self.head = encoder, nn.Linear(encoder.dim, 4)
        self.describe("rotation", policies, or_more=False)

    def collect(self, images, index, labels, generator) -> Batch:
        side = min(images.shape[2:])
        top, left = ((length - side) // 2 for length in images.shape[2:])
        images = images[:, :, top : top + side, left : left + side]
        batch = super().collect(images, index, labels, generator)
        batch.views = [batch.views[0].rot90(turns, dims=(2, 3)) for turns in range(4)]
        batch.pseudo_labels = torch.arange(4, device=images.device)[:, None].expand(-1, len(images))  # (4, B)
        return batch

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        logits = self.head(torch.cat(encode(self.encoder, batch.views)))  # (4 B, 4)
        turns = batch.pseudo_labels.flatten()
        right = (logits.argmax(dim=1) == turns).float().mean()
        return {"loss": F.cross_entropy(logits, turns), "accuracy": right}

    def reference_values(self, batch_size: int) -> dict[str, float]:
        """The best that equal representations allow: every turn gets a quarter."""
        return {"collapsed": math.log(4)}

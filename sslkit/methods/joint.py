"""Joint embedding: the one wiring for everything that differs only in its loss."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import combinations

import torch
from torch import Tensor, nn

from sslkit.augment import Policy
from sslkit.distributed import gather
from sslkit.methods.base import Batch, Method, check_views, described, encode
from sslkit.nets import projection_head


class Joint(Method):
    """Joint embedding: every view goes through encoder and head, every pair of views through the loss.

    `loss(z1, z2, *extras)` returns a scalar, or a dictionary with "loss" and named terms; more than two views average
    over pairs.
    `references(batch_size)` returns the values that its curve may show.
    """

    def __init__(
        self,
        encoder: nn.Module,
        head: nn.Module,
        loss: Callable[..., Tensor | dict[str, Tensor]],
        *,
        policies: Sequence[Policy] = (Policy(), Policy()),
        references: Callable[[int], dict[str, float]] | None = None,
        spec: dict | None = None,
    ):
        super().__init__()
        check_views(policies, 2, True, "joint embedding")
        self.encoder, self.head, self.loss = encoder, head, loss
        self.policies, self.references, self.spec = tuple(policies), references, spec

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        z = [gather(z) for z in encode(nn.Sequential(self.encoder, self.head), batch.views)]  # V x (B, D)
        extras = self.extras(batch)
        pairs = [self.loss(a, b, *extras) for a, b in combinations(z, 2)]
        pairs = [pair if isinstance(pair, dict) else {"loss": pair} for pair in pairs]
        of_z = {"alignment": "alignment of z", "uniformity": "uniformity of z"}  # the history has those of h, too
        return {of_z.get(name, name): torch.stack([pair[name] for pair in pairs]).mean() for name in pairs[0]}

    def extras(self, batch: Batch) -> tuple[Tensor, ...]:
        """What the loss reads beside two views, such as labels, for the images of all processes. Nothing by default."""
        return ()

    def reference_values(self, batch_size: int) -> dict[str, float]:
        return self.references(batch_size) if self.references else {}


def wiring(
    name: str,
    encoder: nn.Module,
    loss: Callable,
    references: Callable,
    hyper: dict,
    head: tuple[int, int],
    policies: Sequence[Policy],
    norm: str,
) -> dict:
    """The arguments of `Joint` for a loss and its hyper-parameters, with a projection head and a `spec`.

    `references(batch_size, **hyper)` returns the reference values. `head` gives hidden and output width.
    """
    policies, spec = described(name, policies, **hyper, head=list(head), norm=norm)
    return {
        "encoder": encoder,
        "head": projection_head(encoder.dim, *head, norm=norm),
        "loss": partial(loss, **hyper),
        "policies": policies,
        "references": partial(references, **hyper),
        "spec": spec,
    }

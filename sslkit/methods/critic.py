"""Learnt similarity: SimCLR's wiring with a critic in the place of the cosine."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor, nn

from sslkit import losses
from sslkit.augment import Policy
from sslkit.methods.base import described
from sslkit.methods.joint import Joint
from sslkit.nets import critic, projection_head


class SameOrNot(nn.Module):
    """A loss with a critic inside: are these two views of one image? (B, D), (B, D) -> ().

    Partners are a yes. Each image of the first view with the next one's second view is a no, as in the authors' code of
    relational reasoning (arXiv 2006.05849).
    """

    def __init__(self, critic: nn.Module):
        super().__init__()
        self.critic = critic

    def forward(self, z1: Tensor, z2: Tensor) -> Tensor:
        return losses.discrimination(self.critic(z1, z2), self.critic(z1, z2.roll(1, dims=0)))


class WhichOne(nn.Module):
    """A loss with a critic inside: which of all second views belongs to this first one? (B, D), (B, D) -> ()."""

    def __init__(self, critic: nn.Module):
        super().__init__()
        self.critic = critic

    def forward(self, z1: Tensor, z2: Tensor) -> Tensor:
        return losses.critic_nce(self.critic(z1[:, None], z2[None]))  # (B, B) scores


def CriticPairs(
    encoder: nn.Module,
    *,
    kind: str = "mlp",
    head: tuple[int, int] = (512, 128),
    policies: Sequence[Policy] = (Policy(), Policy()),
    norm: str = "batch",
) -> Joint:
    """Learn to tell whether two views show the same image (relational reasoning, arXiv 2006.05849).

    The authors put the relation module on the representation; here it sits on the projection, in the place of SimCLR's
    cosine, so that only the similarity differs. kind: "mlp", one hidden layer on both vectors, or "bilinear".
    """
    references = lambda n: {"collapsed": math.log(2), "bound": 0.0}
    return _joint("critic_pairs", encoder, SameOrNot, references, kind, head, policies, norm)


def CriticNCE(
    encoder: nn.Module,
    *,
    kind: str = "bilinear",
    head: tuple[int, int] = (512, 128),
    policies: Sequence[Policy] = (Policy(), Policy()),
    norm: str = "batch",
) -> Joint:
    """Find the other view of the same image by a learnt score of every pair (InfoNCE of CPC, arXiv 1807.03748).

    kind: "bilinear", which is CPC's, or "mlp".
    """
    references = lambda n: {"collapsed": math.log(n), "bound": 0.0}
    return _joint("critic_nce", encoder, WhichOne, references, kind, head, policies, norm)


def _joint(name, encoder, loss, references, kind, head, policies, norm) -> Joint:
    policies, spec = described(name, policies, kind=kind, head=list(head), norm=norm)
    projection = projection_head(encoder.dim, *head, norm=norm)
    return Joint(encoder, projection, loss(critic(kind, head[1])), policies=policies, references=references, spec=spec)

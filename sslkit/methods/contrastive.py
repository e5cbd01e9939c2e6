"""Contrastive methods: `Joint` with a loss in which views of different images repel. One function each."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from sslkit import losses
from sslkit.augment import Policy
from sslkit.methods.joint import Joint, wiring


def SimCLR(
    encoder: nn.Module,
    *,
    temperature: float = 0.5,
    head: tuple[int, int] = (512, 128),
    policies: Sequence[Policy] = (Policy(), Policy()),
    norm: str = "batch",
) -> Joint:
    """Find the other view of the same image among all views of the batch (SimCLR, arXiv 2002.05709).

    `head` gives the hidden and the output width of the projection head. The default temperature is the authors' for CIFAR.
    """
    hyper = {"temperature": temperature}
    return Joint(**wiring("simclr", encoder, losses.nt_xent, losses.nt_xent_references, hyper, head, policies, norm))


def DCL(
    encoder: nn.Module,
    *,
    temperature: float = 0.1,
    head: tuple[int, int] = (512, 128),
    policies: Sequence[Policy] = (Policy(), Policy()),
    norm: str = "batch",
) -> Joint:
    """SimCLR without the partner in the sum, meant for small batches (decoupled contrastive learning, arXiv 2110.06848)."""
    hyper = {"temperature": temperature}
    loss, references = losses.decoupled_contrastive, losses.decoupled_contrastive_references
    return Joint(**wiring("dcl", encoder, loss, references, hyper, head, policies, norm))


def DCLW(
    encoder: nn.Module,
    *,
    temperature: float = 0.1,
    sigma: float = 0.5,
    head: tuple[int, int] = (512, 128),
    policies: Sequence[Policy] = (Policy(), Policy()),
    norm: str = "batch",
) -> Joint:
    """DCL in which pairs that are still apart weigh more (arXiv 2110.06848)."""
    hyper = {"temperature": temperature, "sigma": sigma}
    references = lambda n, temperature, **k: losses.decoupled_contrastive_references(n, temperature=temperature)
    return Joint(**wiring("dclw", encoder, losses.decoupled_contrastive, references, hyper, head, policies, norm))


def Triplet(
    encoder: nn.Module,
    *,
    margin: float = 0.2,
    hardest: bool = False,
    head: tuple[int, int] = (512, 128),
    policies: Sequence[Policy] = (Policy(), Policy()),
    norm: str = "batch",
) -> Joint:
    """Keep the views of other images further away than the partner (triplet loss, arXiv 1503.03832)."""
    hyper = {"margin": margin, "hardest": hardest}
    references = lambda n, margin, **k: losses.triplet_references(margin=margin)
    return Joint(**wiring("triplet", encoder, losses.triplet, references, hyper, head, policies, norm))


def AlignUniform(
    encoder: nn.Module,
    *,
    alpha: float = 2.0,
    t: float = 2.0,
    lambda_: float = 1.0,
    head: tuple[int, int] = (512, 128),
    policies: Sequence[Policy] = (Policy(), Policy()),
    norm: str = "batch",
) -> Joint:
    """Pull the views of an image together and spread the images over the sphere (arXiv 2005.10242)."""
    hyper = {"alpha": alpha, "t": t, "lambda_": lambda_}
    references = lambda n, alpha, **k: losses.align_uniform_references(n, **k)
    return Joint(**wiring("align_uniform", encoder, losses.align_uniform, references, hyper, head, policies, norm))

"""Regularising methods: `Joint` with a loss that keeps the embeddings of a batch spread. One function each."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from sslkit import losses
from sslkit.augment import Policy
from sslkit.methods.joint import Joint, wiring


def VICReg(
    encoder: nn.Module,
    *,
    sim_coeff: float = 25.0,
    std_coeff: float = 25.0,
    cov_coeff: float = 1.0,
    head: tuple[int, int] = (512, 512),
    policies: Sequence[Policy] = (Policy(), Policy()),
    norm: str = "batch",
) -> Joint:
    """Pull views together, keep every dimension spread and different from the others (VICReg, arXiv 2105.04906).

    The authors' expander has three layers of 8192; two of 512 fit a laptop.
    """
    hyper = {"sim_coeff": sim_coeff, "std_coeff": std_coeff, "cov_coeff": cov_coeff}
    references = lambda n, std_coeff, **k: losses.vicreg_references(std_coeff=std_coeff)
    return Joint(**wiring("vicreg", encoder, losses.vicreg, references, hyper, head, policies, norm))


def BarlowTwins(
    encoder: nn.Module,
    *,
    lambda_: float = 0.0051,
    head: tuple[int, int] = (512, 512),
    policies: Sequence[Policy] = (Policy(), Policy()),
    norm: str = "batch",
) -> Joint:
    """Make each dimension of one view equal to itself in the other, and to no other (Barlow Twins, arXiv 2103.03230).

    The authors' projector has three layers of 8192; two of 512 fit a laptop.
    """
    hyper = {"lambda_": lambda_}
    references = lambda n, **k: losses.barlow_twins_references(head[1], **k)
    return Joint(**wiring("barlow_twins", encoder, losses.barlow_twins, references, hyper, head, policies, norm))


def WMSE(
    encoder: nn.Module,
    *,
    sub_batch: int = 128,
    head: tuple[int, int] = (512, 64),
    policies: Sequence[Policy] = (Policy(), Policy()),
    norm: str = "batch",
) -> Joint:
    """Whiten each view over parts of the batch, then pull views together (W-MSE, arXiv 2007.06346).

    Every part must have more images than `head` has outputs; 64 and 128 are the authors' numbers for CIFAR.
    """
    hyper = {"sub_batch": sub_batch}
    references = lambda n, **k: losses.w_mse_references()
    return Joint(**wiring("w_mse", encoder, losses.w_mse, references, hyper, head, policies, norm))

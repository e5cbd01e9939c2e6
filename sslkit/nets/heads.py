"""Heads: small networks between the representation h and a loss. They are thrown away after training."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from sslkit.nets.norms import make_norm


def projection_head(
    dim: int, hidden: int = 512, out: int = 128, *, norm: str = "batch", last_norm: bool = False
) -> nn.Sequential:
    """The projection head g of SimCLR: one hidden layer with a ReLU. (B, dim) -> (B, out).

    A nonlinear head makes the layer *before* it the better representation: it may forget in z what h should keep
    (arXiv 2002.05709, section 4.2). The normalisation after the hidden layer follows the authors' code. `last_norm`
    normalises the output too, without scale and shift, as SimSiam's authors do (arXiv 2011.10566).
    """
    last = [make_norm(norm, out, images=False, affine=False)] if last_norm else []
    return nn.Sequential(
        nn.Linear(dim, hidden, bias=False),
        make_norm(norm, hidden, images=False),
        nn.ReLU(inplace=True),
        nn.Linear(hidden, out),
        *last,
    )


def prediction_head(dim: int, hidden: int = 512, *, norm: str = "batch") -> nn.Sequential:
    """The predictor of BYOL (arXiv 2006.07733, section 3.2): a projection head back to the same space. (B, D) -> (B, D).

    It guesses from one view's projection what the projection of another view will be.
    """
    return projection_head(dim, hidden, dim, norm=norm)


class Prototypes(nn.Linear):
    """Cosine similarity to K learnt directions: (B, D) -> (B, K), from -1 to 1.

    Input and weights are set to length one in every pass: SwAV's prototypes (arXiv 2006.09882, section 3.1) and the
    weight-normalised last layer of DINO's head (arXiv 2104.14294, section 3.1) are this same layer.
    """

    def __init__(self, dim: int, k: int):
        super().__init__(dim, k, bias=False)

    def forward(self, z: Tensor) -> Tensor:
        return F.linear(F.normalize(z, dim=1, eps=1e-8), F.normalize(self.weight, dim=1))

"""Masked autoencoding: hide most patches of an image and guess them from the rest."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from sslkit import augment
from sslkit.augment import Policy
from sslkit.device import send
from sslkit.losses import masked_reconstruction
from sslkit.methods.base import Batch, Method
from sslkit.nets import Encoder, PatchDecoder, looking
from sslkit.nets.vit import VisionTransformer, patches, unpatch


class MAE(Method):
    """Guess the hidden patches of each image from a few visible ones (arXiv 2111.06377, masks as in the authors' code).

    The encoder, a vision transformer such as `nets.tiny_vit()`, sees the visible patches and nothing else; a light decoder,
    `decoder` gives its width and depth, sees their tokens and a mask token for each of the others. Afterwards h is the mean
    token of all patches. `lr_scale` is the factor on the learning rate: what suits a ResNet is too much here.
    """

    any_size = False

    def __init__(
        self,
        encoder: Encoder,
        *,
        mask_ratio: float = 0.75,
        lr_scale: float = 1 / 3,
        decoder: tuple[int, int] = (64, 1),
        policies: Sequence[Policy] = (Policy(),),
    ):
        super().__init__()
        if not isinstance(getattr(encoder, "body", None), VisionTransformer):
            raise ValueError(
                "MAE hides patches, so its encoder must be a vision transformer: give encoder=nets.tiny_vit()."
            )
        if not 0 < mask_ratio < 1:
            raise ValueError(f"mask_ratio is {mask_ratio}; it is the share of hidden patches, above 0 and below 1.")
        self.encoder, self.mask_ratio, self.lr_scale = encoder, mask_ratio, lr_scale
        self.patch, (width, depth) = encoder.body.patch, decoder
        self.decoder = PatchDecoder(encoder.dim, encoder.in_channels * self.patch**2, width=width, depth=depth)
        self.describe("mae", policies, or_more=False, mask_ratio=mask_ratio, lr_scale=lr_scale, decoder=list(decoder))

    def collect(self, images, index, labels, generator) -> Batch:
        batch = super().collect(images, index, labels, generator)
        batch.noise = self._noise(batch.views[0], generator)
        return batch

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        prediction, mask = self.guess(batch.views[0], batch.noise)
        return {"loss": masked_reconstruction(prediction, patches(batch.views[0], self.patch), mask)}

    def guess(self, x: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Guesses (B, P, C p²) for all patches and the mask (B, P), True where a patch was hidden.

        noise: (B, P) a random number per patch. The patches with the smallest are visible, the same number in each image.
        """
        order = noise.argsort(dim=1)  # (B, P) the patches, visible ones first
        place = order.argsort(dim=1)  # (B, P) where each patch stands in that order
        visible = max(1, int(noise.shape[1] * (1 - self.mask_ratio)))
        tokens = self.encoder.body.tokens(self.encoder.normalise(x), order[:, :visible])  # (B, visible, dim)
        return self.decoder(tokens, place, (x.shape[2] // self.patch, x.shape[3] // self.patch)), place >= visible

    def reconstruct(self, images: Tensor, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """What the encoder saw, the rest mid-grey, and the same with the hidden patches guessed, both on the CPU.

        A guess is a pattern without brightness and contrast (see `losses.masked_reconstruction`): to be shown it gets the
        mean and the deviation of the patch that was hidden. (N, C, H, W) uint8 or in [0, 1] -> 2 x (N, C, H, W) in [0, 1].
        """
        with looking(self) as device:
            x = augment.to_float(images).to(device)
            guess, mask = self.guess(x, self._noise(x, generator))
            true, mask = patches(x, self.patch), mask[:, :, None]
            guess = guess * true.std(dim=2, keepdim=True) + true.mean(dim=2, keepdim=True)
            shown = torch.where(mask, augment.MID_GREY, true), torch.where(mask, guess.clamp(0, 1), true)
            return tuple(unpatch(s, *x.shape[2:]).float().cpu() for s in shown)

    def _noise(self, x: Tensor, generator: torch.Generator | None) -> Tensor:
        P = (x.shape[2] // self.patch) * (x.shape[3] // self.patch)
        if P < 2:
            raise ValueError(
                f"Images of {x.shape[2]}x{x.shape[3]} have {P} patches; MAE needs some to see and some to hide."
            )
        return send(torch.rand(len(x), P, generator=generator, device="cpu"), x.device)

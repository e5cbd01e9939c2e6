"""Autoencoders: what the encoder keeps must be enough to paint the picture again."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from sslkit import augment, losses
from sslkit.augment import Policy
from sslkit.methods.base import Batch, Method
from sslkit.nets import ImageDecoder, looking


class Autoencoder(Method):
    """Paint each augmented copy again from its representation h: the founding article's first kind of self-supervision.

    The target is the copy itself, so h must keep what the augmentation did, too: nothing asks for invariance.
    Autoencoders are much older than the article says: Bourlard and Kamp analysed them in 1988.
    """

    name = "autoencoder"

    any_size = False

    def __init__(
        self,
        encoder: nn.Module,
        *,
        image_size: tuple[int, int] = (32, 32),
        policies: Sequence[Policy] = (Policy(),),
        norm: str = "batch",
    ):
        super().__init__()
        self.encoder = encoder
        self.decoder = ImageDecoder(encoder.dim, encoder.in_channels, image_size=image_size, norm=norm)
        self.describe(self.name, policies, or_more=False, image_size=list(image_size), norm=norm)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        x = batch.views[0]
        target = x if batch.clean is None else batch.clean
        return {"loss": losses.reconstruction(self.decoder(self.encoder(x)), target)}

    def reconstruct(self, images: Tensor) -> Tensor:
        """Pictures painted again from their h. (N, C, H, W) uint8 or in [0, 1] -> (N, C, H, W) in [0, 1] on the CPU."""
        with looking(self) as device:
            return self.decoder(self.encoder(augment.to_float(images).to(device))).float().cpu()


class Denoising(Autoencoder):
    """Paint the clean image from the h of a damaged copy (arXiv 1305.6663 has the theory, Vincent et al. 2008 the idea).

    The target is the whole image at the view's size, over the same ground where it is RGBA. Damage that leaves everything
    in its place (noise, cutout, blur, colour) can be undone; what a crop cut off can only be guessed.
    """

    name = "denoising"

    def collect(self, images, index, labels, generator) -> Batch:
        params = augment.draw(self.policies[0], len(images), images.shape[1:], generator)
        view, clean = augment.apply(images, params), augment.apply(images, augment.plain(params))
        return Batch([view], index, labels, clean=clean)

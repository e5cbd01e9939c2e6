"""The variational autoencoder: a code with noise in it, and codes of all pictures that together look like noise."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from sslkit import augment, losses
from sslkit.augment import Policy
from sslkit.device import send
from sslkit.methods.base import Batch, Method
from sslkit.nets import ImageDecoder, looking


class VAE(Method):
    """Paint each image again from a noisy code that is close to the standard normal (arXiv 1312.6114).

    One linear layer makes mean and log-variance of the code from h, so h, what the encoder gives, are the features that
    the mean is read from, and the layer is thrown away with the decoder. sigma: how exactly pixels must be met.
    """

    any_size = False

    def __init__(
        self,
        encoder: nn.Module,
        *,
        latent: int = 64,
        sigma: float = 0.1,
        image_size: tuple[int, int] = (32, 32),
        policies: Sequence[Policy] = (Policy(),),
        norm: str = "batch",
    ):
        super().__init__()
        self.encoder, self.latent, self.sigma = encoder, latent, sigma
        self.code = nn.Linear(encoder.dim, 2 * latent)
        self.decoder = ImageDecoder(latent, encoder.in_channels, image_size=image_size, norm=norm)
        self.describe(
            "vae", policies, or_more=False, latent=latent, sigma=sigma, image_size=list(image_size), norm=norm
        )

    def collect(self, images, index, labels, generator) -> Batch:
        batch = super().collect(images, index, labels, generator)
        batch.noise = send(torch.randn(len(images), self.latent, generator=generator, device="cpu"), images.device)
        return batch

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        x = batch.views[0]
        mean, log_variance = self.code(self.encoder(x)).chunk(2, dim=1)  # (B, latent) each
        z = mean + (log_variance / 2).exp() * batch.noise
        return losses.negative_elbo(self.decoder(z), x, mean, log_variance, sigma=self.sigma)

    def reconstruct(self, images: Tensor) -> Tensor:
        """Pictures painted from the means of their codes. (N, C, H, W) uint8 or in [0, 1] -> in [0, 1] on the CPU."""
        with looking(self) as device:
            h = self.encoder(augment.to_float(images).to(device))
            return self.decoder(self.code(h).chunk(2, dim=1)[0]).float().cpu()

    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """Pictures that never were, from n codes drawn from the standard normal. -> (n, C, H, W) in [0, 1] on the CPU."""
        with looking(self) as device:
            return self.decoder(torch.randn(n, self.latent, generator=generator).to(device)).float().cpu()

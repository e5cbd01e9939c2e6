"""Adversarial feature learning: a generator and an encoder together fool a judge who sees images with their codes."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call

from sslkit import augment
from sslkit.augment import Policy
from sslkit.device import send
from sslkit.losses import discrimination
from sslkit.methods.base import Batch, Method
from sslkit.nets import ImageDecoder, PairCritic, looking


class BiGAN(Method):
    """Learn an encoder as the inverse of a generator, by fooling a judge of pairs (arXiv 1605.09782).

    The judge tells (image, code of the image) from (image made of noise, noise). The two others minimise the judge's loss
    with the labels swapped; if they win, each is the inverse of the other. Noise is uniform in [-1, 1], as in the authors'
    code. One linear layer makes the code from h; the authors, too, found the layer before the code the better features.
    `lr_scale` is the factor on the learning rate: two players that learn from each other need small steps.

    Two players, one scalar: what the players made is detached for the judge, and the judge's weights are for the players,
    so every parameter gets the gradient of its own loss only, and one optimiser serves both.
    """

    any_size = False

    def __init__(
        self,
        encoder: nn.Module,
        *,
        latent: int = 50,
        lr_scale: float = 0.1,
        image_size: tuple[int, int] = (32, 32),
        policies: Sequence[Policy] = (Policy(),),
        norm: str = "batch",
    ):
        super().__init__()
        self.encoder, self.latent, self.lr_scale = encoder, latent, lr_scale
        self.code = nn.Linear(encoder.dim, latent)
        self.generator = ImageDecoder(latent, encoder.in_channels, image_size=image_size, norm=norm)
        self.critic = PairCritic(encoder.in_channels, latent, image_size=image_size)
        self.describe(
            "bigan", policies, or_more=False, latent=latent, lr_scale=lr_scale, image_size=list(image_size), norm=norm
        )

    def collect(self, images, index, labels, generator) -> Batch:
        batch = super().collect(images, index, labels, generator)
        batch.noise = send(self._noise(len(images), generator), images.device)
        return batch

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        x, z = batch.views[0], batch.noise
        code, fake = self.code(self.encoder(x)), self.generator(z)  # (B, latent), (B, C, H, W)
        judge = discrimination(self.critic(x, code.detach()), self.critic(fake.detach(), z))
        frozen = {name: p.detach() for name, p in self.critic.named_parameters()}
        players = discrimination(
            functional_call(self.critic, frozen, (fake, z)), functional_call(self.critic, frozen, (x, code))
        )
        return {"loss": judge + players, "judge": judge, "players": players}

    def reference_values(self, batch_size: int) -> dict[str, float]:
        """Where the game may end: the judge gives every pair a half."""
        return {"undecided": 2 * math.log(2)}

    def reconstruct(self, images: Tensor) -> Tensor:
        """Pictures painted from their codes. (N, C, H, W) uint8 or in [0, 1] -> (N, C, H, W) in [0, 1] on the CPU."""
        with looking(self) as device:
            return self.generator(self.code(self.encoder(augment.to_float(images).to(device)))).float().cpu()

    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """Pictures that never were, made of noise. -> (n, C, H, W) in [0, 1] on the CPU."""
        with looking(self) as device:
            return self.generator(self._noise(n, generator).to(device)).float().cpu()

    def _noise(self, n: int, generator: torch.Generator | None) -> Tensor:
        return 2 * torch.rand(n, self.latent, generator=generator, device="cpu") - 1  # (n, latent)

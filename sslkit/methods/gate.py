"""The founding article's discriminator: a collector that rejects views which do not look valid, and draws them again."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from sslkit import augment, losses
from sslkit.augment import Policy
from sslkit.device import send
from sslkit.distributed import gather
from sslkit.errors import unknown
from sslkit.methods.base import Batch
from sslkit.methods.joint import Joint, wiring
from sslkit.nets import discriminator

GATES = ("discriminator", "random")


class GatedSimCLR(Joint):
    """SimCLR (arXiv 2002.05709) on views that passed a gate. Each view is drawn `max_tries` times: the first draw that the
    gate lets through is taken, and if there is none, the one it likes best.

    gate: "discriminator" is a small network that learns without labels to tell whole pictures from views, and scores a view
    by how much it looks like a whole picture (rejecting by a discriminator: arXiv 1810.06758). Pictures are recoloured like
    the views they are compared with, to differ in the crop alone: else colour would give views away. Its term is added
    to the loss: it has no weight in common with the encoder, so neither disturbs the other. "random" scores by chance.
    reject: the share of draws to reject. The discriminator's threshold follows that quantile of its scores.
    """

    def __init__(
        self,
        encoder: nn.Module,
        *,
        gate: str = "discriminator",
        reject: float = 0.1,
        max_tries: int = 4,
        temperature: float = 0.5,
        head: tuple[int, int] = (512, 128),
        policies: Sequence[Policy] = (Policy(), Policy()),
        norm: str = "batch",
    ):
        if gate not in GATES:
            raise unknown("gate", gate, GATES)
        if not (0 <= reject < 1 and max_tries >= 1):
            raise ValueError(f"reject is {reject} and max_tries {max_tries}; a share below 1 and at least one try.")
        hyper, references = {"temperature": temperature}, losses.nt_xent_references
        super().__init__(**wiring("gated_simclr", encoder, losses.nt_xent, references, hyper, head, policies, norm))
        self.spec |= {"gate": gate, "reject": reject, "max_tries": max_tries}
        self.reject, self.max_tries, self.seen = reject, max_tries, None
        self.judge = discriminator(encoder.in_channels) if gate == "discriminator" else None
        self.register_buffer("threshold", torch.tensor(0.0 if self.judge else reject))

    def collect(self, images, index, labels, generator) -> Batch:
        """Views that passed. The discriminator learns from `noise`, a view as first drawn, and `clean`, the whole of it."""
        batch = Batch([], index, labels)
        for policy in self.policies:
            draws = [augment.draw(policy, len(images), images.shape[1:], generator) for _ in range(self.max_tries)]
            tries = torch.stack([augment.apply(images, draw) for draw in draws])  # (T, B, C, h, w)
            batch.views.append(choose(tries, self.score(tries, generator), self.threshold.to(images.device)))
            if self.judge is not None and batch.noise is None:
                batch.noise, batch.clean = tries[0], augment.apply(images, augment.uncropped(draws[0]))
        return batch

    @torch.no_grad()
    def score(self, tries: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """The higher, the more valid a view seems. (T, B, C, h, w) -> (T, B)."""
        if self.judge is None:
            return send(torch.rand(tries.shape[:2], generator=generator, device="cpu"), tries.device)
        return self.judge(tries.flatten(0, 1).to(self.threshold.device)).view(tries.shape[:2]).to(tries.device)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        terms = super().forward(batch)
        if self.judge is None:
            return terms
        whole, view = gather(self.judge(batch.clean)), gather(self.judge(batch.noise))  # (B,)
        self.seen, gate = view.detach(), losses.discrimination(whole, view)
        return {"loss": terms["loss"] + gate, "contrast": terms["loss"], "gate": gate}

    @torch.no_grad()
    def after_step(self, progress: float) -> None:
        if self.judge is not None:
            quantile = self.seen.sort().values[int(self.reject * len(self.seen))]
            self.threshold.lerp_(quantile.to(self.threshold.dtype), 0.1)

    def reference_values(self, batch_size: int) -> dict[str, float]:
        references = super().reference_values(batch_size)
        return references if self.judge is None else {"bound": references["bound"]}  # the gate's term is at least 0


def choose(tries: Tensor, scores: Tensor, threshold: Tensor) -> Tensor:
    """Of T draws of each image the first that scores at least `threshold`, else the best.

    (T, B, ...), (T, B) -> (B, ...).
    """
    found, first = (scores >= threshold).max(dim=0)  # (B,): is there one, and the first of them
    chosen = torch.where(found, first, scores.argmax(dim=0))
    return tries[chosen, torch.arange(len(chosen), device=chosen.device)]

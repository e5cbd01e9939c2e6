"""What a method is, and the few things that most methods do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby

import torch
from torch import Tensor, nn

from sslkit import augment, nets


@dataclass
class Batch:
    """What the collector hands to the loss: views of B images, and the images' pseudo-labels.

    views: V tensors (B, C, H, W) in [0, 1]. index: (B,) the number of each image in `data.train`, or of its arrival in a
    stream; it is the pseudo-label of contrastive learning ("this view was made from image 17"). labels: true labels, which
    only methods that say so may read.
    clean: the images themselves, for methods that reconstruct. noise: whatever else has to be drawn.
    pseudo_labels: (V, B) what was done to make each view, where that is what the method asks for.
    """

    views: list[Tensor]
    index: Tensor
    labels: Tensor | None = None
    clean: Tensor | None = None
    noise: Tensor | None = None
    pseudo_labels: Tensor | None = None


class Method(nn.Module):
    """A way to learn: what to collect, what to minimise. The loss is `forward`, so that DistributedDataParallel sees it.

    `forward(batch)` returns a dictionary of tensors with one number each: "loss", which is minimised, and whatever else the
    history shall keep.
    `encoder` is what remains after training. `policies` are the views it asks for, one Policy each.
    `spec` is a dictionary of plain values from which `recipes.build` makes the same method again.
    """

    encoder: nn.Module
    policies: tuple[augment.Policy, ...] = ()
    spec: dict | None = None
    any_size = True  # whether its views may be shrunk while it learns
    lr_scale = 1.0  # a factor on the learning rate of all its parameters

    def describe(self, name: str, policies: Sequence, *, views: int = 1, or_more: bool = True, **options) -> None:
        """Set `policies` and `spec`, see `described`. Raises ValueError unless there are as many policies as it needs."""
        self.policies, self.spec = described(name, policies, **options)
        check_views(policies, views, or_more, name)

    def collect(self, images: Tensor, index: Tensor, labels: Tensor | None, generator: torch.Generator) -> Batch:
        """The collector: views and pseudo-labels of a batch. All randomness of a step is drawn here, from `generator`."""
        return Batch(augment.views(images, self.policies, generator), index, labels)

    def after_step(self, progress: float) -> None:
        """Move what gradients do not move (a teacher, a queue). `progress` runs from 0 to 1. Nothing by default."""

    def finish(self, pictures: Callable[[], Tensor]) -> None:
        """When the last step is done: an encoder with layers that are fitted to it when trained fits them.

        pictures: gives training pictures (N, C, H, W) as they are, when it is called.
        """
        for encoder in self.encoders():
            if any(isinstance(layer, nets.Fitted) for layer in encoder.modules()):
                with nets.looking(self):
                    encoder.finish(augment.to_float(pictures()))

    def encoders(self) -> list[nn.Module]:
        """All networks that somebody may want after training."""
        return [self.encoder]

    def param_groups(self, progress: float) -> list[dict]:
        """Parameters with the factors on their learning rate and weight decay. No decay on biases and norms (1-D)."""
        weights = [p for p in self.parameters() if p.requires_grad and p.ndim > 1]
        others = [p for p in self.parameters() if p.requires_grad and p.ndim <= 1]
        return [{"params": p, "lr": self.lr_scale, "decay": d} for p, d in ((weights, 1.0), (others, 0.0))]

    def reference_values(self, batch_size: int) -> dict[str, float]:
        """Values of the loss that mean something, such as its value when everything has collapsed. None by default."""
        return {}


def check_views(policies: Sequence, views: int, or_more: bool, name: str) -> None:
    """Raise ValueError unless a method has a policy for each view that it needs."""
    if len(policies) < views or (len(policies) > views and not or_more):
        wanted = f"{'at least ' * or_more}{views} view{'s' * (views > 1)}"
        raise ValueError(f"policies has {len(policies)} entries; {name} needs {wanted} of each picture.")


def described(
    name: str, policies: Sequence[augment.Policy | dict], **options
) -> tuple[tuple[augment.Policy, ...], dict]:
    """Policies, and the `spec` from which `recipes.build` makes a method again. A spec has policies as dictionaries."""
    listed = isinstance(policies, list | tuple)
    if not listed or not all(isinstance(p, augment.Policy | dict) for p in policies):
        raise TypeError(f"policies is {policies!r}; give one Policy for each view, such as (Policy(), Policy()).")
    policies = tuple(p if isinstance(p, augment.Policy) else augment.Policy(**p) for p in policies)
    return policies, {"name": name, **options, "policies": [asdict(p) for p in policies]}


def encode(network: nn.Module, views: Sequence[Tensor]) -> list[Tensor]:
    """Send V views through a network, all views of one resolution in one call. V x (B, C, H, W) -> V x (B, D).

    One call is faster, and a batch norm then sees the statistics of all views together, as in the SimCLR authors' code.
    Others (the authors of SimSiam and Barlow Twins) send each view alone, so that their norms see one view at a time.
    """
    out = []
    for _, same_size in groupby(views, key=lambda view: view.shape[-2:]):
        same_size = list(same_size)
        out += network(torch.cat(same_size)).chunk(len(same_size))
    return out


def with_lr(groups: list[dict], module: nn.Module, lr: float) -> list[dict]:
    """The same parameter groups, but one module's parameters with their own factor on the learning rate. 0 freezes."""
    mine = {id(p) for p in module.parameters()}
    others = [{**group, "params": [p for p in group["params"] if id(p) not in mine]} for group in groups]
    return others + [{**group, "params": [p for p in group["params"] if id(p) in mine], "lr": lr} for group in groups]

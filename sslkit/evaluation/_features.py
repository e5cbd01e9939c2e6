"""From pictures to features, with an encoder that is really frozen."""

import copy
from itertools import chain

import torch
from torch import Tensor, nn

from sslkit import device
from sslkit.augment import check_range, to_float
from sslkit.datasets import Images
from sslkit.evaluation._retrieval import perturb
from sslkit.nets import looking


def features(
    encoder: nn.Module, images: Tensor | Images, *, batch_size: int = 256, where: str | torch.device | None = None
) -> Tensor:
    """Representations h of `Images`, or of a tensor (N, C, H, W), uint8 or in [0, 1]: -> (N, D) float32 on the CPU.

    where: the device that computes, on a copy of the encoder if it is not there; by default the encoder's.

    Frozen means two things: no gradient, and `eval()`, see `nets.looking`. Raises ValueError for pictures of another shape,
    and for an encoder that does not return (N, D).
    """
    images = images.images if isinstance(images, Images) else images
    if images.ndim != 4:
        raise ValueError(f"images have shape {tuple(images.shape)}; expected (N, C, H, W).")
    check_range(images)
    home = next(chain(encoder.parameters(), encoder.buffers()), images).device
    where = home if where is None else torch.device(where)
    if where.type != home.type:
        encoder = copy.deepcopy(encoder).to(where)
    layout = device.choose(device=where, precision="float32").layout  # of pictures: a fifth less time on a CPU
    with looking(encoder):
        h = torch.cat([encoder(layout(to_float(batch.to(where)))).float().cpu() for batch in images.split(batch_size)])
    if h.ndim != 2:
        raise ValueError(f"The encoder returned shape {tuple(h.shape)}, but must return (N, D): pool and flatten.")
    return h


def split_images(data: Images) -> dict[str, Tensor]:
    """The pictures of `Images` by split, and as "shifted" the test pictures perturbed, always in the same way."""
    shifted = perturb(data.test.images, torch.Generator().manual_seed(0))
    return {"train": data.train.images, "val": data.val.images, "test": data.test.images, "shifted": shifted}


def split_features(encoder: nn.Module, data: Images, **how) -> dict[str, Tensor]:
    """Features (N, D) of `Images` by split: "train", "val", "test", and "shifted", the perturbed test pictures.

    how: `batch_size` and `where` of `features`.
    """
    return {split: features(encoder, images, **how) for split, images in split_images(data).items()}

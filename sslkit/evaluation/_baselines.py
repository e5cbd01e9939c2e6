"""What a result must beat."""

import torch
import torch.nn.functional as F
from torch import Tensor

from sslkit.augment import to_float
from sslkit.datasets import Images
from sslkit.evaluation._features import split_images
from sslkit.evaluation._probe import principal_axes

SIDE = 32


def baselines(data: Images, *, dim: int = 64) -> dict[str, dict[str, Tensor]]:
    """Features of `Images` that nobody had to train, by name, then by split as in `split_features`.

    "raw pixels": the picture in [0, 1], flattened; higher or wider than 32 pixels, it is first averaged down to 32x32.
    "PCA": these on their `dim` principal axes, largest first, fitted on training pictures only. A random encoder is the
    third baseline, which only the caller has. Raises ValueError without training pictures.
    """
    pixels = {split: _pixels(images) for split, images in split_images(data).items()}
    if not len(pixels["train"]):
        raise ValueError(f"{data.name!r} has no training pictures, but PCA is fitted on them.")
    mean = pixels["train"].mean(0)
    axes = principal_axes(pixels["train"] - mean)[1].flip(1)[:, :dim]
    return {"raw pixels": pixels, "PCA": {split: (x - mean) @ axes for split, x in pixels.items()}}


def _pixels(images: Tensor) -> Tensor:
    x = [to_float(batch) for batch in images.split(1024)]
    if max(images.shape[-2:]) > SIDE and len(images):
        x = [F.interpolate(batch, size=(SIDE, SIDE), mode="area") for batch in x]
    return torch.cat(x).flatten(1)

"""An encoder that was exported by sslkit, in a program that knows nothing of sslkit: torch and safetensors are enough.

    python docs/load_encoder.py runs/mine

The folder holds encoder.safetensors (the weights, the pixel statistics among them) and card.json (which network it is).
The network below is the default one, `small_resnet`; the names of its parts are the names of the weights.
"""

import json
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import nn


class Block(nn.Module):
    def __init__(self, inside, out, stride):
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(inside, out, 3, stride, 1, bias=False), nn.BatchNorm2d(out)
        self.conv2, self.norm2 = nn.Conv2d(out, out, 3, 1, 1, bias=False), nn.BatchNorm2d(out)
        self.shortcut = nn.Identity()
        if stride != 1 or inside != out:
            self.shortcut = nn.Sequential(nn.Conv2d(inside, out, 1, stride, bias=False), nn.BatchNorm2d(out))

    def forward(self, x):
        y = torch.relu(self.norm1(self.conv1(x)))
        return torch.relu(self.norm2(self.conv2(y)) + self.shortcut(x))


class Encoder(nn.Module):
    """Pixels in [0, 1], (N, C, H, W), to representations (N, D): the mean activations of the last block, or, with
    all_stages, of each, in every field of a grid; then those of a dictionary of patches, together with the same of the
    mirror image, and whitened, if it was made so."""

    def __init__(
        self,
        in_channels,
        widths,
        all_stages=False,
        grid=1,
        patches=False,
        dictionary=0,
        whiten=False,
        mirror=False,
        **_,
    ):
        super().__init__()
        self.mirror = mirror
        stem = [nn.Conv2d(in_channels, widths[0], 4, 2, 1, bias=False), nn.BatchNorm2d(widths[0]), nn.ReLU()]
        stages = [Block(a, b, 1 if i == 0 else 2) for i, (a, b) in enumerate(zip([widths[0], *widths], widths))]
        self.body, self.all_stages, self.grid = nn.Sequential(*stem, *stages), all_stages, grid
        self.register_buffer("mean", torch.empty(in_channels, 1, 1))
        self.register_buffer("std", torch.empty(in_channels, 1, 1))
        self.register_buffer(
            "first_filters", torch.empty_like(stem[0].weight) if patches else None
        )  # not used any more
        self.beside = PatchDictionary(in_channels, dictionary, grid) if dictionary else None
        width = (sum(widths) if all_stages else widths[-1]) + dictionary
        self.whitening = Whitening(grid**2 * width) if whiten else nn.Identity()

    def forward(self, x):
        x = (x - self.mean) / self.std
        told = (self.tell(x) + self.tell(x.flip(3))) / 2 if self.mirror else self.tell(x)
        return self.whitening(told)

    def tell(self, x):
        beside, told = [] if self.beside is None else [self.beside(x)], []
        for part in self.body:
            x = part(x)
            if isinstance(part, Block):
                told.append(nn.functional.adaptive_avg_pool2d(x, self.grid).flatten(1))
        told = told if self.all_stages else told[-1:]
        return torch.cat(told + beside, 1)


class PatchDictionary(nn.Module):
    """How much the fields of a picture look like typical patches."""

    def __init__(self, in_channels, n, grid, size=6):
        super().__init__()
        self.grid, width = grid, in_channels * size**2
        self.register_buffer("is_fitted", torch.tensor(False))
        self.register_buffer("filters", torch.empty(width, in_channels, size, size))
        self.register_buffer("centres", torch.empty(n, width, 1, 1))

    def forward(self, x):
        z = nn.functional.conv2d(x, self.filters, stride=2, padding=2)
        cosine = nn.functional.conv2d(z / (z.norm(dim=1, keepdim=True) + 1), self.centres)
        told = torch.relu(cosine - cosine.mean(1, keepdim=True))
        return nn.functional.adaptive_avg_pool2d(told, self.grid).flatten(1)


class Whitening(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.register_buffer("is_fitted", torch.tensor(False))
        self.register_buffer("mean", torch.empty(dim))
        self.register_buffer("matrix", torch.empty(dim, dim))

    def forward(self, h):
        return (h - self.mean) @ self.matrix


def load(folder):
    """The encoder of a run folder, ready to use, and its card."""
    card = json.loads((Path(folder) / "card.json").read_text())
    encoder = Encoder(**card["encoder"])
    encoder.load_state_dict(load_file(Path(folder) / "encoder.safetensors"))
    return encoder.eval(), card


if __name__ == "__main__":
    encoder, card = load(sys.argv[1])
    pictures = torch.rand(4, *card["input"]["shape"])  # yours: float32 in [0, 1]
    with torch.no_grad():
        print(tuple(pictures.shape), "->", tuple(encoder(pictures).shape))

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
    all_stages, of each, in every field of a grid; whitened if the encoder was made so."""

    def __init__(self, in_channels, widths, all_stages=False, grid=1, whiten=False, patches=False, **_):
        super().__init__()
        stem = [nn.Conv2d(in_channels, widths[0], 4, 2, 1, bias=False), nn.BatchNorm2d(widths[0]), nn.ReLU()]
        stages = [Block(a, b, 1 if i == 0 else 2) for i, (a, b) in enumerate(zip([widths[0], *widths], widths))]
        self.body, self.all_stages, self.grid = nn.Sequential(*stem, *stages), all_stages, grid
        self.register_buffer("mean", torch.empty(in_channels, 1, 1))
        self.register_buffer("std", torch.empty(in_channels, 1, 1))
        self.register_buffer(
            "first_filters", torch.empty_like(stem[0].weight) if patches else None
        )  # not used any more
        self.whitening = Whitening(grid**2 * (sum(widths) if all_stages else widths[-1])) if whiten else nn.Identity()

    def forward(self, x):
        x, told = (x - self.mean) / self.std, []
        for part in self.body:
            x = part(x)
            if isinstance(part, Block):
                told.append(nn.functional.adaptive_avg_pool2d(x, self.grid).flatten(1))
        return self.whitening(torch.cat(told, 1) if self.all_stages else told[-1])


class Whitening(nn.Module):
    def __init__(self, dim):
        super().__init__()
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

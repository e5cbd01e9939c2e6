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
    """Pixels in [0, 1], (N, C, H, W), to representations (N, D): what the last block says, or, with all_stages, each."""

    def __init__(self, in_channels, widths, all_stages):
        super().__init__()
        stem = [nn.Conv2d(in_channels, widths[0], 4, 2, 1, bias=False), nn.BatchNorm2d(widths[0]), nn.ReLU()]
        stages = [Block(a, b, 1 if i == 0 else 2) for i, (a, b) in enumerate(zip([widths[0], *widths], widths))]
        self.body, self.all_stages = nn.Sequential(*stem, *stages), all_stages
        self.register_buffer("mean", torch.empty(in_channels, 1, 1))
        self.register_buffer("std", torch.empty(in_channels, 1, 1))

    def forward(self, x):
        x, means = (x - self.mean) / self.std, []
        for part in self.body:
            x = part(x)
            if isinstance(part, Block):
                means.append(x.mean((2, 3)))
        return torch.cat(means, 1) if self.all_stages else means[-1]


def load(folder):
    """The encoder of a run folder, ready to use, and its card."""
    card = json.loads((Path(folder) / "card.json").read_text())
    encoder = Encoder(
        card["encoder"]["in_channels"], card["encoder"]["widths"], card["encoder"].get("all_stages", False)
    )
    encoder.load_state_dict(load_file(Path(folder) / "encoder.safetensors"))
    return encoder.eval(), card


if __name__ == "__main__":
    encoder, card = load(sys.argv[1])
    pictures = torch.rand(4, *card["input"]["shape"])  # yours: float32 in [0, 1]
    with torch.no_grad():
        print(tuple(pictures.shape), "->", tuple(encoder(pictures).shape))

"""Small made-up data for the tests of the evaluation."""

import pytest
import torch

from sslkit.datasets import Images


@pytest.fixture
def blobs():
    """Features of well-defined classes: blobs(n, dim, classes, spread) -> x (n, dim), y (n,)."""

    def make(n=400, dim=16, classes=4, spread=1.0, seed=0, centres_seed=99):
        centres = torch.randn(classes, dim, generator=torch.Generator().manual_seed(centres_seed))
        generator = torch.Generator().manual_seed(seed)
        y = torch.randint(classes, (n,), generator=generator)
        return centres[y] + spread * torch.randn(n, dim, generator=generator), y

    return make


@pytest.fixture
def pictures():
    """Tiny `Images`: pictures(n, channels, side, classes); labels can be seen in the mean colour."""

    def make(n=160, channels=3, side=8, classes=3, labels=True, factors=None, seed=0):
        generator = torch.Generator().manual_seed(seed)
        y = torch.arange(n) % classes
        noise = torch.randint(0, 120, (n, channels, side, side), generator=generator)
        images = (noise + 40 * y[:, None, None, None]).clamp(0, 255).to(torch.uint8)
        split = torch.zeros(n, dtype=torch.uint8)
        split[n * 5 // 8 :], split[n * 3 // 4 :] = 1, 2
        return Images(images, y if labels else None, split, factors or {}, name="tiny")

    return make

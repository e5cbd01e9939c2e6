"""NNCLR: neighbours of one view against predictions of the other."""

import math

import pytest
import torch

from sslkit import nets
from sslkit.losses import info_nce
from sslkit.methods import NNCLR, Batch


@pytest.fixture
def nnclr():
    torch.manual_seed(0)
    return NNCLR(nets.small_resnet(widths=(8,)), queue_size=20, temperature=0.3, head=(16, 8)).eval()


def test_loss_is_info_nce_of_neighbours_and_predictions_both_ways(nnclr):
    views = [torch.rand(6, 3, 8, 8) for _ in range(2)]
    z1, z2 = (nnclr.head(nnclr.encoder(view)) for view in views)
    p1, p2 = nnclr.predictor(z1), nnclr.predictor(z2)
    nnclr.queue.put(torch.cat([z1, z2]))  # so that every view has a neighbour of its own
    n1, n2 = (torch.stack([nnclr.queue.rows[(nnclr.queue.rows @ row).argmax()] for row in z]) for z in (z1, z2))
    expected = (info_nce(n1, p2, temperature=0.3) + info_nce(n2, p1, temperature=0.3)) / 2
    assert torch.allclose(nnclr(Batch(views, torch.arange(6)))["loss"], expected, atol=1e-6)


def test_first_views_enter_the_support_set(nnclr):
    views = [torch.rand(6, 3, 8, 8) for _ in range(2)]
    z = torch.nn.functional.normalize(nnclr.head(nnclr.encoder(views[0])), dim=1)
    nnclr(Batch(views, torch.arange(6)))
    nnclr.after_step(0.0)
    assert torch.allclose(nnclr.queue.rows[:6], z, atol=1e-6)
    assert torch.allclose(nnclr.queue.nearest(z), z, atol=1e-6)


def test_reference_values(nnclr):
    assert nnclr.reference_values(256)["collapsed"] == pytest.approx(math.log(256))

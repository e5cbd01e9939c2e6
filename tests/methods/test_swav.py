"""SwAV: codes from the first two views, predictions from all."""

import math

import pytest
import torch

from sslkit import nets
from sslkit.losses import sinkhorn, swapped_prediction
from sslkit.methods import Batch, SwAV


@pytest.fixture
def swav():
    torch.manual_seed(0)
    return SwAV(nets.small_resnet(widths=(8,)), n_prototypes=5, head=(16, 8), epsilon=0.1, temperature=0.2).eval()


def test_loss_is_swapped_prediction_of_codes_of_the_first_two_views(swav):
    views = [torch.rand(6, 3, side, side) for side in (8, 8, 4, 4)]
    scores = [swav.prototypes(swav.head(swav.encoder(view))) for view in views]
    codes = [sinkhorn(s, epsilon=0.1) for s in scores[:2]]
    expected = swapped_prediction(scores, codes, temperature=0.2)
    assert torch.allclose(swav(Batch(views, torch.arange(6)))["loss"], expected, atol=1e-6)


def test_reference_value_is_what_equal_scores_give(swav):
    with torch.no_grad():
        swav.prototypes.weight.copy_(torch.ones(5, 8))
    loss = swav(Batch([torch.rand(6, 3, 8, 8) for _ in range(2)], torch.arange(6)))["loss"].item()
    assert loss == pytest.approx(swav.reference_values(6)["collapsed"], rel=1e-5)
    assert loss == pytest.approx(math.log(5), rel=1e-5)

"""The collapse switchboard: with its guards a method keeps its projections apart, without one of them it does not.

What is measured is the projection z of validation pictures, for that is what the loss sees and what falls together. The
representation h in front of the head keeps its rank for much longer, because batch norm spreads its channels anyway.
"""

from functools import cache

import pytest
import torch

from sslkit import augment, evaluation, nets, recipes, train
from sslkit.datasets import shapes

pytestmark = pytest.mark.slow
STEPS, RANK = 100, 9  # the projection has 128 dimensions (SimSiam's 512) and 200 pictures


@cache
def trained(name, loss=None, **switches):
    torch.manual_seed(0)
    data = shapes(2000, resolution=16)
    method = recipes.method(name, data, encoder=nets.small_resnet(widths=(16, 32)), **switches)
    if loss is not None:
        method.loss, method.references = loss, None
    config = train.TrainConfig(
        steps=STEPS, batch_size=128, device="cpu", precision="float32", channels_last=False, marks=0
    )
    history = train.fit(method, data, config)
    return method.eval(), augment.to_float(data.val.images), history.rows[-1]["loss"]


def projections(name, **switches):
    method, images, _ = trained(name, **switches)
    with torch.no_grad():
        return method.head(method.encoder(images))


def rank(name, **switches):
    """How many directions the projections of validation pictures use."""
    return evaluation.collapse(projections(name, **switches))["rankme"]


def pull(z1, z2):
    """What is left of a contrastive loss without its negatives."""
    return (1 - torch.cosine_similarity(z1, z2)).mean()


def test_simclr_without_negatives_puts_everything_on_one_point():
    assert rank("simclr") > RANK
    assert rank("simclr", loss=pull) < 4
    assert evaluation.collapse(projections("simclr", loss=pull))["verdict"].startswith("collapsed")


@pytest.mark.parametrize(("name", "switch", "off"), [("vicreg", "cov_coeff", 0.0), ("barlow_twins", "lambda_", 1e-9)])
def test_without_its_covariance_term_the_rank_falls_to_a_third(name, switch, off):
    assert rank(name) > RANK + 3
    assert rank(name, **{switch: off}) < rank(name) / 3


def test_vicreg_without_its_variance_term_shrinks():
    """What falls is the size, not the rank: the covariance term holds the directions apart while all of them vanish."""
    assert projections("vicreg").std(0).mean() > 0.15
    assert projections("vicreg", std_coeff=0.0).std(0).mean() < 0.05


@pytest.mark.parametrize("name", ["simsiam", "byol"])
def test_with_its_guards_the_projection_stays_spread(name):
    assert rank(name) > RANK


@pytest.mark.parametrize("switch", ["stop_gradient", "predictor"])
@pytest.mark.parametrize("name", ["simsiam", "byol"])
def test_without_one_of_them_it_falls_into_few_directions(name, switch):
    assert rank(name, **{switch: False}) < RANK
    assert trained(name, **{switch: False})[2] < trained(name)[2]  # and the loss takes it for the better one


def outputs_in_use(**switches):
    """exp(entropy) of the teacher's mean distribution: how many of its outputs are in use, 1 if one always wins."""
    method, images, _ = trained("dino", n_prototypes=256, **switches)
    p = ((method.teacher(images) - method.centre) / 0.04).softmax(dim=1).mean(dim=0)  # (K,)
    return torch.special.entr(p).sum().exp().item()


def test_dino_without_its_centre_has_one_output_that_always_wins():
    """The other collapse: the projection keeps its rank (about 6 either way, for steps as few as these), and the softmax
    throws away what it says."""
    assert outputs_in_use() > 20
    assert outputs_in_use(centre=False) < 3

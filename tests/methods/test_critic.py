"""A learnt similarity in the place of the cosine: which pairs are scored, and that the critic learns with the encoder."""

import math

import pytest
import torch

from sslkit import nets
from sslkit.losses import critic_nce, discrimination
from sslkit.methods import Batch, CriticNCE, CriticPairs

BOTH = pytest.mark.parametrize("kind", ["bilinear", "mlp"])


def build(method, **options):
    torch.manual_seed(0)
    return method(nets.small_resnet(widths=(8, 16), norm="group"), head=(16, 8), norm="group", **options)


def projections(method, n=5):
    torch.manual_seed(1)
    views = [torch.rand(n, 3, 16, 16) for _ in range(2)]
    return Batch(views, torch.arange(n)), [method.head(method.encoder(view)) for view in views]


@BOTH
def test_pairs_are_partners_and_the_next_image(kind):
    method = build(CriticPairs, kind=kind)
    batch, (z1, z2) = projections(method)
    critic = method.loss.critic
    same = torch.stack([critic(z1[i], z2[i]) for i in range(5)])
    different = torch.stack([critic(z1[i], z2[(i - 1) % 5]) for i in range(5)])
    assert method(batch)["loss"].item() == pytest.approx(discrimination(same, different).item(), rel=1e-5)


@BOTH
def test_nce_scores_every_first_view_with_every_second(kind):
    method = build(CriticNCE, kind=kind)
    batch, (z1, z2) = projections(method)
    scores = torch.stack([torch.stack([method.loss.critic(a, b) for b in z2]) for a in z1])
    assert method(batch)["loss"].item() == pytest.approx(critic_nce(scores).item(), rel=1e-5)


@BOTH
@pytest.mark.parametrize("method", [CriticPairs, CriticNCE])
def test_the_critic_is_part_of_the_method(method, kind):
    method = build(method, kind=kind)
    assert any(name.startswith("loss.critic.") for name in method.state_dict())
    method(projections(method)[0])["loss"].backward()
    assert all(p.grad.abs().sum() > 0 for p in method.loss.critic.parameters() if p.ndim > 1)


def test_collapsed_values():
    equal = torch.ones(64, 8)
    pairs, nce = build(CriticPairs), build(CriticNCE)
    assert nce.loss(equal, equal).item() == pytest.approx(nce.reference_values(64)["collapsed"]) == math.log(64)
    assert pairs.loss(equal, equal).item() >= pairs.reference_values(64)["collapsed"] == math.log(2)


def test_unknown_critic():
    with pytest.raises(ValueError, match=r"Unknown critic 'bilinaer'\. Did you mean 'bilinear'"):
        build(CriticNCE, kind="bilinaer")

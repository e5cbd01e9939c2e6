"""The wiring: which tensors meet in the loss, how views are paired, what the curve may show."""

import math

import pytest
import torch
from torch import nn

from sslkit import nets
from sslkit.augment import Policy
from sslkit.losses import nt_xent
from sslkit.methods import DCL, DCLW, WMSE, AlignUniform, BarlowTwins, Batch, Joint, SimCLR, SupCon, Triplet, VICReg
from sslkit.methods.base import encode


def test_loss_is_nt_xent_of_the_projections():
    method = SimCLR(nets.small_resnet(widths=(8,)), head=(16, 8), temperature=0.3).eval()
    views = [torch.rand(6, 3, 8, 8) for _ in range(2)]
    z1, z2 = (method.head(method.encoder(view)) for view in views)
    expected = nt_xent(z1, z2, temperature=0.3)
    assert torch.allclose(method(Batch(views, torch.arange(6)))["loss"], expected, atol=1e-6)


def test_more_views_average_over_pairs():
    seen = []

    def loss(a, b):
        seen.append((a.mean().item(), b.mean().item()))
        return (a - b).square().mean()

    body = nets.adapt(nn.Flatten(), image_size=2)
    method = Joint(body, nn.Identity(), loss, policies=[Policy()] * 3)
    views = [torch.full((2, 3, 2, 2), value) for value in (0.0, 0.25, 1.0)]
    value = method(Batch(views, torch.arange(2)))["loss"]
    raw = [(0.0 - 0.5) / 0.25, (0.25 - 0.5) / 0.25, (1.0 - 0.5) / 0.25]
    expected = sum((a - b) ** 2 for a, b in [(raw[0], raw[1]), (raw[0], raw[2]), (raw[1], raw[2])]) / 3
    assert value.item() == pytest.approx(expected)
    assert len(seen) == 3


def test_views_of_one_resolution_share_one_call():
    sizes = []

    class Counting(nn.Module):
        def forward(self, x):
            sizes.append(tuple(x.shape))
            return x.mean((2, 3))

    views = [torch.rand(4, 3, 8, 8), torch.rand(4, 3, 8, 8), torch.rand(4, 3, 4, 4)]
    out = encode(Counting(), views)
    assert sizes == [(8, 3, 8, 8), (4, 3, 4, 4)]
    for h, view in zip(out, views):
        assert torch.allclose(h, view.mean((2, 3)))


def test_named_terms_pass_through():
    method = VICReg(nets.small_resnet(widths=(8,)), head=(16, 8))
    terms = method(Batch([torch.rand(6, 3, 8, 8) for _ in range(2)], torch.arange(6)))
    assert set(terms) == {"loss", "invariance", "variance", "covariance"}


def test_reference_values_are_the_methods_own():
    simclr = SimCLR(nets.small_resnet(widths=(8,)), temperature=0.5).reference_values(256)
    assert simclr["collapsed"] == pytest.approx(math.log(511))
    vicreg = VICReg(nets.small_resnet(widths=(8,))).reference_values(256)
    assert vicreg["collapsed"] == pytest.approx(24.75)


@pytest.mark.parametrize(
    ("method", "options", "expected"),
    [
        (
            DCL,
            {},
            {"collapsed": math.log(510), "orthogonal": math.log(510) - 10, "bound": math.log(510) - 10 * 256 / 255},
        ),
        (DCLW, {"temperature": 1.0}, {"collapsed": math.log(510), "orthogonal": math.log(510) - 1}),
        (Triplet, {"margin": 0.3}, {"collapsed": 0.3, "bound": 0.0}),
        (AlignUniform, {"t": 1.0, "lambda_": 3.0}, {"collapsed": 0.0, "orthogonal": -6.0, "bound": -6.0 * 256 / 255}),
        (SupCon, {}, {"collapsed": math.log(511)}),
        (BarlowTwins, {"head": (16, 32)}, {"collapsed": 32.0, "bound": 0.0}),
        (WMSE, {}, {"unrelated": 2.0, "bound": 0.0}),
    ],
)
def test_reference_values_know_hyper_parameters_and_batch(method, options, expected):
    got = method(nets.small_resnet(widths=(8,)), **options).reference_values(256)
    assert {name: got[name] for name in expected} == pytest.approx(expected)


@pytest.mark.parametrize("method", [SimCLR, DCL, DCLW, Triplet, AlignUniform, SupCon, BarlowTwins, VICReg])
def test_collapsed_is_what_a_method_gives_whose_projections_are_all_equal(method):
    method = method(nets.small_resnet(widths=(8,)), head=(16, 4))
    nn.init.zeros_(method.head[-1].weight)
    nn.init.ones_(method.head[-1].bias)
    value = method(Batch([torch.rand(6, 3, 8, 8) for _ in range(2)], torch.arange(6), torch.arange(6) // 2))["loss"]
    assert value.item() == pytest.approx(method.reference_values(6)["collapsed"], abs=1e-5)


def test_one_view_is_not_enough():
    with pytest.raises(ValueError, match="policies has 1 entries"):
        SimCLR(nets.small_resnet(widths=(8,)), policies=(Policy(),))

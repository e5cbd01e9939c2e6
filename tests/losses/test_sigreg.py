"""SIGReg and LeJEPA against their loops, an exact integral, lightly, and what normal noise does."""

from __future__ import annotations

import math

import numpy as np
import pytest
import reference
import torch
from lightly.loss.lejepa_loss import SIGReg, lejepa_invariance_loss
from pairs import SHAPES, close, directions, gradients, pair, rotation
from scipy.integrate import quad

from sslkit.losses import lejepa, lejepa_references, sigreg


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("hyper", [{}, {"t_max": 5.0, "knots": 9}])
@pytest.mark.parametrize(("B", "D"), SHAPES)
def test_sigreg_equals_the_loop(B, D, hyper):
    for scale in (0.1, 1.0, 5.0):
        z, _ = pair(B, D, scale=scale)
        close(sigreg(z, directions(z), **hyper), reference.sigreg(z.numpy(), directions(z).double().numpy(), **hyper))


@pytest.mark.parametrize(("B", "D"), [(2, 3), (6, 4)])
def test_lejepa_equals_the_loop(B, D):
    z1, z2 = pair(B, D)
    got = lejepa(z1, z2, directions(z1), lambda_=0.2)
    expected = reference.lejepa(z1.numpy(), z2.numpy(), directions(z1).double().numpy(), 0.2)
    assert list(got) == ["loss", "invariance", "sigreg"]
    for name, value in got.items():
        close(value, expected[name])


def test_equals_lightly(monkeypatch):
    """Factor 1 for both terms, with its directions taken from us."""
    z1, z2 = pair(9, 6)
    a = noise(6, 11)
    oracle = SIGReg(num_vectors=11).double()
    monkeypatch.setattr(oracle, "_generate_unit_vectors", lambda *_: a / a.norm(dim=0))
    theirs = lambda x, y: oracle(torch.stack([x, y]))
    ours = lambda x, y: lejepa(x, y, a)["sigreg"]
    close(ours(z1, z2), theirs(z1, z2), rtol=1e-6)  # its frequencies are float32
    for got, want in zip(gradients(ours, z1, z2), gradients(theirs, z1, z2)):
        close(got, want, rtol=1e-5, atol=1e-7)
    both = torch.stack([z1, z2])
    close(lejepa(z1, z2, a)["invariance"], lejepa_invariance_loss(all_proj=both, global_proj=both))


def test_defaults():
    z1, z2 = pair(6, 4)
    got = lejepa(z1, z2, directions(z1))
    close(got["loss"], 0.98 * got["invariance"] + 0.02 * got["sigreg"])
    close(sigreg(z1, directions(z1)), sigreg(z1, directions(z1), t_max=3.0, knots=17))


def test_the_trapezoid_rule_is_near_the_integral():
    x = np.array([-1.3, 0.2, 0.4, 2.0])
    error = lambda t: abs(np.exp(1j * t * x).mean() - math.exp(-t * t / 2)) ** 2 * math.exp(-t * t / 2)
    z, one = torch.tensor(x)[:, None], torch.ones(1, 1)
    close(sigreg(z, one), 4 * quad(error, -3, 3)[0], rtol=1e-3)
    close(sigreg(z, one, knots=1001), 4 * quad(error, -3, 3)[0], rtol=1e-6)


def test_two_embeddings_by_hand():
    z = torch.tensor([[1.0], [-1.0]], dtype=torch.float64)  # mean of exp(itz) = cos t
    t = [0, 1, 2]
    f = [(math.cos(x) - math.exp(-x * x / 2)) ** 2 * math.exp(-x * x / 2) for x in t]
    close(sigreg(z, torch.tensor([[-7.0]]), t_max=2.0, knots=3), 2 * 2 * (f[0] / 2 + f[1] + f[2] / 2))


@pytest.mark.parametrize("n", [2, 16, 256])
@pytest.mark.parametrize("hyper", [{}, {"t_max": 5.0, "knots": 31, "lambda_": 0.5}])
def test_collapsed_value_and_that_it_is_the_least_for_equal_embeddings(n, hyper):
    value = lejepa_references(n, **hyper)["collapsed"]
    zero, a = torch.zeros(n, 4, dtype=torch.float64), noise(4, 16)
    close(lejepa(zero, zero, a, **hyper)["loss"], value)
    for size in (0.1, 1.0, 10.0):
        assert lejepa(zero + size, zero + size, a, **hyper)["loss"] > value
    assert lejepa_references(256)["collapsed"] == pytest.approx(2.0585, abs=5e-4)


def test_normal_noise_gives_the_gaussian_reference_on_average():
    a = noise(8, 64)
    for n in (16, 256):
        values = torch.stack([lejepa(z := noise(n, 8, seed=i), z, a)["loss"] for i in range(200)])
        standard_error = values.std() / 200**0.5
        expected = lejepa_references(n)["gaussian"]
        assert abs(values.mean() - expected) < 5 * standard_error
        assert standard_error < 0.05 * expected
    assert lejepa_references(16)["gaussian"] / 0.02 == pytest.approx(1.05, abs=0.01)


@pytest.mark.parametrize(
    "worse",
    [
        lambda z: 2 * z,
        lambda z: z / 2,
        lambda z: z + 1,
        lambda z: z.sign(),  # mean 0, variance 1, uncorrelated, not normal
        lambda z: z[:, :1].expand(-1, 4),  # one dimension four times
    ],
)
def test_what_is_not_standard_normal_is_punished(worse):
    z, a = noise(2000, 4), noise(4, 64, seed=1)
    assert sigreg(worse(z), a) > 3 * sigreg(z, a)


def test_gradient_spreads_what_has_shrunk_and_draws_in_what_is_far():
    a = noise(4, 64, seed=1)
    for size, sign in ((0.1, -1), (3.0, 1)):
        z = size * noise(200, 4)
        (gradient,) = gradients(lambda z: sigreg(z, a), z)
        assert sign * (gradient * z).sum() > 0


def test_invariances():
    (z1, z2), a = pair(7, 5), noise(5, 9)
    loss = lejepa(z1, z2, a)["loss"]
    order = torch.randperm(7, generator=torch.Generator().manual_seed(1))
    close(lejepa(z1[order], z2[order], a)["loss"], loss)
    close(lejepa(z2, z1, a)["loss"], loss)
    close(lejepa(-z1, -z2, a)["loss"], loss)
    close(lejepa(z1 @ rotation(5), z2 @ rotation(5), rotation(5).T @ a)["loss"], loss)
    close(lejepa(z1, z2, a * torch.arange(1, 10))["loss"], loss)  # directions have no length
    close(lejepa(z1, z2, a[:, torch.randperm(9)])["loss"], loss)
    assert abs(lejepa(z1, z2[order], a)["loss"] - loss) > 0.01
    assert abs(lejepa(z1, z2, noise(5, 9, seed=1))["loss"] - loss) > 1e-4


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("scale", [1.0, 100.0])
def test_half_precision_and_large_embeddings(dtype, scale):
    z1, z2 = pair(16, 8, dtype=dtype, scale=scale)
    a = noise(8, 32).float()
    ours = lambda x, y: lejepa(x, y, a)["loss"]
    expected = reference.lejepa(z1.double().numpy(), z2.double().numpy(), a.double().numpy())
    close(ours(z1, z2), expected["loss"], rtol=1e-5)
    close(lejepa(z1, z2, a)["sigreg"], expected["sigreg"], rtol=1e-5)
    assert all(gradient.isfinite().all() for gradient in gradients(ours, z1, z2))


def test_lets_nan_through():
    z1, z2 = pair(4, 3)
    z1[2, 1] = torch.nan
    assert all(value.isnan() for value in lejepa(z1, z2, directions(z1)).values())

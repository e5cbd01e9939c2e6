"""Regularising losses against independent references, closed forms, invariances and other libraries."""

from __future__ import annotations

import itertools
import math

import pytest
import reference
import torch
from lightly.loss import VICRegLoss as LightlyVICReg
from pairs import SHAPES, close, gradients, pair, rotation
from pytorch_metric_learning.losses import VICRegLoss

from sslkit.losses import (
    vicreg,
    vicreg_references,
)


@pytest.mark.parametrize(("B", "D"), SHAPES)
def test_vicreg_equals_the_loop(B, D):
    for seed, scale in itertools.product(range(2), (0.1, 1.0, 3.0)):  # all, some and no dimensions below the hinge
        z1, z2 = pair(B, D, seed=seed, scale=scale)
        z1 = z1 + 2.0  # the means differ from zero and between views
        expected = reference.vicreg(z1.numpy(), z2.numpy())
        got = vicreg(z1, z2)
        assert list(got) == ["loss", "invariance", "variance", "covariance"]
        for name, value in got.items():
            close(value, expected[name])


def test_vicreg_by_hand():
    z1 = torch.tensor([[0.0, 0.0], [2.0, 2.0]])  # var 2 and covariance 2: no hinge, (2² + 2²) / 2 per view
    got = vicreg(z1, z1 + 1)
    assert {name: value.item() for name, value in got.items()} == {
        "loss": 33.0,
        "invariance": 1.0,
        "variance": 0.0,
        "covariance": 8.0,
    }
    z1 = torch.tensor([[0.0], [0.02]])  # var 2e-4, std √3e-4
    got = vicreg(z1, torch.zeros(2, 1))
    close(got["variance"], (1 - math.sqrt(3e-4)) / 2 + (1 - 0.01) / 2, rtol=1e-6)
    close(got["invariance"], 2e-4, rtol=1e-6)
    assert got["covariance"] == 0  # one dimension has nothing to correlate with


@pytest.mark.parametrize(("B", "D"), [(2, 1), (5, 8), (9, 4)])
def test_vicreg_equals_pytorch_metric_learning_and_lightly(B, D):
    z1, z2 = pair(B, D, scale=0.7)
    ours = lambda a, b: vicreg(a, b)["loss"]
    plain = VICRegLoss(invariance_lambda=25, variance_mu=25, covariance_v=1)
    for oracle in (lambda a, b: plain(a, ref_emb=b), LightlyVICReg(lambda_param=25, mu_param=25, nu_param=1)):
        close(ours(z1, z2), oracle(z1, z2))
        for got, want in zip(gradients(ours, z1, z2), gradients(oracle, z1, z2)):
            close(got, want)


def test_vicreg_collapsed_value_and_bound():
    same = torch.full((6, 4), 3.0, dtype=torch.float64)
    terms = vicreg(same, same)
    close(terms["loss"], 24.75)
    assert terms["invariance"] == terms["covariance"] == 0
    assert vicreg_references() == {"collapsed": pytest.approx(24.75), "bound": 0.0}
    other = {"sim_coeff": 3.0, "std_coeff": 10.0, "cov_coeff": 7.0}
    close(vicreg(same, same, **other)["loss"], vicreg_references(std_coeff=10.0)["collapsed"])
    hadamard = torch.tensor([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]], dtype=torch.float64)  # D = B - 1
    assert all(value == vicreg_references()["bound"] for value in vicreg(hadamard, hadamard).values())
    for gradient in gradients(lambda a, b: vicreg(a, b)["loss"], same, same):
        assert gradient.isfinite().all()  # the square root is differentiated at variance 0


def test_vicreg_coefficients_weigh_their_own_term():
    z1, z2 = pair(6, 4, scale=0.5)
    terms = vicreg(z1, z2)
    for name, term in (("sim_coeff", "invariance"), ("std_coeff", "variance"), ("cov_coeff", "covariance")):
        zero = {"sim_coeff": 0.0, "std_coeff": 0.0, "cov_coeff": 0.0}
        got = vicreg(z1, z2, **{**zero, name: 3.0})
        close(got["loss"], 3 * terms[term])
        close(got[term], terms[term])  # terms come without their coefficient


def test_vicreg_invariances():
    z1, z2 = pair(7, 5, scale=0.5)
    loss = vicreg(z1, z2)["loss"]
    rows = torch.randperm(7, generator=torch.Generator().manual_seed(1))
    columns = torch.randperm(5, generator=torch.Generator().manual_seed(2))
    close(vicreg(z1[rows], z2[rows])["loss"], loss)
    close(vicreg(z1[:, columns], z2[:, columns])["loss"], loss)
    close(vicreg(z2, z1)["loss"], loss)
    close(vicreg(z1 + 5, z2 + 5)["loss"], loss)
    close(vicreg(z1 @ rotation(5), z2 @ rotation(5))["invariance"], vicreg(z1, z2)["invariance"])
    assert abs(vicreg(2 * z1, 2 * z2)["loss"] - loss) > 0.1  # not normalised
    assert abs(vicreg(z1, z2[rows])["loss"] - loss) > 0.1


def test_vicreg_covariance_is_not_lost_beside_a_large_variance():
    z1, z2 = pair(64, 8, dtype=torch.float32)
    scales = torch.tensor([3000.0] + 7 * [1.0])  # variance² 8e13: as a difference of two sums, float32 loses the rest
    z1, z2 = z1 * scales, z2 * scales
    expected = reference.vicreg(z1.double().numpy(), z2.double().numpy())["covariance"]
    close(vicreg(z1, z2)["covariance"], expected, rtol=1e-4)

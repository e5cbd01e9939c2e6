"""DCL and DCLW against their loops, closed forms and lightly."""

from __future__ import annotations

import math

import pytest
import reference
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from lightly.loss import DCLLoss, DCLWLoss
from pairs import SHAPES, close, gradients, pair, rotation, simplex

from sslkit.losses import decoupled_contrastive, decoupled_contrastive_references, nt_xent

TEMPERATURES = [0.07, 0.1, 0.5, 2.0]


@pytest.mark.parametrize("sigma", [None, 0.5, 0.1])
@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize(("B", "D"), SHAPES)
def test_equals_the_papers_loop(B, D, temperature, sigma):
    for seed in range(2):
        z1, z2 = pair(B, D, seed=seed)
        expected = reference.decoupled_contrastive(z1.numpy(), z2.numpy(), temperature, sigma)
        close(decoupled_contrastive(z1, z2, temperature=temperature, sigma=sigma), expected)


def test_default_temperature_is_a_tenth_without_weights():
    z1, z2 = pair(5, 8)
    close(decoupled_contrastive(z1, z2), reference.decoupled_contrastive(z1.numpy(), z2.numpy(), 0.1))


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_dcl_equals_lightly(temperature):
    z1, z2 = pair(9, 6)
    ours, theirs = lambda a, b: decoupled_contrastive(a, b, temperature=temperature), DCLLoss(temperature)
    close(ours(z1, z2), theirs(z1, z2))
    for got, want in zip(gradients(ours, z1, z2), gradients(theirs, z1, z2)):
        close(got, want)


@pytest.mark.filterwarnings("ignore:To copy construct from a tensor")
@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_dclw_equals_lightly(temperature):
    """Values are equal. lightly's own weights carry no gradient, ours do, as in the formula: given that, it agrees."""
    z1, z2 = pair(9, 6)
    ours = lambda a, b: decoupled_contrastive(a, b, temperature=temperature, sigma=0.5)
    close(ours(z1, z2), DCLWLoss(temperature, sigma=0.5)(z1, z2))
    formula = DCLLoss(temperature, weight_fn=lambda a, b: 2 - len(a) * torch.softmax((a * b).sum(1) / 0.5, dim=0))
    for got, want in zip(gradients(ours, z1, z2), gradients(formula, z1, z2)):
        close(got, want)


@pytest.mark.parametrize("sigma", [None, 0.5])
@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize("n", [2, 3, 8, 256])
def test_references_are_what_the_loss_gives(n, temperature, sigma):
    values = decoupled_contrastive_references(n, temperature=temperature)
    ours = lambda z: decoupled_contrastive(z, z, temperature=temperature, sigma=sigma)
    close(ours(torch.ones(n, 4, dtype=torch.float64)), values["collapsed"])
    close(values["collapsed"], math.log(2 * n - 2))
    close(ours(torch.eye(n, dtype=torch.float64)), values["orthogonal"], rtol=1e-9)
    close(ours(simplex(n)), values["bound"], rtol=1e-9)
    assert values["bound"] < values["orthogonal"] < values["collapsed"]


def test_known_numbers():
    assert decoupled_contrastive_references(256)["collapsed"] == pytest.approx(6.234, abs=5e-4)
    assert decoupled_contrastive_references(2, temperature=0.5)["bound"] == pytest.approx(math.log(2) - 4)
    assert decoupled_contrastive_references(256)["orthogonal"] < 0  # it may be negative


@given(
    n=st.integers(2, 12),
    D=st.integers(1, 12),
    shared=st.floats(0, 100),
    temperature=st.floats(0.02, 10),
    sigma=st.one_of(st.none(), st.floats(0.02, 10)),
    seed=st.integers(0, 2**31),
)
@settings(max_examples=100, deadline=None)
def test_never_below_its_bound_and_dcl_below_nt_xent(n, D, shared, temperature, sigma, seed):
    z1, z2 = pair(n, D, seed=seed, shared=shared)
    loss = decoupled_contrastive(z1, z2, temperature=temperature, sigma=sigma).item()
    assert loss >= decoupled_contrastive_references(n, temperature=temperature)["bound"] - 1e-9
    if sigma is None:
        assert loss <= nt_xent(z1, z2, temperature=temperature) + 1e-12


def test_nt_xent_is_dcl_plus_the_partner_in_the_sum():
    """For one image against one other: L_NT-Xent = log(exp(L_DCL) + 1), anchor by anchor."""
    u, v = torch.tensor([[[1.0, 0.0], [0.6, 0.8]], [[0.8, 0.6], [0.0, 1.0]]], dtype=torch.float64)
    tau, total = 0.3, 0.0
    for here, there in ((u, v), (v, u)):
        for i, k in ((0, 1), (1, 0)):
            negatives = torch.stack([here[i] @ here[k], here[i] @ there[k]]) / tau
            dcl = negatives.logsumexp(0) - here[i] @ there[i] / tau
            total += math.log(math.exp(dcl) + 1) / 4
    close(nt_xent(u, v, temperature=tau), total)


def test_a_met_pair_still_pushes():
    """Why it was made: NT-Xent's gradient fades as a pair meets (the coupling of the paper), DCL's does not."""
    z1, z2 = torch.eye(4, dtype=torch.float64), torch.eye(4, dtype=torch.float64)
    z1[1] = z2[1] = torch.tensor([0.1, 1.0, 0.0, 0.0])
    size = lambda loss: gradients(lambda a, b: loss(a, b, temperature=0.1), z1, z2)[0][0].norm()
    assert size(decoupled_contrastive) > 100 * size(nt_xent)


def test_weights_have_mean_one_and_favour_pairs_that_are_apart():
    z1 = torch.eye(4, dtype=torch.float64)
    z2 = z1.clone()
    z2[0] = torch.tensor([0.5, 0.0, 0.0, 0.75**0.5], dtype=torch.float64)  # cosine 0.5 with its partner, others 1
    e = [math.exp(0.5 / 0.5), *3 * [math.exp(1 / 0.5)]]
    weights = [2 - 4 * x / sum(e) for x in e]
    assert sum(weights) / 4 == pytest.approx(1)
    assert weights[0] > 1 > weights[1]
    plain, weighted = (decoupled_contrastive(z1, z2, temperature=1.0, sigma=sigma) for sigma in (None, 0.5))
    close(weighted - plain, sum(s * (1 - w) for s, w in zip([0.5, 1, 1, 1], weights)) / 4)


@pytest.mark.parametrize("sigma", [None, 0.5])
def test_does_not_see_order_rotation_or_length(sigma):
    z1, z2 = pair(7, 5)
    ours = lambda a, b: decoupled_contrastive(a, b, sigma=sigma)
    order = torch.randperm(7, generator=torch.Generator().manual_seed(1))
    for a, b in ((z1[order], z2[order]), (z2, z1), (z1 @ rotation(5), z2 @ rotation(5)), (3 * z1, z2 / 7)):
        close(ours(a, b), ours(z1, z2))
    assert abs(ours(z1, z2[order]) - ours(z1, z2)) > 0.01


@pytest.mark.parametrize("sigma", [None, 0.5, 0.01])
@pytest.mark.parametrize("temperature", [0.1, 0.01, 0.005])
def test_extreme_temperature_and_half_precision(temperature, sigma):
    z1, z2 = pair(16, 8, dtype=torch.float16)
    expected = reference.decoupled_contrastive(z1.double().numpy(), z2.double().numpy(), temperature, sigma)
    ours = lambda a, b: decoupled_contrastive(a, b, temperature=temperature, sigma=sigma)
    close(ours(z1, z2), expected, rtol=1e-4)
    assert all(gradient.isfinite().all() for gradient in gradients(ours, z1, z2))


def test_zero_vectors_and_nan():
    z1, z2 = pair(5, 4)
    z1[1], z2[1], z2[3] = 0, 0, 0
    close(decoupled_contrastive(z1, z2), reference.decoupled_contrastive(z1.numpy(), z2.numpy(), 0.1))
    g1, g2 = gradients(decoupled_contrastive, z1, z2)
    assert (g1[1] == 0).all()
    assert (g2[3] == 0).all()
    assert g1.isfinite().all()
    z1[2, 1] = torch.nan
    assert decoupled_contrastive(z1, z2).isnan()

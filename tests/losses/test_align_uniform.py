"""Alignment and uniformity against their loop, closed forms, lightly and the authors' four lines."""

from __future__ import annotations

import math

import pytest
import reference
import torch
from lightly.loss.hypersphere_loss import HypersphereLoss
from pairs import SHAPES, close, gradients, pair, rotation, simplex

from sslkit import evaluation
from sslkit.losses import align_uniform, align_uniform_references

SETTINGS = [{}, {"alpha": 1.0}, {"alpha": 3.0, "t": 0.5}, {"t": 1.0, "lambda_": 3.0}]


@pytest.mark.parametrize("hyper", SETTINGS)
@pytest.mark.parametrize(("B", "D"), SHAPES)
def test_equals_the_loop(B, D, hyper):
    for seed in range(2):
        z1, z2 = pair(B, D, seed=seed)
        got, expected = align_uniform(z1, z2, **hyper), reference.align_uniform(z1.numpy(), z2.numpy(), **hyper)
        assert list(got) == ["loss", "alignment", "uniformity"]
        for name, value in got.items():
            close(value, expected[name])


@pytest.mark.parametrize("hyper", [{"t": 2.0}, {"t": 1.0, "lambda_": 0.3}, {"alpha": 1.0}])
def test_equals_lightly(hyper):
    """Factor 1; its default t is 1."""
    z1, z2 = pair(9, 6)
    oracle = HypersphereLoss(t=hyper.get("t", 2.0), lam=hyper.get("lambda_", 1.0), alpha=hyper.get("alpha", 2.0))
    ours = lambda a, b: align_uniform(a, b, **hyper)["loss"]
    close(ours(z1, z2), oracle(z1, z2))
    for got, want in zip(gradients(ours, z1, z2), gradients(oracle, z1, z2)):
        close(got, want)


def test_terms_are_those_of_the_collapse_report():
    z1, z2 = pair(20, 6)
    report, both = evaluation.collapse(z1, z2), align_uniform(z1, z1)
    close(align_uniform(z1, z2)["alignment"], float(report["alignment"]), rtol=1e-5)
    close(both["uniformity"], float(report["uniformity"]), rtol=1e-5)


@pytest.mark.parametrize("hyper", [{}, {"t": 0.7, "lambda_": 3.0}])
@pytest.mark.parametrize("n", [2, 3, 8, 256])
def test_references_are_what_the_loss_gives(n, hyper):
    values = align_uniform_references(n, **hyper)
    ours = lambda z: align_uniform(z, z, **hyper)["loss"]
    close(ours(torch.full((n, 4), 0.3, dtype=torch.float64)), values["collapsed"])
    close(ours(torch.eye(n, dtype=torch.float64)), values["orthogonal"])
    close(ours(simplex(n)), values["bound"])
    assert values["bound"] < values["orthogonal"] < values["collapsed"] == 0


def test_known_numbers():
    assert align_uniform_references(256)["orthogonal"] == -4
    z1 = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    z2 = torch.tensor([[0.0, 1.0], [0.0, -1.0]])
    got = align_uniform(z1, z2)  # squared distances: 2 and 4 between views, 2 and 4 between images
    close(got["alignment"], 3.0, rtol=1e-6)
    close(got["uniformity"], -(4 + 8) / 2, rtol=1e-6)
    close(align_uniform(z1, z2, alpha=1.0)["alignment"], (math.sqrt(2) + 2) / 2, rtol=1e-6)


def test_does_not_see_order_rotation_or_length():
    z1, z2 = pair(7, 5)
    ours = lambda a, b: align_uniform(a, b)["loss"]
    order = torch.randperm(7, generator=torch.Generator().manual_seed(1))
    for a, b in ((z1[order], z2[order]), (z2, z1), (z1 @ rotation(5), z2 @ rotation(5)), (3 * z1, z2 / 7)):
        close(ours(a, b), ours(z1, z2))
    assert abs(ours(z1, z2[order]) - ours(z1, z2)) > 0.01


def test_coefficient_weighs_uniformity_only():
    z1, z2 = pair(6, 4)
    one, three = align_uniform(z1, z2), align_uniform(z1, z2, lambda_=3.0)
    close(three["loss"] - one["loss"], 2 * one["uniformity"])
    close(three["uniformity"], one["uniformity"])


@pytest.mark.parametrize("t", [1e-3, 2.0, 1e3])  # exp(-1000 · 4) is 0 in every precision
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_extreme_t_and_half_precision(t, dtype):
    z1, z2 = pair(16, 8, dtype=dtype)
    ours = lambda a, b: align_uniform(a, b, t=t)["loss"]
    close(ours(z1, z2), align_uniform(z1.double(), z2.double(), t=t)["loss"], rtol=1e-4)
    assert all(gradient.isfinite().all() for gradient in gradients(ours, z1, z2))


@pytest.mark.parametrize("alpha", [1.0, 2.0])
def test_gradient_where_views_or_images_are_equal(alpha):
    same = torch.ones(4, 3, dtype=torch.float64)
    for gradient in gradients(lambda a, b: align_uniform(a, b, alpha=alpha)["loss"], same, same):
        assert gradient.isfinite().all()


def test_zero_vectors_and_nan():
    z1, z2 = pair(5, 4)
    z1[1], z2[1] = 0, 0
    got = align_uniform(z1, z2)
    unit = lambda z: z / z.norm(dim=1, keepdim=True).clamp_min(1e-8)
    close(got["uniformity"], sum(torch.pdist(unit(z)).square().mul(-2).exp().mean().log() for z in (z1, z2)) / 2)
    assert all(g.isfinite().all() for g in gradients(lambda a, b: align_uniform(a, b)["loss"], z1, z2))
    z1[2, 1] = torch.nan
    assert align_uniform(z1, z2)["loss"].isnan()

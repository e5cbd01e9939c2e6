"""Barlow Twins against its loop, closed forms, lightly and PyTorch's batch norm."""

from __future__ import annotations

import pytest
import reference
import torch
from lightly.loss import BarlowTwinsLoss
from pairs import SHAPES, close, gradients, pair, rotation, white
from torch import nn

from sslkit.losses import barlow_twins, barlow_twins_references


@pytest.mark.parametrize(("B", "D"), SHAPES)
def test_equals_the_loop(B, D):
    for seed, scale in ((0, 1.0), (1, 0.01), (2, 100.0)):  # 0.01: the epsilon counts
        z1, z2 = pair(B, D, seed=seed, scale=scale)
        z1 = z1 + 2.0
        got, expected = barlow_twins(z1, z2), reference.barlow_twins(z1.numpy(), z2.numpy())
        assert list(got) == ["loss", "invariance", "redundancy"]
        for name, value in got.items():
            close(value, expected[name], rtol=1e-9)


@pytest.mark.parametrize("lambda_", [0.0051, 0.1, 2.0])
def test_equals_lightly_and_the_authors_batch_norm(lambda_):
    """Factor 1. lightly's default lambda is 0.005."""
    z1, z2 = pair(9, 6)
    norm = nn.BatchNorm1d(6, affine=False).double()

    def authors(a, b):
        c = norm(a).T @ norm(b) / len(a)
        off = c[~torch.eye(6, dtype=torch.bool)]
        return (c.diagonal() - 1).square().sum() + lambda_ * off.square().sum()

    ours = lambda a, b: barlow_twins(a, b, lambda_=lambda_)["loss"]
    for oracle in (BarlowTwinsLoss(lambda_param=lambda_), authors):
        close(ours(z1, z2), oracle(z1, z2))
        for got, want in zip(gradients(ours, z1, z2), gradients(oracle, z1, z2)):
            close(got, want)


def test_default_lambda():
    z1, z2 = pair(5, 8)
    got = barlow_twins(z1, z2)
    close(got["loss"], got["invariance"] + 0.0051 * got["redundancy"])


def test_by_hand():
    z1 = torch.tensor([[0.0, 3.0], [2.0, 5.0]], dtype=torch.float64)  # both dimensions become (-1, 1)
    z2 = torch.tensor([[7.0, 9.0], [9.0, 1.0]], dtype=torch.float64)  # (-1, 1) and (1, -1)
    got = barlow_twins(z1, z2)  # C = [[1, -1], [1, -1]]
    close(got["invariance"], 4.0, rtol=1e-4)
    close(got["redundancy"], 2.0, rtol=1e-4)


@pytest.mark.parametrize(("B", "D"), [(2, 3), (6, 4), (16, 32)])
def test_collapsed_value(B, D):
    same = torch.full((B, D), 3.0, dtype=torch.float64)
    assert barlow_twins(same, same)["loss"] == barlow_twins_references(D)["collapsed"] == D
    for gradient in gradients(lambda a, b: barlow_twins(a, b)["loss"], same, same):
        assert gradient.isfinite().all()  # the square root is differentiated at variance 0


def test_bound_is_reached_by_equal_views_whose_dimensions_are_uncorrelated():
    z = 1000 * white(9, 8)  # far above the epsilon; D = B - 1 is the most that fits
    assert barlow_twins(z, z)["loss"] < 1e-9
    assert barlow_twins_references(8, lambda_=0.1) == {"collapsed": 8.0, "bound": 0.0}
    close(barlow_twins(z, -z)["invariance"], 4 * 8, rtol=1e-6)
    more = torch.cat([z, z[:, :1]], dim=1)  # one dimension twice
    close(barlow_twins(more, more)["redundancy"], 2.0, rtol=1e-6)


def test_invariances():
    z1, z2 = pair(7, 5)
    ours = lambda a, b: barlow_twins(1000 * a, 1000 * b)["loss"]  # large: the epsilon does not count
    rows = torch.randperm(7, generator=torch.Generator().manual_seed(1))
    columns = torch.randperm(5, generator=torch.Generator().manual_seed(2))
    lengths = torch.tensor([1.0, 3.0, 0.5, 2.0, 7.0], dtype=torch.float64)
    for a, b in (
        (z1[rows], z2[rows]),
        (z1[:, columns], z2[:, columns]),
        (z2, z1),
        (z1 + 5, z2 - 3),
        (z1 * lengths, z2 * lengths.flip(0)),  # scale and shift of each dimension
    ):
        close(ours(a, b), ours(z1, z2), rtol=1e-6)
    assert abs(ours(z1, z2[rows]) - ours(z1, z2)) > 0.1
    assert abs(ours(z1 @ rotation(5), z2 @ rotation(5)) - ours(z1, z2)) > 0.01


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_half_precision_and_autocast_survive_any_scale(dtype, scale):
    z1, z2 = (z * scale for z in pair(64, 8, dtype=torch.float32))
    exact = barlow_twins(z1.to(dtype).float(), z2.to(dtype).float())["loss"]
    close(barlow_twins(z1.to(dtype), z2.to(dtype))["loss"], exact, rtol=1e-5)
    with torch.autocast("cpu", dtype=dtype):
        close(barlow_twins(z1, z2)["loss"], barlow_twins(z1.double(), z2.double())["loss"], rtol=0.05)

"""SupCon against its loop, pytorch-metric-learning, and NT-Xent, which it becomes when all labels differ."""

from __future__ import annotations

import math

import pytest
import reference
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pairs import SHAPES, close, gradients, pair, rotation
from pytorch_metric_learning.losses import SupConLoss

from sslkit.losses import nt_xent, sup_con, sup_con_references

TEMPERATURES = [0.05, 0.1, 0.5, 2.0]


def classes(B, n=3, seed=0):
    return torch.randint(0, n, (B,), generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize(("B", "D"), SHAPES)
def test_equals_the_papers_loop(B, D, temperature):
    for seed in range(3):
        (z1, z2), labels = pair(B, D, seed=seed), classes(B, seed=seed)
        expected = reference.sup_con(z1.numpy(), z2.numpy(), labels.tolist(), temperature)
        close(sup_con(z1, z2, labels, temperature=temperature), expected)


def test_default_temperature_is_a_tenth():
    (z1, z2), labels = pair(5, 8), classes(5)
    close(sup_con(z1, z2, labels), reference.sup_con(z1.numpy(), z2.numpy(), labels.tolist(), 0.1))


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_equals_pytorch_metric_learning(temperature):
    """Its SupConLoss takes stacked views; factor 1. (The authors' code gives temperature / 0.07 times as much.)"""
    (z1, z2), labels = pair(9, 6), classes(9)
    ours = lambda a, b: sup_con(a, b, labels, temperature=temperature)
    stacked = SupConLoss(temperature=temperature)
    theirs = lambda a, b: stacked(torch.cat([a, b]), labels.repeat(2))
    close(ours(z1, z2), theirs(z1, z2))
    for got, want in zip(gradients(ours, z1, z2), gradients(theirs, z1, z2)):
        close(got, want)


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_with_labels_that_all_differ_it_is_nt_xent(temperature):
    z1, z2 = pair(7, 5)
    labels = torch.arange(7).flip(0)
    for f in (gradients, lambda loss, *z: [loss(*z)]):
        ours = f(lambda a, b: sup_con(a, b, labels, temperature=temperature), z1, z2)
        theirs = f(lambda a, b: nt_xent(a, b, temperature=temperature), z1, z2)
        for got, want in zip(ours, theirs):
            close(got, want)


def test_labels_pull_a_class_together():
    z1, z2 = pair(4, 3)
    labels = torch.tensor([0, 0, 1, 1])
    apart = sup_con(z1, z2, labels)
    centre = torch.stack([z1[:2].mean(0), z1[2:].mean(0)]).repeat_interleave(2, dim=0)
    assert sup_con(centre, centre, labels) < apart - 0.1
    assert sup_con(centre, centre, labels) < sup_con(centre, centre, torch.tensor([0, 1, 0, 1])) - 0.1


@pytest.mark.parametrize("labels", [[0, 0, 0, 0], [0, 1, 2, 3], [5, 5, -1, 5]])
def test_collapsed_value_whatever_the_labels(labels):
    same = torch.full((4, 3), 2.0, dtype=torch.float64)
    close(sup_con(same, same, torch.tensor(labels)), math.log(7))
    assert sup_con_references(4) == {"collapsed": math.log(7)}
    assert sup_con_references(256)["collapsed"] == pytest.approx(6.236, abs=5e-4)


def test_one_single_class_cannot_go_below_collapse():
    z1, z2 = pair(6, 4)
    assert sup_con(z1, z2, torch.zeros(6, dtype=torch.int64)) >= math.log(11)


@given(
    n=st.integers(2, 10),
    D=st.integers(1, 8),
    temperature=st.floats(0.005, 10),
    seed=st.integers(0, 2**31),
    k=st.integers(1, 10),
)
@settings(max_examples=60, deadline=None)
def test_finite_for_any_labels_batch_and_temperature(n, D, temperature, seed, k):
    """The trap of other forms: an anchor without a positive is 0 / 0. Here a class of one image still has two views."""
    (z1, z2), labels = pair(n, D, seed=seed % 1000, dtype=torch.float32), classes(n, k, seed=seed)
    ours = lambda a, b: sup_con(a, b, labels, temperature=temperature)
    assert 0 <= ours(z1, z2) <= 2 / temperature + math.log(2 * n - 1) + 1e-3
    assert all(gradient.isfinite().all() for gradient in gradients(ours, z1, z2))


def test_does_not_see_order_rotation_length_or_the_names_of_classes():
    (z1, z2), labels = pair(7, 5), classes(7)
    loss = sup_con(z1, z2, labels)
    order = torch.randperm(7, generator=torch.Generator().manual_seed(1))
    close(sup_con(z1[order], z2[order], labels[order]), loss)
    close(sup_con(z2, z1, labels), loss)
    close(sup_con(z1 @ rotation(5), z2 @ rotation(5), labels), loss)
    close(sup_con(3 * z1, z2 / 7, labels), loss)
    close(sup_con(z1, z2, torch.tensor([10, -4, 7])[labels]), loss)
    close(sup_con(z1, z2, labels.double()), loss)
    assert abs(sup_con(z1, z2, labels[order]) - loss) > 0.01


def test_zero_vectors_and_nan():
    (z1, z2), labels = pair(5, 4), classes(5)
    z1[1] = 0
    close(sup_con(z1, z2, labels), reference.sup_con(z1.numpy(), z2.numpy(), labels.tolist(), 0.1))
    g1, g2 = gradients(lambda a, b: sup_con(a, b, labels), z1, z2)
    assert (g1[1] == 0).all()
    assert g1.isfinite().all()
    assert g2.isfinite().all()
    z1[2, 1] = torch.nan
    assert sup_con(z1, z2, labels).isnan()  # hiding a diverged run would be worse

"""The triplet loss against its loop, closed forms and pytorch-metric-learning."""

from __future__ import annotations

import pytest
import reference
import torch
from pairs import SHAPES, close, gradients, pair, rotation, simplex
from pytorch_metric_learning.distances import CosineSimilarity
from pytorch_metric_learning.losses import TripletMarginLoss
from pytorch_metric_learning.miners import BatchHardMiner
from pytorch_metric_learning.reducers import MeanReducer

from sslkit.losses import triplet, triplet_references

MARGINS = [0.05, 0.2, 1.0, 2.5]


@pytest.mark.parametrize("hardest", [False, True])
@pytest.mark.parametrize("margin", MARGINS)
@pytest.mark.parametrize(("B", "D"), SHAPES)
def test_equals_the_loop(B, D, margin, hardest):
    for seed in range(3):
        z1, z2 = pair(B, D, seed=seed)
        expected = reference.triplet(z1.numpy(), z2.numpy(), margin, hardest)
        close(triplet(z1, z2, margin=margin, hardest=hardest), expected)


def test_default_margin_is_a_fifth_over_all_triplets():
    z1, z2 = pair(5, 8)
    close(triplet(z1, z2), reference.triplet(z1.numpy(), z2.numpy(), 0.2))


@pytest.mark.parametrize("hardest", [False, True])
@pytest.mark.parametrize("margin", MARGINS)
def test_equals_pytorch_metric_learning(margin, hardest):
    """With cosine similarity; factor 1 with the mean over all triplets (its own default is over those not yet at 0)."""
    z1, z2 = pair(9, 6)
    theirs = TripletMarginLoss(margin, distance=CosineSimilarity(), reducer=MeanReducer())
    miner, index = BatchHardMiner(distance=CosineSimilarity()), torch.arange(9).repeat(2)

    def oracle(a, b):
        z = torch.cat([a, b])
        return theirs(z, index, miner(z, index) if hardest else None)

    ours = lambda a, b: triplet(a, b, margin=margin, hardest=hardest)
    close(ours(z1, z2), oracle(z1, z2))
    for got, want in zip(gradients(ours, z1, z2), gradients(oracle, z1, z2)):
        close(got, want)


def test_by_hand():
    z1 = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    z2 = torch.tensor([[0.6, 0.8], [0.0, 1.0]])  # partners at cosine 0.6 and 1
    # cosines with the other image's views, and margin + cosine - that of the partner where it is above 0:
    # z1_0: 0, 0 -> nothing   z2_0: 0.8, 0.8 -> 0.4, 0.4   z1_1: 0, 0.8 -> 0   z2_1: 0, 0.8 -> 0
    close(triplet(z1, z2), 0.8 / 8, rtol=1e-6)
    close(triplet(z1, z2, hardest=True), 0.4 / 4, rtol=1e-6)
    close(triplet(z1, z2, margin=0.5), (0.7 + 0.7 + 0.3 + 0.3) / 8, rtol=1e-6)
    close(triplet(z1, z2, margin=0.5, hardest=True), (0.7 + 0.3 + 0.3) / 4, rtol=1e-6)


@pytest.mark.parametrize("hardest", [False, True])
@pytest.mark.parametrize("margin", MARGINS)
def test_references_are_what_the_loss_gives(margin, hardest):
    same, ours = torch.ones(5, 3, dtype=torch.float64), lambda a, b: triplet(a, b, margin=margin, hardest=hardest)
    close(ours(same, same), triplet_references(margin=margin)["collapsed"])
    if margin <= 1.25:  # corners of a simplex of 5 are at distance 1 + 1 / 4
        close(ours(simplex(5), simplex(5)), triplet_references(margin=margin)["bound"])
    assert triplet_references() == {"collapsed": 0.2, "bound": 0.0}
    for gradient in gradients(ours, same, same):
        assert gradient.isfinite().all()
    opposite = torch.tensor([[1.0], [-1.0]], dtype=torch.float64)
    close(triplet(opposite, -opposite, margin=margin, hardest=True), margin + 2)  # the worst: partners opposite


def test_far_enough_means_no_gradient():
    z = torch.eye(4, dtype=torch.float64)
    assert all((gradient == 0).all() for gradient in gradients(triplet, z, z))


@pytest.mark.parametrize("hardest", [False, True])
def test_does_not_see_order_rotation_or_length(hardest):
    z1, z2 = pair(7, 5)
    ours = lambda a, b: triplet(a, b, hardest=hardest)
    order = torch.randperm(7, generator=torch.Generator().manual_seed(1))
    for a, b in ((z1[order], z2[order]), (z2, z1), (z1 @ rotation(5), z2 @ rotation(5)), (3 * z1, z2 / 7)):
        close(ours(a, b), ours(z1, z2))
    assert abs(ours(z1, z2[order]) - ours(z1, z2)) > 0.01


@pytest.mark.parametrize("margin", [1e-3, 100.0])
def test_extreme_margin_and_half_precision(margin):
    z1, z2 = pair(16, 8, dtype=torch.float16)
    ours = lambda a, b: triplet(a, b, margin=margin)
    close(ours(z1, z2), reference.triplet(z1.double().numpy(), z2.double().numpy(), margin), rtol=1e-4)
    assert all(gradient.isfinite().all() for gradient in gradients(ours, z1, z2))


def test_zero_vectors_and_nan():
    z1, z2 = pair(5, 4)
    z1[1] = 0
    close(triplet(z1, z2), reference.triplet(z1.numpy(), z2.numpy(), 0.2))
    assert all(gradient.isfinite().all() for gradient in gradients(triplet, z1, z2))
    z1[2, 1] = torch.nan
    assert triplet(z1, z2).isnan()

"""W-MSE against its loop (Cholesky), closed forms, invariances and lightly."""

from __future__ import annotations

import pytest
import reference
import torch
from lightly.loss.wmse_loss import WMSELoss, norm_mse_loss
from pairs import close, gradients, pair, rotation, white

from sslkit.losses import w_mse, w_mse_references


@pytest.mark.parametrize(
    ("B", "D", "sub_batch"), [(3, 1, 128), (5, 4, 128), (7, 3, 7), (16, 4, 8), (17, 5, 6), (9, 2, 4)]
)
def test_equals_the_papers_loop(B, D, sub_batch):
    for seed in range(3):
        z1, z2 = pair(B, D, seed=seed)
        expected = reference.w_mse(z1.numpy() + 3, z2.numpy(), sub_batch)
        close(w_mse(z1 + 3, z2, sub_batch=sub_batch), expected, rtol=1e-8)


@pytest.mark.parametrize("sub_batch", [8, 16])
def test_equals_lightly(sub_batch, monkeypatch):
    """Factor 1. lightly draws which images share a sub-batch; here they stay in order (ours come from a random batch)."""
    monkeypatch.setattr(torch, "randperm", torch.arange)
    z1, z2 = pair(16, 4)
    oracle = WMSELoss(embedding_dim=4, w_size=sub_batch, track_running_stats=False)
    theirs = lambda a, b: oracle(torch.cat([a, b]))
    ours = lambda a, b: w_mse(a, b, sub_batch=sub_batch)
    close(ours(z1, z2), theirs(z1, z2), rtol=1e-8)
    for got, want in zip(gradients(ours, z1, z2), gradients(theirs, z1, z2)):
        close(got, want, rtol=1e-7, atol=1e-9)


def test_default_sub_batch_is_128():
    z1, z2 = pair(300, 3)
    close(w_mse(z1, z2), w_mse(z1, z2, sub_batch=150))  # 2 parts of 150
    assert abs(w_mse(z1, z2) - w_mse(z1, z2, sub_batch=300)) > 1e-6


def test_of_white_views_it_is_the_squared_distance_of_their_directions():
    z1, z2 = white(12, 4), white(12, 4, seed=1)
    close(w_mse(z1, z2), norm_mse_loss(z1, z2))
    close(w_mse(z1, z1), w_mse_references()["bound"])
    close(w_mse(z1, -z1), 4.0)


def test_unrelated_views_give_two_on_average():
    values = torch.stack([w_mse(white(40, 8, seed=i), white(40, 8, seed=1000 + i)) for i in range(200)])
    standard_error = values.std() / 200**0.5
    assert abs(values.mean() - w_mse_references()["unrelated"]) < 5 * standard_error
    assert standard_error < 0.02


def test_scale_shift_and_mixing_of_dimensions_are_whitened_away():
    z1, z2 = pair(12, 4)
    loss = w_mse(z1, z2)
    lower = torch.tensor([[2.0, 0, 0, 0], [1, 3, 0, 0], [-1, 2, 1, 0], [5, 0, 1, 4]], dtype=torch.float64)
    close(w_mse(1e4 * z1 + 5, 1e-4 * z2), loss)
    close(w_mse(z1 @ lower.T, z2 @ lower.T), loss)  # Gram-Schmidt does not see a lower triangular mixing
    close(w_mse(z2, z1), loss)
    order = torch.randperm(12, generator=torch.Generator().manual_seed(1))
    close(w_mse(z1[order], z2[order]), loss)
    assert abs(w_mse(z1, z2[order]) - loss) > 0.01
    assert abs(w_mse(z1 @ rotation(4), z2 @ rotation(4)) - loss) > 1e-3  # but a rotation: it has a first dimension


def test_shrinking_towards_one_point_gains_nothing():
    """Why it cannot collapse: the direction of the gradient is orthogonal to scaling and shifting the embeddings."""
    z1, z2 = pair(12, 4)
    for z, gradient in zip((z1, z2), gradients(w_mse, z1, z2)):
        assert abs((gradient * z).sum()) < 1e-9
        assert gradient.sum(dim=0).abs().max() < 1e-9


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_badly_conditioned_embeddings(dtype):
    """Dimensions of very different size and nearly equal ones: the covariance in half precision would be singular."""
    z1, z2 = pair(64, 6, dtype=torch.float32)
    mixing = torch.eye(6) + 0.99 * (1 - torch.eye(6))
    z1, z2 = ((z @ mixing * torch.tensor([1e-3, 1, 10, 1, 1, 100])).to(dtype) for z in (z1, z2))
    exact = w_mse(z1.double(), z2.double())
    close(w_mse(z1, z2), exact, rtol=1e-3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        close(w_mse(z1.float(), z2.float()), exact, rtol=1e-3)
    assert all(gradient.isfinite().all() for gradient in gradients(w_mse, z1.float(), z2.float()))


def test_lets_nan_through():
    z1, z2 = pair(6, 3)
    z1[2, 1] = torch.nan
    assert w_mse(z1, z2).isnan()

"""Contrastive losses against independent references, closed forms, invariances and other libraries."""

from __future__ import annotations

import math

import pytest
import reference
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from lightly.loss import NTXentLoss as LightlyNTXent
from pairs import SHAPES, close, gradients, pair, rotation, simplex
from pytorch_metric_learning.losses import NTXentLoss, SelfSupervisedLoss

from sslkit.losses import (
    contrastive,
    nt_xent,
    nt_xent_references,
)

TEMPERATURES = [0.05, 0.1, 0.5, 2.0]


@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize(("B", "D"), SHAPES)
def test_nt_xent_equals_the_papers_loop(B, D, temperature):
    for seed in range(3):
        z1, z2 = pair(B, D, seed=seed)
        close(nt_xent(z1, z2, temperature=temperature), reference.nt_xent(z1.numpy(), z2.numpy(), temperature))


@pytest.mark.parametrize("B", [9, 12])
def test_nt_xent_of_many_rows_is_the_same_loss_with_the_same_gradient(monkeypatch, B):
    z1, z2 = pair(B, 5)
    whole, expected = nt_xent(z1, z2), gradients(nt_xent, z1, z2)
    monkeypatch.setattr(contrastive, "DENSE", 2 * B - 1)
    monkeypatch.setattr(contrastive, "ROWS", 8)  # the last part is shorter, or not
    close(nt_xent(z1, z2), whole)
    for got, want in zip(gradients(nt_xent, z1, z2), expected):
        close(got, want)


def test_nt_xent_never_holds_the_whole_matrix_beyond_dense(monkeypatch):
    monkeypatch.setattr(contrastive, "DENSE", 100)
    monkeypatch.setattr(contrastive, "ROWS", 16)

    class Largest(torch.utils._python_dispatch.TorchDispatchMode):
        seen = 0

        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            out = function(*args, **(kwargs or {}))
            if isinstance(out, torch.Tensor):
                self.seen = max(self.seen, out.numel())
            return out

    z1, z2 = (torch.randn(64, 4, requires_grad=True) for _ in range(2))
    with Largest() as largest:
        nt_xent(z1, z2).backward()
    assert largest.seen == 128 * 16


def test_nt_xent_of_many_rows_in_half_precision(monkeypatch):
    """Sums stay in float32: as near to the truth as the dense form is."""
    z1, z2 = (z.bfloat16() for z in pair(64, 8))
    exact = gradients(nt_xent, z1.double(), z2.double())
    apart = lambda: max((a.double() - b).norm() / b.norm() for a, b in zip(gradients(nt_xent, z1, z2), exact))
    dense = apart()
    monkeypatch.setattr(contrastive, "DENSE", 100)
    monkeypatch.setattr(contrastive, "ROWS", 16)
    assert gradients(nt_xent, z1, z2)[0].dtype == torch.bfloat16
    assert apart() < 1.5 * dense


def test_nt_xent_default_temperature_is_one_half():
    z1, z2 = pair(5, 8)
    close(nt_xent(z1, z2), reference.nt_xent(z1.numpy(), z2.numpy(), 0.5))


@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize(("B", "D"), [(2, 3), (5, 8), (7, 5)])
def test_nt_xent_gradient_equals_the_closed_form(B, D, temperature):
    z1, z2 = pair(B, D)
    expected = reference.nt_xent_gradient(z1.numpy(), z2.numpy(), temperature)
    for got, want in zip(gradients(lambda a, b: nt_xent(a, b, temperature=temperature), z1, z2), expected):
        assert got.abs().max() > 1e-6  # both views learn
        close(got, want)


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_nt_xent_equals_pytorch_metric_learning_and_lightly(temperature):
    z1, z2 = pair(9, 6)
    ours = lambda a, b: nt_xent(a, b, temperature=temperature)
    for oracle in (SelfSupervisedLoss(NTXentLoss(temperature=temperature)), LightlyNTXent(temperature=temperature)):
        close(ours(z1, z2), oracle(z1, z2))
        for got, want in zip(gradients(ours, z1, z2), gradients(oracle, z1, z2)):
            close(got, want)


@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize("n", [2, 3, 8, 256])
def test_nt_xent_references_are_what_nt_xent_gives(n, temperature):
    values = nt_xent_references(n, temperature=temperature)
    same = torch.ones(n, 4, dtype=torch.float64)
    close(nt_xent(same, same, temperature=temperature), values["collapsed"])
    close(values["collapsed"], math.log(2 * n - 1))
    axes = torch.eye(n, dtype=torch.float64)
    close(nt_xent(axes, axes, temperature=temperature), values["orthogonal"])
    corners = simplex(n)
    close(nt_xent(corners, corners, temperature=temperature), values["bound"])
    assert values["bound"] < values["orthogonal"] < values["collapsed"]


def test_nt_xent_references_known_numbers():
    assert nt_xent_references(256)["collapsed"] == pytest.approx(6.236, abs=5e-4)
    assert nt_xent_references(512)["collapsed"] == pytest.approx(6.930, abs=5e-4)
    assert nt_xent_references(256)["orthogonal"] == pytest.approx(4.249, abs=5e-4)
    assert nt_xent_references(512)["orthogonal"] == pytest.approx(4.937, abs=5e-4)
    assert nt_xent_references(256, temperature=0.1)["orthogonal"] == pytest.approx(0.023, abs=5e-4)
    assert nt_xent_references(2, temperature=0.5)["bound"] == pytest.approx(math.log(1 + 2 * math.exp(-4)))
    assert nt_xent_references(256, temperature=0.001)["orthogonal"] == 0  # no overflow


@given(
    n=st.integers(2, 12),
    D=st.integers(1, 12),
    shared=st.floats(0, 100),
    temperature=st.floats(0.02, 10),
    seed=st.integers(0, 2**31),
)
@settings(max_examples=100, deadline=None)
def test_nt_xent_stays_within_its_range(n, D, shared, temperature, seed):
    z1, z2 = pair(n, D, seed=seed, shared=shared)
    loss = nt_xent(z1, z2, temperature=temperature).item()
    bound = nt_xent_references(n, temperature=temperature)["bound"]
    assert bound - 1e-9 <= loss <= 2 / temperature + math.log(2 * n - 1)


def test_nt_xent_bound_is_reached_only_with_enough_dimensions():
    n, bound = 6, nt_xent_references(6)["bound"]
    best = {}
    for D in (2, n - 1):
        z = torch.cat(pair(n, D)).requires_grad_()
        optimiser = torch.optim.LBFGS([z], max_iter=200, line_search_fn="strong_wolfe")

        def step(z=z, optimiser=optimiser):
            optimiser.zero_grad()
            loss = nt_xent(z[:n], z[n:])
            loss.backward()
            return loss

        optimiser.step(step)
        best[D] = nt_xent(z[:n], z[n:]).item()
    assert best[n - 1] == pytest.approx(bound, abs=1e-5)
    assert best[2] > bound + 0.05


def test_nt_xent_does_not_see_order_rotation_or_length():
    z1, z2 = pair(7, 5)
    loss = nt_xent(z1, z2)
    order = torch.randperm(7, generator=torch.Generator().manual_seed(1))
    lengths = torch.logspace(-3, 3, 7, dtype=torch.float64)[:, None]
    close(nt_xent(z1[order], z2[order]), loss)
    close(nt_xent(z2, z1), loss)
    close(nt_xent(z1 @ rotation(5), z2 @ rotation(5)), loss)
    close(nt_xent(z1 * lengths, z2 * lengths.flip(0)), loss)
    assert abs(nt_xent(z1, z2[order]) - loss) > 0.01  # but it does see who belongs to whom


@pytest.mark.parametrize("temperature", [0.1, 0.01, 0.005])
def test_nt_xent_at_extreme_temperature(temperature):
    z1, z2 = pair(16, 8, dtype=torch.float32)
    expected = reference.nt_xent(z1.double().numpy(), z2.double().numpy(), temperature)
    close(nt_xent(z1, z2, temperature=temperature), expected, rtol=1e-4)
    same = torch.eye(16, 16)  # a perfect loss of practically 0 must neither vanish into NaN nor go below 0
    assert 0 <= nt_xent(same, same, temperature=temperature) < 0.01
    worst = nt_xent(same, -same, temperature=temperature)  # every partner opposite: about 1 / temperature
    close(worst, reference.nt_xent(same.numpy(), -same.numpy(), temperature), rtol=1e-5)
    one, all_others = torch.tensor([[1.0], [-1.0]]), torch.tensor([[-1.0], [-1.0]])  # one view opposite to all others
    alone = nt_xent(one, all_others, temperature=temperature)
    close(alone, reference.nt_xent(one.numpy(), all_others.numpy(), temperature), rtol=1e-5)
    for gradient in gradients(lambda a, b: nt_xent(a, b, temperature=temperature), z1, z2):
        assert gradient.isfinite().all()


def test_nt_xent_zero_vectors_have_no_direction_and_no_gradient():
    z1, z2 = pair(5, 4)
    z1[1], z2[1], z2[3] = 0, 0, 0
    for dtype, rtol in ((torch.float64, 1e-10), (torch.float32, 1e-5), (torch.float16, 1e-2)):
        a, b = z1.to(dtype), z2.to(dtype)
        close(nt_xent(a, b), reference.nt_xent(z1.numpy(), z2.numpy(), 0.5), rtol=rtol)
        g1, g2 = gradients(nt_xent, a, b)
        assert (g1[1] == 0).all()
        assert (g2[1] == 0).all()
        assert (g2[3] == 0).all()
        for gradient, rows in ((g1, [0, 2, 3, 4]), (g2, [0, 2, 4])):
            assert gradient.isfinite().all()
            assert (gradient[rows].abs().sum(dim=1) > 0).all()
            assert gradient.abs().max() < 10
    zeros = torch.zeros(4, 3)
    close(nt_xent(zeros, zeros), math.log(7), rtol=1e-6)
    assert all((gradient == 0).all() for gradient in gradients(nt_xent, zeros, zeros))


@pytest.mark.parametrize("length", [1e-30, 1e-12, 1e-9, 1e-7])
def test_nt_xent_gradient_of_tiny_vectors_is_bounded(length):
    z1, z2 = pair(4, 3, dtype=torch.float32)
    z1[0] *= length
    assert nt_xent(z1, z2).isfinite()
    for gradient in gradients(nt_xent, z1, z2):
        assert gradient.isfinite().all()
        assert gradient.abs().max() <= 1e8


def test_nt_xent_half_precision_survives_lengths_that_overflow_or_underflow_there():
    z1, z2 = pair(6, 64, dtype=torch.float32)
    expected = nt_xent(z1, z2)
    for scale in (1e4, 1e-3):  # squared: 1e8 and 1e-6, float16 ends at 65504 and 6e-8
        a, b = (z1 * scale).half(), (z2 * scale).half()
        close(nt_xent(a, b), expected, rtol=1e-2)


def test_nt_xent_lets_nan_through():
    z1, z2 = pair(4, 3)
    z1[2, 1] = torch.nan
    assert nt_xent(z1, z2).isnan()  # hiding a diverged run would be worse


def test_a_temperature_can_be_learned_with_many_views_too():
    gradients = []
    for n in (16, 600):  # below and above the views whose cosines are held at once
        z1, z2 = pair(n, 8)
        t = torch.tensor(0.5, dtype=z1.dtype, requires_grad=True)
        nt_xent(z1, z2, temperature=t).backward()
        near = [nt_xent(z1, z2, temperature=0.5 + e).item() for e in (-1e-3, 1e-3)]
        gradients.append((t.grad.item(), (near[1] - near[0]) / 2e-3))
    for found, expected in gradients:
        assert found == pytest.approx(expected, rel=1e-3)

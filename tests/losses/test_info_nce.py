"""InfoNCE with and without given negatives, against its loop, closed forms, and another library."""

from __future__ import annotations

import math
import re

import info_nce as oracle
import pytest
import reference
import torch
from pairs import SHAPES, close, gradients, pair, rotation
from pytorch_metric_learning.losses import NTXentLoss

from sslkit.losses import info_nce, info_nce_references, nt_xent

TEMPERATURES = [0.05, 0.2, 1.0]


def queue(K, D, seed=7):
    return torch.randn(K, D, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize(("B", "D"), [(1, 1), (1, 4), *SHAPES])
def test_equals_the_loop(B, D, temperature):
    q, k = pair(B, D)
    for K in (1, 3, 10):
        got = info_nce(q, k, queue(K, D), temperature=temperature)
        close(got, reference.info_nce(q.numpy(), k.numpy(), queue(K, D).numpy(), temperature))
    if B > 1:
        close(info_nce(q, k, temperature=temperature), reference.info_nce(q.numpy(), k.numpy(), None, temperature))


def test_default_temperature_is_mocos():
    q, k = pair(5, 8)
    close(info_nce(q, k), reference.info_nce(q.numpy(), k.numpy(), None, 0.07))


@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize("K", [None, 1, 20])
def test_equals_info_nce_pytorch(K, temperature):
    q, k = pair(9, 6)
    negatives = None if K is None else queue(K, 6)
    ours = lambda q, k: info_nce(q, k, negatives, temperature=temperature)
    theirs = lambda q, k: oracle.info_nce(q, k, negatives, temperature=temperature, negative_mode="unpaired")
    close(ours(q, k), theirs(q, k))
    for got, want in zip(gradients(ours, q, k), gradients(theirs, q, k)):
        close(got, want)


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_equals_pytorch_metric_learning_with_the_queue_as_reference_set(temperature):
    q, k = pair(6, 4)
    labels, negatives = torch.arange(6), queue(9, 4)
    ref = torch.cat([k, negatives])
    ref_labels = torch.cat([labels, torch.arange(100, 109)])  # but there the other keys of the batch are negatives, too
    close(
        torch.stack([info_nce(q[i : i + 1], k[i : i + 1], torch.cat([k[:i], k[i + 1 :], negatives]),
                              temperature=temperature) for i in range(6)]).mean(),
        NTXentLoss(temperature=temperature)(q, labels, ref_emb=ref, ref_labels=ref_labels),
    )  # fmt: skip


@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize("K", [1, 7, 64])
def test_references_are_what_it_gives(K, temperature):
    values = info_nce_references(K, temperature=temperature)
    same = torch.ones(3, 4, dtype=torch.float64)
    close(info_nce(same, same, same[:1].expand(K, 4), temperature=temperature), values["collapsed"])
    close(values["collapsed"], math.log(K + 1))
    x, y = torch.eye(2, dtype=torch.float64)[:, None]
    close(info_nce(x, x, y.expand(K, 2), temperature=temperature), values["orthogonal"])
    axes = torch.eye(K + 1, dtype=torch.float64)  # without negatives: K + 1 keys of one batch
    close(info_nce(axes, axes, temperature=temperature), values["orthogonal"])


def test_references_known_numbers():
    assert info_nce_references(65536)["collapsed"] == pytest.approx(11.0904, abs=5e-4)
    assert info_nce_references(4096, temperature=0.2)["collapsed"] == pytest.approx(math.log(4097))
    assert info_nce_references(4096, temperature=0.0005)["orthogonal"] == 0  # no overflow


def test_one_direction_only():
    q, k = pair(5, 4)
    assert (info_nce(q, k) - info_nce(k, q)).abs() > 1e-3
    assert (info_nce(q, k, temperature=0.5) - nt_xent(q, k, temperature=0.5)).abs() > 0.1
    order = torch.randperm(5, generator=torch.Generator().manual_seed(1))
    close(info_nce(q[order], k[order]), info_nce(q, k))
    assert (info_nce(q, k[order]) - info_nce(q, k)).abs() > 0.01


def test_does_not_see_rotation_length_or_the_order_of_negatives():
    q, k = pair(7, 5)
    negatives, turn = queue(9, 5), rotation(5)
    loss = info_nce(q, k, negatives)
    lengths = torch.logspace(-3, 3, 9, dtype=torch.float64)[:, None]
    close(info_nce(q @ turn, k @ turn, negatives @ turn), loss)
    close(info_nce(q * lengths[:7], k, negatives * lengths), loss)
    close(info_nce(q, k, negatives.flip(0)), loss)


def test_gradcheck_negatives():
    q, k = pair(3, 4, requires_grad=True)
    negatives = queue(5, 4).requires_grad_()
    assert torch.autograd.gradcheck(lambda *x: info_nce(*x, temperature=0.3), (q, k, negatives))


@pytest.mark.parametrize("temperature", [0.1, 0.01, 0.001])
def test_extreme_temperature_and_zero_rows(temperature):
    q, k = pair(16, 8, dtype=torch.float32)
    q[2], k[3] = 0, 0
    negatives = queue(20, 8).float()
    negatives[4] = 0
    for some in (negatives, None):
        got = info_nce(q, k, some, temperature=temperature)
        want = reference.info_nce(q.numpy(), k.numpy(), None if some is None else some.numpy(), temperature)
        close(got, want, rtol=1e-4)
        for gradient, zero in zip(gradients(lambda a, b, some=some: info_nce(a, b, some), q, k), (2, 3)):
            assert gradient.isfinite().all()
            assert (gradient[zero] == 0).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_queries_meet_a_float32_queue(dtype):
    q, k = pair(6, 8, dtype=dtype)
    value = info_nce(q, k, queue(12, 8).float())
    assert value.dtype == torch.float32
    close(value, info_nce(q.double(), k.double(), queue(12, 8)), rtol=1e-4)


@pytest.mark.parametrize("shape", [(), (4,), (0, 3), (4, 2), (4, 3, 1)])
def test_negatives_of_another_shape_are_refused(shape):
    with pytest.raises(ValueError, match=re.escape(f"negatives must be (K, 3) with K >= 1, got {shape}.")):
        info_nce(*pair(4, 3), torch.ones(shape))


def test_bad_input_is_named():
    q, k = pair(4, 3)
    with pytest.raises(TypeError, match="negatives must be float tensors"):
        info_nce(q, k, torch.ones(2, 3, dtype=torch.long))
    with pytest.raises(ValueError, match=r"got queries \(4, 3\) and keys \(3, 3\)"):
        info_nce(q, k[:3])
    with pytest.raises(ValueError, match=r"B must be at least 2 .*\(1, 3\)"):
        info_nce(q[:1], k[:1])
    with pytest.raises(ValueError, match=r"temperature must be .* got 0"):
        info_nce(q, k, temperature=0)
    with pytest.raises(ValueError, match="n_negatives must be at least 1, got 0"):
        info_nce_references(0)
    with pytest.raises(TypeError):
        info_nce(q, k, None, 0.5)

"""Distillation losses against independent references, closed forms, invariances and other libraries."""

from __future__ import annotations

import math
import re

import pytest
import reference
import torch
import torch.nn.functional as F
from lightly.loss import DINOLoss, NegativeCosineSimilarity, SwaVLoss
from lightly.loss.swav_loss import sinkhorn as lightly_sinkhorn
from pairs import SHAPES, close, gradients, pair, rotation

from sslkit.losses import cosine_distance, self_distillation, sinkhorn, swapped_prediction


def scores(V, B, K, seed=0, scale=1.0):
    """V views of B images against K prototypes."""
    x = torch.randn(V, B, K, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return list(scale * x)


def arrays(tensors):
    return [x.numpy() for x in tensors]


# --- cosine distance ---


@pytest.mark.parametrize(("B", "D"), [(1, 1), (1, 4), *SHAPES])
def test_cosine_distance_equals_the_loop(B, D):
    p, z = pair(B, D)
    close(cosine_distance(p, z), reference.cosine_distance(p.numpy(), z.numpy()))


def test_cosine_distance_equals_lightly_and_torch():
    p, z = pair(9, 6)
    for oracle in (NegativeCosineSimilarity(), lambda p, z: -F.cosine_similarity(p, z).mean()):
        close(cosine_distance(p, z), oracle(p, z))
        for got, want in zip(gradients(cosine_distance, p, z), gradients(oracle, p, z)):
            close(got, want)


def test_byol_is_four_plus_four_times_simsiam():
    p1, p2 = pair(7, 5)
    t1, t2 = pair(7, 5, seed=1)
    simsiam = (cosine_distance(p1, t2) + cosine_distance(p2, t1)) / 2
    close(4 + 4 * simsiam, reference.byol(p1.numpy(), p2.numpy(), t1.numpy(), t2.numpy()))


def test_cosine_distance_range_and_invariances():
    p, z = pair(6, 4)
    loss, lengths = cosine_distance(p, z), torch.logspace(-3, 3, 6, dtype=torch.float64)[:, None]
    close(cosine_distance(z, z), -1)
    close(cosine_distance(z, -z), 1)
    close(cosine_distance(p * lengths, z * lengths.flip(0)), loss)
    close(cosine_distance(p @ rotation(4), z @ rotation(4)), loss)
    close(cosine_distance(z, p), loss)
    same = torch.ones(6, 4)
    close(cosine_distance(same, same), -1, rtol=1e-6)  # collapsed, and as good as it gets


def test_cosine_distance_leaves_the_stop_gradient_to_the_caller():
    p, z = pair(5, 3)
    both, one = gradients(cosine_distance, p, z), gradients(lambda p: cosine_distance(p, z.detach()), p)
    close(both[0], one[0])
    assert (both[1].abs().sum(dim=1) > 0).all()


def test_cosine_distance_zero_and_tiny_rows():
    p, z = pair(5, 4, dtype=torch.float32)
    p[1], z[3], p[4] = 0, 0, 1e-30
    close(cosine_distance(p, z), reference.cosine_distance(p.numpy(), z.numpy() * (p.abs().sum(1) > 1e-8).numpy()[:, None]),
          rtol=1e-5)  # fmt: skip
    for gradient, zero in zip(gradients(cosine_distance, p, z), (1, 3)):
        assert gradient.isfinite().all()
        assert (gradient[zero] == 0).all()


# --- sinkhorn ---


@pytest.mark.parametrize("iterations", [1, 3, 10])
@pytest.mark.parametrize(("B", "K"), [(1, 1), (1, 5), (4, 1), (3, 7), (12, 5)])
def test_sinkhorn_equals_the_authors_code(B, K, iterations):
    for epsilon in (0.02, 0.05, 1.0):
        x = scores(1, B, K, scale=0.3)[0]
        close(
            sinkhorn(x, epsilon=epsilon, iterations=iterations),
            reference.sinkhorn(x.numpy(), epsilon, iterations),
            rtol=1e-9,
        )


def test_sinkhorn_defaults_equal_lightly():
    x = scores(1, 9, 6, scale=0.3)[0]
    close(sinkhorn(x), lightly_sinkhorn(x))
    close(sinkhorn(x), reference.sinkhorn(x.numpy()))


def test_sinkhorn_balances_both_sides():
    x = scores(1, 20, 5, scale=0.1)[0]
    codes = sinkhorn(x, iterations=300)
    close(codes.sum(dim=1), torch.ones(20))
    close(codes.sum(dim=0), torch.full((5,), 20 / 5), rtol=1e-6)
    rough = sinkhorn(x)  # three iterations: rows exact, columns roughly
    close(rough.sum(dim=1), torch.ones(20))
    assert 1e-6 < (rough.sum(dim=0) - 4).abs().max() < 1


def test_sinkhorn_closed_forms():
    close(sinkhorn(torch.zeros(6, 4)), torch.full((6, 4), 0.25), rtol=1e-6)
    hard = sinkhorn(torch.eye(5, dtype=torch.float64))
    close(hard, torch.eye(5), atol=1e-6)
    one_for_all = torch.zeros(4, 2, dtype=torch.float64)
    one_for_all[:, 0] = 1  # the same favourite for all images: codes cannot all follow it
    close(sinkhorn(one_for_all), torch.full((4, 2), 0.5))


def test_sinkhorn_does_not_see_a_constant_and_follows_the_order():
    x = scores(1, 7, 4, scale=0.3)[0]
    codes = sinkhorn(x)
    close(sinkhorn(x + 3), codes)
    close(sinkhorn(x.flip(0)), codes.flip(0))
    close(sinkhorn(x.flip(1)), codes.flip(1))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_sinkhorn_does_not_overflow_where_the_exponential_does(dtype):
    x = scores(1, 8, 4, scale=10.0)[0].to(dtype)
    assert not (x.float() / 0.05).exp().isfinite().all()
    codes = sinkhorn(x)
    assert codes.dtype == torch.float32
    close(codes, sinkhorn(x.double()), rtol=1e-3, atol=1e-5)
    close(codes.sum(dim=1), torch.ones(8), rtol=1e-5)
    assert sinkhorn(x, epsilon=1e-4).isfinite().all()


def test_sinkhorn_has_no_gradient_and_changes_nothing():
    x = scores(1, 4, 3)[0].requires_grad_()
    before = x.detach().clone()
    assert not sinkhorn(x).requires_grad
    assert torch.equal(x.detach(), before)
    assert sinkhorn(torch.empty(4, 3, device="meta")).shape == (4, 3)


# --- swapped prediction and self-distillation ---


@pytest.mark.parametrize(("T", "V"), [(1, 2), (2, 2), (2, 6), (3, 4)])
@pytest.mark.parametrize(("B", "K"), [(1, 2), (3, 5), (6, 4)])
def test_swapped_prediction_equals_the_loop_and_lightly(B, K, T, V):
    x = scores(V, B, K, scale=0.3)
    codes = [sinkhorn(view) for view in x[:T]]
    for temperature in (0.05, 0.1, 1.0):
        expected = reference.swapped_prediction(arrays(x), arrays(codes), temperature)
        close(swapped_prediction(x, codes, temperature=temperature), expected)
    if T > 1:
        close(swapped_prediction(x, codes), SwaVLoss()(x[:T], x[T:])[0])  # their codes are those of all large views


@pytest.mark.parametrize(("T", "V"), [(1, 2), (2, 2), (2, 6), (3, 4)])
@pytest.mark.parametrize(("B", "K"), [(1, 2), (3, 5), (6, 4)])
def test_self_distillation_equals_the_loop_and_lightly(B, K, T, V):
    s, t = scores(V, B, K, scale=0.3), scores(T, B, K, seed=1, scale=0.3)
    centre = torch.linspace(-0.2, 0.3, K, dtype=torch.float64)
    for tau_s, tau_t in ((0.1, 0.04), (0.2, 0.07), (1.0, 1.0)):
        got = self_distillation(s, t, centre, student_temperature=tau_s, teacher_temperature=tau_t)
        close(got, reference.self_distillation(arrays(s), arrays(t), centre.numpy(), tau_s, tau_t))
    lightly = DINOLoss(output_dim=K)
    lightly.center = centre[None, None]
    close(self_distillation(s, t, centre), lightly(t, s), rtol=1e-6)  # their temperature is a float32 tensor


def test_collapsed_values_are_the_logarithm_of_k():
    for K in (2, 512, 3000):
        same = [torch.full((4, K), 0.7)] * 3
        close(swapped_prediction(same, [sinkhorn(same[0])] * 2), math.log(K), rtol=1e-5)
        close(self_distillation(same, same[:2], same[0][0]), math.log(K), rtol=1e-5)
    assert math.log(3000) == pytest.approx(8.006, abs=5e-4)
    assert math.log(65536) == pytest.approx(11.0904, abs=5e-4)


def test_a_view_is_never_compared_with_itself():
    s, t = scores(3, 4, 5), scores(2, 4, 5, seed=1)
    for loss in (lambda s, t: self_distillation(s, t, torch.zeros(5)), swapped_prediction):
        two, only_second = loss(s, t), loss(s[:2], t[:1])
        close(only_second, loss([10 * s[1], s[1]], t[:1]))  # view 0 itself is not in it
        assert (two - only_second).abs() > 1e-3


def test_one_hot_targets_are_plain_cross_entropy():
    x = scores(2, 6, 4)
    labels = torch.tensor([0, 3, 1, 1, 2, 0])
    codes = [F.one_hot(labels, 4).double()]
    close(swapped_prediction(x, codes, temperature=1.0), F.cross_entropy(x[1], labels))
    sure = 1000.0 * codes[0]
    close(self_distillation(x, [sure], torch.zeros(4), student_temperature=1.0), F.cross_entropy(x[1], labels))


def test_the_centre_is_taken_off_the_teacher_only():
    s, t = scores(2, 4, 5), scores(2, 4, 5, seed=1)
    centre = torch.linspace(-1, 1, 5, dtype=torch.float64)
    close(self_distillation(s, [x + centre for x in t], centre), self_distillation(s, t, 0 * centre))
    close(self_distillation(s, t, centre + 3), self_distillation(s, t, centre))  # a constant changes no softmax


def test_gradcheck():
    s, t = (
        (x.requires_grad_() for x in scores(2, 3, 4, scale=0.1)),
        [x.requires_grad_() for x in scores(2, 3, 4, 1, 0.1)],
    )
    centre = torch.zeros(4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda a, b, c, d, e: self_distillation([a, b], [c, d], e), (*s, *t, centre))
    assert torch.autograd.gradcheck(lambda a, b, c, d: swapped_prediction([a, b], [c, d]), (*t, *t))


@pytest.mark.parametrize("temperature", [1e-3, 1e-2, 100.0])
def test_extreme_temperatures(temperature):
    s, t = ([x.float() for x in scores(2, 5, 6, seed)] for seed in range(2))
    for loss in (
        lambda a, b: swapped_prediction([a, b], [sinkhorn(x, epsilon=temperature) for x in t], temperature=temperature),
        lambda a, b: self_distillation(
            [a, b], t, torch.zeros(6), student_temperature=temperature, teacher_temperature=temperature
        ),
    ):
        assert loss(*s).isfinite()
        assert all(gradient.isfinite().all() for gradient in gradients(loss, *s))


def test_bad_input_is_named():
    good = torch.ones(4, 3)
    with pytest.raises(TypeError, match="scores must be a list, one"):
        swapped_prediction(good, [good])
    with pytest.raises(TypeError, match="codes must be float tensors"):
        swapped_prediction([good, good], [good.long()])
    with pytest.raises(ValueError, match=re.escape("got {'scores': [(4, 3), (4, 2)], 'codes': [(4, 3)]}")):
        swapped_prediction([good, good[:, :2]], [good])
    for s, t in (([], [good]), ([good, good], []), ([], [])):
        with pytest.raises(ValueError, match="at least one each"):
            self_distillation(s, t, torch.zeros(3))
    for s, t in (([good], [good]), ([good, good], [good] * 3)):
        with pytest.raises(ValueError, match=f"got {len(t)} targets and {len(s)} predictions"):
            self_distillation(s, t, torch.zeros(3))
    with pytest.raises(ValueError, match=re.escape("centre must be (K,) = (3,), got (1, 3).")):
        self_distillation([good, good], [good], torch.zeros(1, 3))
    with pytest.raises(ValueError, match=re.escape("got {'scores': [(3,)]}")):
        sinkhorn(torch.ones(3))
    with pytest.raises(ValueError, match=r"got p \(4, 3\) and z \(3, 3\)"):
        cosine_distance(good, good[:3])


@pytest.mark.parametrize("value", [0, -1.0, math.nan, math.inf])
def test_hyper_parameters_must_be_positive(value):
    good, centre = torch.ones(4, 3), torch.zeros(3)
    for name, call in {
        "temperature": lambda: swapped_prediction([good, good], [good], temperature=value),
        "student_temperature": lambda: self_distillation([good, good], [good], centre, student_temperature=value),
        "teacher_temperature": lambda: self_distillation([good, good], [good], centre, teacher_temperature=value),
        "epsilon": lambda: sinkhorn(good, epsilon=value),
        "iterations": lambda: sinkhorn(good, iterations=value),
    }.items():
        with pytest.raises(ValueError, match=rf"^{name} must be .* greater than 0, got {value}\."):
            call()

"""Losses on a critic's scores against loops, closed forms, invariances and other libraries."""

from __future__ import annotations

import math

import numpy as np
import pytest
import reference
import torch
import torch.nn.functional as F
from info_nce import InfoNCE
from pairs import close, gradients, pair

from sslkit.losses import critic_nce, discrimination


def square(B, *, seed=0, scale=2.0, dtype=torch.float64):
    return pair(B, B, seed=seed, scale=scale)[0].to(dtype)


@pytest.mark.parametrize(("yes", "no"), [((1,), (1,)), ((7,), (7,)), ((3,), (5, 2)), ((2, 2), (9,))])
def test_discrimination_equals_its_loop_and_torch(yes, no):
    a, b = pair(1, math.prod(yes))[0].view(yes), 3 * pair(1, math.prod(no), seed=1)[0].view(no)
    close(discrimination(a, b), reference.discrimination(a.numpy(), b.numpy()))
    entropy = F.binary_cross_entropy_with_logits
    close(discrimination(a, b), (entropy(a, torch.ones_like(a)) + entropy(b, torch.zeros_like(b))) / 2)


def test_fooling_keeps_a_gradient_when_the_judge_is_sure():
    fake = torch.full((4,), -30.0, dtype=torch.float64)
    saturating, not_saturating = (
        gradients(lambda x: -discrimination(-x, x), fake)[0],
        gradients(lambda x: discrimination(x, -x), fake)[0],
    )
    assert saturating.abs().max() < 1e-12
    close(not_saturating, torch.full((4,), -0.25))  # -½ / B for each of the two halves
    assert (saturating < 0).all()  # the same direction


def test_discrimination_in_closed_form():
    zero = torch.zeros(4, dtype=torch.float64)
    close(discrimination(zero, zero), math.log(2))
    one = torch.ones(4, dtype=torch.float64)
    assert discrimination(one, one) > math.log(2)  # who says the same of both cannot do better than ln 2
    assert discrimination(one, -one) < math.log(2) < discrimination(-one, one)
    a, b = pair(5, 1)
    g1, g2 = gradients(discrimination, a, b)
    close(g1, (a.sigmoid() - 1) / 10)
    close(g2, b.sigmoid() / 10)


def test_discrimination_of_extreme_scores():
    far = torch.tensor([1e4, -1e4], dtype=torch.float32)
    close(discrimination(far, far), 5000.0, rtol=1e-6)  # half of the scores are wrong on either side, by 1e4
    assert all(gradient.isfinite().all() for gradient in gradients(discrimination, far, far))


@pytest.mark.parametrize("B", [2, 3, 7, 16])
def test_critic_nce_equals_its_loop_and_info_nce(B):
    for seed in range(3):
        scores = square(B, seed=seed)
        close(critic_nce(scores), reference.critic_nce(scores.numpy()))
    z1, z2 = (F.normalize(z, dim=1) for z in pair(B, 4))
    one_way = InfoNCE(temperature=0.3)  # cosine, the other rows of the second argument are the negatives
    close(critic_nce(z1 @ z2.T / 0.3), (one_way(z1, z2) + one_way(z2, z1)) / 2)


@pytest.mark.parametrize("B", [2, 5, 64])
def test_critic_nce_in_closed_form(B):
    close(critic_nce(torch.full((B, B), 3.0, dtype=torch.float64)), math.log(B))
    eye = torch.eye(B, dtype=torch.float64)
    close(critic_nce(5 * eye), math.log1p((B - 1) * math.exp(-5)))
    scores = square(B)
    (gradient,) = gradients(critic_nce, scores)
    close(gradient, (scores.softmax(0) + scores.softmax(1) - 2 * eye) / (2 * B))


def test_critic_nce_invariances():
    scores = square(6)
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    close(critic_nce(scores[order][:, order]), critic_nce(scores))  # pairs in another order
    close(critic_nce(scores.T), critic_nce(scores))  # views swapped
    close(critic_nce(scores + 7), critic_nce(scores))
    assert critic_nce(scores[order]) != critic_nce(scores)  # other partners are another task


def test_critic_nce_of_extreme_scores():
    for scale in (1e4, -1e4):
        scores = scale * torch.eye(5)
        assert critic_nce(scores).isfinite()
        assert gradients(critic_nce, scores)[0].isfinite().all()
    close(critic_nce(1e4 * torch.eye(5)), 0.0)


def test_gradcheck_dtype_and_purity():
    scores = square(4).requires_grad_()
    assert torch.autograd.gradcheck(critic_nce, scores)
    for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
        half = square(8, dtype=dtype)
        before, value = half.clone(), critic_nce(half)
        assert value.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
        close(value, critic_nce(half.double()), rtol=1e-5)
        assert torch.equal(half, before)
        assert gradients(critic_nce, half)[0].dtype == dtype


@pytest.mark.parametrize("shape", [(), (4,), (1, 1), (3, 4), (0, 0), (2, 2, 2)])
def test_critic_nce_needs_a_square(shape):
    with pytest.raises(ValueError, match=r"scores must be \(B, B\), .* got \("):
        critic_nce(torch.ones(shape))


def test_bad_scores():
    for bad in (torch.ones(3, 3, dtype=torch.int64), np.ones((3, 3)), None):
        with pytest.raises(TypeError, match="must be float tensors, got"):
            critic_nce(bad)
    for yes, no in ((0, 3), (3, 0)):
        with pytest.raises(ValueError, match=rf"at least one score each; got yes \({yes},\) and no \({no},\)"):
            discrimination(torch.ones(yes), torch.ones(no))

"""Generative losses against independent references, closed forms, invariances and torch.distributions."""

from __future__ import annotations

import copy
import itertools
import math
import re

import pytest
import reference
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from pairs import SHAPES, close, gradients, pair
from torch._subclasses.fake_tensor import FakeTensorMode

from sslkit.losses import (
    kl_to_standard_normal,
    masked_reconstruction,
    negative_elbo,
    reconstruction,
)


def images(B=3, C=2, H=3, W=4, *, seed=0):
    return torch.rand(2, B, C, H, W, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def masked(B=3, P=4, K=5, *, seed=0):
    """Prediction, target and a mask with one hidden patch more in each image."""
    prediction, target = torch.randn(2, B, P, K, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return prediction, target, torch.arange(P) <= torch.arange(B)[:, None] % P


# --- reconstruction ---


@pytest.mark.parametrize("pixels", ["mean", "sum"])
@pytest.mark.parametrize(("B", "D"), [(1, 1), *SHAPES])
def test_reconstruction_equals_the_loop(B, D, pixels):
    output, target = pair(B, D)
    close(reconstruction(output, target, pixels=pixels), reference.reconstruction(output, target, pixels))
    output, target = images(B, 3, 2, D)
    close(reconstruction(output, target, pixels=pixels), reference.reconstruction(output, target, pixels))


def test_reconstruction_by_hand_and_as_torch_has_it():
    output, target = torch.tensor([[0.0, 1.0], [2.0, 2.0]]), torch.tensor([[0.0, 0.0], [0.0, 1.0]])
    assert reconstruction(output, target) == (1 + 4 + 1) / 4
    assert reconstruction(output, target, pixels="sum") == (1 + 4 + 1) / 2  # C * H * W = 2 times as much
    output, target = images()
    close(reconstruction(output, target), F.mse_loss(output, target))
    close(reconstruction(output, target, pixels="sum"), F.mse_loss(output, target, reduction="sum") / len(target))


def test_reconstruction_is_zero_at_the_target_and_the_variance_when_all_outputs_are_equal():
    output, target = images(7)
    assert reconstruction(target, target) == 0
    close(reconstruction(target.mean(0).expand_as(target), target), target.var(0, unbiased=False).mean())
    close(reconstruction(output, target), reconstruction(target, output))
    rows = torch.tensor([3, 0, 6, 1, 5, 2, 4])
    close(reconstruction(output[rows], target[rows]), reconstruction(output, target))
    assert abs(reconstruction(output[rows], target) - reconstruction(output, target)) > 1e-3


def test_reconstruction_knows_two_conventions():
    with pytest.raises(ValueError, match=r"pixels is 'total'; it must be 'mean' or 'sum'"):
        reconstruction(*images(), pixels="total")


# --- the divergence from the standard normal ---


@pytest.mark.parametrize(("B", "D"), [(1, 1), *SHAPES])
def test_kl_equals_the_loop_and_torch_distributions(B, D):
    for seed, scale in itertools.product(range(2), (0.1, 1.0, 3.0)):
        mean, log_variance = pair(B, D, seed=seed, scale=scale)
        value = kl_to_standard_normal(mean, log_variance)
        close(value, reference.kl_to_standard_normal(mean.tolist(), log_variance.tolist()))
        q, p = torch.distributions.Normal(mean, (log_variance / 2).exp()), torch.distributions.Normal(0.0, 1.0)
        oracle = torch.distributions.kl_divergence(q, p)  # (B, D)
        assert oracle.dtype == torch.float64
        close(value, oracle.sum(dim=1).mean())


def test_kl_by_hand():
    zero = torch.zeros(3, 4)
    assert kl_to_standard_normal(zero, zero) == 0
    close(kl_to_standard_normal(zero + 3, zero), 4 * 4.5)  # ½ mean² in each of 4 dimensions
    close(kl_to_standard_normal(zero, zero + math.log(4)), 4 * (4 - math.log(4) - 1) / 2, rtol=1e-6)
    mean, log_variance = pair(5, 4)
    assert kl_to_standard_normal(mean, log_variance) > 0
    close(kl_to_standard_normal(-mean, log_variance), kl_to_standard_normal(mean, log_variance))
    twice = torch.cat((mean, mean), 1), torch.cat((log_variance, log_variance), 1)
    close(kl_to_standard_normal(*twice), 2 * kl_to_standard_normal(mean, log_variance))  # a sum over dimensions
    twice = torch.cat((mean, mean)), torch.cat((log_variance, log_variance))
    close(kl_to_standard_normal(*twice), kl_to_standard_normal(mean, log_variance))  # a mean over images


def test_kl_gradient_in_closed_form():
    mean, log_variance = pair(5, 4)
    got = gradients(kl_to_standard_normal, mean, log_variance)
    close(got[0], mean / 5)
    close(got[1], (log_variance.exp() - 1) / 10)


# --- the evidence lower bound ---


@pytest.mark.parametrize("sigma", [0.05, 1.0, 3.0])
@pytest.mark.parametrize("B", [1, 2, 5])
def test_negative_elbo_equals_the_loop(B, sigma):
    output, target = images(B)
    mean, log_variance = pair(B, 3)
    got = negative_elbo(output, target, mean, log_variance, sigma=sigma)
    expected = reference.negative_elbo(output, target, mean.tolist(), log_variance.tolist(), sigma)
    assert list(got) == list(expected) == ["loss", "reconstruction", "kl"]
    for name, value in got.items():
        close(value, expected[name])


def test_negative_elbo_is_the_likelihood_and_the_divergence_up_to_the_constant_it_states():
    sigma, (output, target), (mean, log_variance) = 0.3, images(4), pair(4, 3)
    pixels = torch.distributions.Normal(output, sigma).log_prob(target).flatten(1)
    q, p = torch.distributions.Normal(mean, (log_variance / 2).exp()), torch.distributions.Normal(0.0, 1.0)
    full = torch.distributions.kl_divergence(q, p).sum(1) - pixels.sum(1)  # (B,)
    constant = pixels.shape[1] * math.log(sigma * math.sqrt(2 * math.pi))
    close(negative_elbo(output, target, mean, log_variance, sigma=sigma)["loss"], full.mean() - constant)


def test_sigma_weighs_reconstruction_against_kl():
    (output, target), (mean, log_variance) = images(4), pair(4, 3)
    terms = negative_elbo(output, target, mean, log_variance, sigma=0.5)
    close(terms["loss"], 2 * terms["reconstruction"] + terms["kl"])
    beta = terms["reconstruction"] / 2 + 0.25 * terms["kl"]  # a beta-VAE of unit sigma with beta = 0.5²
    close(0.25 * terms["loss"], beta)


# --- hidden patches ---


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize(("B", "P", "K"), [(1, 1, 2), (2, 3, 4), (3, 5, 12), (7, 4, 3)])
def test_masked_reconstruction_equals_the_loop(B, P, K, normalize):
    for epsilon in (1e-6, 0.5):
        prediction, target, mask = masked(B, P, K)
        options = {"normalize": normalize, "epsilon": epsilon}
        expected = reference.masked_reconstruction(prediction.tolist(), target.tolist(), mask.tolist(), **options)
        for kind in (torch.bool, torch.int64, torch.float64):
            close(masked_reconstruction(prediction, target, mask.to(kind), **options), expected)


def test_masked_reconstruction_by_hand():
    target = torch.tensor([[[0.0, 2.0], [5.0, 5.0], [1.0, 3.0]]])  # var 2, unbiased: ±1 / √2; a flat patch becomes 0
    guess = torch.zeros(1, 3, 2)
    close(masked_reconstruction(guess, target, torch.tensor([[1, 0, 0]])), 0.5, rtol=1e-5)
    close(masked_reconstruction(guess, target, torch.tensor([[1, 1, 0]])), 0.25, rtol=1e-5)
    assert masked_reconstruction(guess, target, torch.tensor([[0, 1, 0]])) == 0
    assert masked_reconstruction(guess, target, torch.tensor([[0, 1, 0]]), normalize=False) == 25
    assert masked_reconstruction(guess, target, torch.zeros(1, 3)).isnan()


def test_visible_patches_do_not_matter_and_get_no_gradient():
    prediction, target, mask = masked()
    value = masked_reconstruction(prediction, target, mask)
    for change in (torch.inf, torch.nan, 1e30):
        spoiled = torch.where(mask[:, :, None], target, change), torch.where(mask[:, :, None], prediction, change)
        close(masked_reconstruction(prediction, spoiled[0], mask), value)
        close(masked_reconstruction(spoiled[1], target, mask), value)
    for gradient in gradients(lambda a, b: masked_reconstruction(a, b, mask), prediction, target):
        assert (gradient[~mask] == 0).all()
        assert (gradient[mask].abs().sum(1) > 0).all()


def test_normalised_targets_ignore_brightness_and_contrast():
    prediction, target, mask = masked(K=16)
    value = masked_reconstruction(prediction, target, mask, epsilon=1e-12)
    close(masked_reconstruction(prediction, 7 * target + 3, mask, epsilon=1e-12), value, rtol=1e-6)
    assert abs(masked_reconstruction(prediction, -target, mask) - value) > 0.1
    plain = [masked_reconstruction(prediction, t, mask, normalize=False) for t in (target, target + 3)]
    assert abs(plain[0] - plain[1]) > 0.1


def test_flat_guesses_cost_what_the_docstring_says_and_flat_patches_are_finite():
    _, target, mask = masked(K=16)
    close(masked_reconstruction(torch.zeros_like(target), target, mask), 15 / 16, rtol=1e-5)
    flat = torch.full_like(target, 0.3)
    for gradient in gradients(lambda a, b: masked_reconstruction(a, b, mask), torch.ones_like(flat), flat):
        assert gradient.isfinite().all()


def test_masked_reconstruction_gradcheck_and_inputs_left_alone():
    prediction, target, mask = masked(2, 3, 4)
    before = copy.deepcopy((prediction, target, mask))
    loss = lambda a, b, **k: masked_reconstruction(a, b, mask, **k)
    assert torch.autograd.gradcheck(loss, (prediction.requires_grad_(), target.requires_grad_()))
    assert torch.autograd.gradcheck(lambda a, b: loss(a, b, normalize=False), (prediction, target))
    assert all(torch.equal(a, b) for a, b in zip((prediction, target, mask), before))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_masked_reconstruction_in_half_precision(dtype):
    prediction, target, mask = masked(4, 5, 48)
    prediction, target = prediction.to(dtype), target.to(dtype)
    value = masked_reconstruction(prediction, target, mask)
    assert value.dtype == torch.float32
    close(value, masked_reconstruction(prediction.double(), target.double(), mask), rtol=1e-5)
    with torch.autocast("cpu", torch.bfloat16):
        close(masked_reconstruction(prediction.float(), target.float(), mask), value, rtol=1e-5)


def test_masked_reconstruction_on_devices_that_are_not_here():
    meta = torch.empty(3, 4, 5, device="meta", requires_grad=True)
    value = masked_reconstruction(meta, torch.empty(3, 4, 5, device="meta"), torch.empty(3, 4, device="meta"))
    assert torch.autograd.grad(value, meta)[0].device.type == "meta"
    with FakeTensorMode(), torch.device("cuda"):
        value = masked_reconstruction(torch.randn(3, 4, 5), torch.randn(3, 4, 5), torch.ones(3, 4, dtype=torch.bool))
    assert value.device.type == "cuda"


@pytest.mark.parametrize(
    ("shape", "mask"), [((3, 4), (3,)), ((3, 4, 1), (3, 4)), ((3, 4, 5), (3, 5)), ((3, 4, 5), (3, 4, 5))]
)
def test_masked_reconstruction_says_which_shapes_do_not_fit(shape, mask):
    got = f"got {shape} and {mask}."
    with pytest.raises(ValueError, match=r"target must be \(B, P, K >= 2\) and mask \(B, P\), " + re.escape(got)):
        masked_reconstruction(torch.ones(shape), torch.ones(shape), torch.ones(mask))


# --- bad input ---

PAIRS = {
    "output, target": reconstruction,
    "mean, log_variance": kl_to_standard_normal,
    "prediction, target": lambda a, b: masked_reconstruction(a, b, torch.ones(a.shape[:2])),
}
shapes = st.lists(st.integers(0, 4), min_size=0, max_size=4).map(tuple)


@pytest.mark.parametrize("names", PAIRS)
@given(first=shapes, second=shapes)
@settings(max_examples=60, deadline=None)
def test_any_shape_works_or_says_what_is_wrong(names, first, second):
    for other in (first, second):
        good = first == other and len(first) >= 2 and math.prod(first) > 0
        if good and (names != "prediction, target" or (len(first) == 3 and first[2] >= 2)):
            assert PAIRS[names](torch.ones(first), torch.ones(other)).isfinite()
            continue
        message = rf"^{names} must have one shape.*got {re.escape(str(first))} and {re.escape(str(other))}\."
        with pytest.raises(ValueError, match=r"target must be \(B, P" if good else message):
            PAIRS[names](torch.ones(first), torch.ones(other))


@pytest.mark.parametrize("value", [0, -1.0, math.nan, math.inf])
def test_hyper_parameters_must_be_positive(value):
    prediction, target, mask = masked()
    with pytest.raises(ValueError, match=r"^sigma must be .* greater than 0"):
        negative_elbo(*images(), *pair(3, 2), sigma=value)
    with pytest.raises(ValueError, match=r"^epsilon must be .* greater than 0"):
        masked_reconstruction(prediction, target, mask, epsilon=value)

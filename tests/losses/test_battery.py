"""One battery for all losses on pairs of views: adding a loss is adding one line to PAIR_LOSSES."""

from __future__ import annotations

import copy
import math
import re

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pairs import close, directions, gradients, pair
from torch._subclasses.fake_tensor import FakeTensorMode

from sslkit.losses import (
    align_uniform,
    align_uniform_references,
    barlow_twins,
    barlow_twins_references,
    cosine_distance,
    critic_nce,
    decoupled_contrastive,
    decoupled_contrastive_references,
    discrimination,
    distance_contrast,
    info_nce,
    joint_loss,
    kl_to_standard_normal,
    lejepa,
    lejepa_references,
    mean_difference,
    negative_elbo,
    nt_xent,
    nt_xent_references,
    reconstruction,
    self_distillation,
    sigreg,
    sup_con,
    sup_con_references,
    swapped_prediction,
    triplet,
    triplet_references,
    vicreg,
    w_mse,
    weight_penalty,
)

PAIR_LOSSES = {
    "nt_xent": nt_xent,
    "sup_con": lambda z1, z2: sup_con(z1, z2, torch.arange(len(z1), device=z1.device) // 2),
    "decoupled_contrastive": decoupled_contrastive,
    "decoupled_contrastive, weighted": lambda z1, z2: decoupled_contrastive(z1, z2, sigma=0.5),
    "triplet": lambda z1, z2: triplet(z1, z2, margin=2.5),  # wide enough for every anchor to learn
    "triplet, hardest": lambda z1, z2: triplet(z1, z2, margin=2.5, hardest=True),
    "align_uniform": lambda z1, z2: align_uniform(z1, z2)["loss"],
    "vicreg": lambda z1, z2, **k: vicreg(z1, z2, **k)["loss"],
    "barlow_twins": lambda z1, z2: barlow_twins(z1, z2)["loss"],
    "w_mse": w_mse,
    "lejepa": lambda z1, z2: lejepa(z1, z2, directions(z1))["loss"],
    "info_nce": lambda z1, z2: info_nce(z1, z2, temperature=0.5),
    "info_nce, negatives": lambda z1, z2: info_nce(z1, z2, z1[:1], temperature=0.5),
    "cosine_distance": cosine_distance,
    "swapped_prediction": lambda z1, z2: swapped_prediction([z1, z2], [z2, z1], temperature=0.5),
    "self_distillation": lambda z1, z2: self_distillation([z1, z2], [z1, z2], 0.1 + 0 * z1[0], teacher_temperature=0.5),
    "distance_contrast": distance_contrast,
    "distance_contrast, normalised": lambda z1, z2, **k: distance_contrast(z1, z2, normalize=True, **k),
    "mean_difference": mean_difference,
    "reconstruction": reconstruction,
    "reconstruction, summed": lambda z1, z2: reconstruction(z1, z2, pixels="sum"),
    "kl_to_standard_normal": kl_to_standard_normal,
    "negative_elbo": lambda z1, z2: negative_elbo(z1, z2, z2, z1)["loss"],
    "discrimination": discrimination,
}
pair_loss = pytest.mark.parametrize("loss", PAIR_LOSSES.values(), ids=PAIR_LOSSES.keys())


@pair_loss
def test_gradcheck(loss):
    for B, D in ((3, 2), (5, 4)):  # B above D, which whitening needs
        assert torch.autograd.gradcheck(loss, pair(B, D, scale=0.4, requires_grad=True))


def test_gradcheck_weight_penalty_and_joint_loss():
    a, b = pair(3, 2, requires_grad=True)
    for p in (1.0, 1.5, 2.0, 3.0):
        assert torch.autograd.gradcheck(lambda a, b, p=p: weight_penalty([a, b], p=p, weights=[0.5, 2.0]), (a, b))
    assert torch.autograd.gradcheck(
        lambda a, b: joint_loss(distance_contrast(a, b), weight_penalty([a, b]), n_images=7, omega=0.1), (a, b)
    )


@pair_loss
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_dtype_and_half_precision(loss, dtype):
    z1, z2 = pair(16, 8, dtype=dtype)
    value = loss(z1, z2)
    assert value.shape == ()
    assert value.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    exact = loss(z1.double(), z2.double())  # the inputs are rounded already, the arithmetic is not
    close(value, exact, rtol=1e-12 if dtype == torch.float64 else 1e-5)
    for gradient in gradients(loss, z1, z2):
        assert gradient.dtype == dtype
        assert gradient.isfinite().all()


@pair_loss
def test_float64_is_not_passed_through_float32(loss):
    z1, z2 = pair(5, 4)
    nudged = z1.clone()
    nudged[0, 0] += 1e-10  # float32 would not see it
    assert loss(nudged, z2) != loss(z1, z2)


@pair_loss
def test_mixed_precision_pair_takes_the_wider(loss):
    z1, z2 = pair(5, 4)
    assert loss(z1.float(), z2).dtype == torch.float64
    assert loss(z1.half(), z2.float()).dtype == torch.float32


@pair_loss
def test_inputs_and_random_state_are_left_alone(loss):
    z1, z2 = pair(6, 4, requires_grad=True)
    before, state = copy.deepcopy((z1.detach(), z2.detach())), torch.get_rng_state()
    loss(z1, z2).backward()
    assert torch.equal(z1.detach(), before[0])
    assert torch.equal(z2.detach(), before[1])
    assert z1._version == z2._version == 0  # not even written back
    assert torch.equal(torch.get_rng_state(), state)
    with torch.no_grad():
        leaf = z1.detach()
        loss(leaf, z2.detach())
        assert leaf._version == 0


@pair_loss
def test_both_views_get_a_gradient_and_layout_does_not_matter(loss):
    z1, z2 = pair(6, 4)
    for gradient in gradients(loss, z1, z2):
        assert (gradient.abs().sum(dim=1) > 0).all()
    strided = torch.stack([z1, z2], dim=-1)[..., 0]
    assert not strided.is_contiguous()
    close(loss(strided, z2), loss(z1, z2))


@pair_loss
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast(loss, dtype):
    z1, z2 = pair(32, 16, dtype=torch.float32)
    z1, z2 = z1.requires_grad_(), z2.requires_grad_()
    exact = loss(z1, z2)
    with torch.autocast("cpu", dtype=dtype):
        value = loss(z1, z2)
    assert value.dtype == torch.float32
    close(value, exact, rtol=0.02)
    assert all(gradient.isfinite().all() for gradient in torch.autograd.grad(value, (z1, z2)))


def test_nt_xent_under_autocast_rounds_cosines_but_not_logits():
    axes = torch.eye(8)  # cosines 0 and 1 are exact in half precision, 1 / 0.3 is not
    with torch.autocast("cpu", dtype=torch.bfloat16):
        close(nt_xent(axes, axes, temperature=0.3), nt_xent_references(8, temperature=0.3)["orthogonal"], rtol=1e-6)


def test_vicreg_under_float16_autocast_does_not_overflow():
    z1, z2 = pair(256, 8, dtype=torch.float32, scale=50.0)  # sums of squares 6e5, float16 ends at 65504
    exact = vicreg(z1, z2)["loss"]
    with torch.autocast("cpu", dtype=torch.float16):
        close(vicreg(z1, z2)["loss"], exact, rtol=0.05)


# --- devices that are not here ---

BATTERY = {
    **PAIR_LOSSES,
    "article": lambda z1, z2: joint_loss(distance_contrast(z1, z2), weight_penalty([z1, z2], p=1.5), n_images=9),
    "critic_nce": lambda z1, z2: critic_nce(z1 @ z2.T),
}
battery = pytest.mark.parametrize("loss", BATTERY.values(), ids=BATTERY.keys())


@battery
def test_forward_and_backward_on_meta(loss):
    z1, z2 = (torch.empty(6, 4, device="meta", requires_grad=True) for _ in range(2))
    value = loss(z1, z2)
    assert value.device.type == "meta"
    for gradient in torch.autograd.grad(value, (z1, z2)):
        assert gradient.device.type == "meta"
        assert gradient.shape == (6, 4)


@battery
@pytest.mark.parametrize("autocast", [False, True])
def test_forward_on_a_fake_gpu(loss, autocast):
    """Mixing devices or reading a value back raises here."""
    with FakeTensorMode(), torch.device("cuda"):
        torch.set_autocast_enabled("cuda", autocast)
        torch.set_autocast_dtype("cuda", torch.bfloat16)
        try:
            z1, z2 = torch.randn(6, 4), torch.randn(6, 4)
            assert (z1 @ z2.T).dtype == (torch.bfloat16 if autocast else torch.float32)  # the check checks something
            value = loss(z1, z2)
        finally:
            torch.set_autocast_enabled("cuda", False)
    assert value.device.type == "cuda"
    assert value.dtype == torch.float32


# --- bad input ---

shapes = st.lists(st.integers(0, 5), min_size=0, max_size=4).map(tuple)


@pytest.mark.parametrize(
    ("loss", "least"),
    [(loss, 2) for loss in (nt_xent, decoupled_contrastive, triplet, align_uniform, vicreg, barlow_twins)]
    + [(distance_contrast, 1), (mean_difference, 1)],
)
@given(first=shapes, second=shapes)
@settings(max_examples=100, deadline=None)
def test_any_shape_works_or_says_what_is_wrong(loss, least, first, second):
    for other in (first, second):  # two equal shapes are rare if left to chance
        z1, z2 = torch.ones(first), torch.ones(other)
        if first == other and len(first) == 2 and first[0] >= least and first[1] >= 1:
            value = loss(z1, z2)
            assert (value["loss"] if isinstance(value, dict) else value).isfinite()
        else:
            with pytest.raises(ValueError, match=re.escape(f"got z1 {first} and z2 {other}.")):
                loss(z1, z2)


ONE_IS_ENOUGH = {  # these compare no image with another one of the batch
    "distance_contrast", "distance_contrast, normalised", "info_nce, negatives", "cosine_distance", "swapped_prediction",
    "self_distillation", "mean_difference", "discrimination",
    "reconstruction",
    "reconstruction, summed",
    "kl_to_standard_normal",
    "negative_elbo",
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(PAIR_LOSSES.keys() - ONE_IS_ENOUGH))
def test_one_image_is_not_a_batch(name):
    with pytest.raises(ValueError, match=r"B must be at least 2 .*\(1, 8\)"):
        PAIR_LOSSES[name](*pair(1, 8))


@pair_loss
@pytest.mark.parametrize("dtype", [torch.int64, torch.uint8, torch.bool, torch.complex64])
def test_not_floating_is_refused(loss, dtype):
    good = torch.ones(4, 3)
    for z1, z2 in ((good, good.to(dtype)), (good.to(dtype), good)):
        with pytest.raises(TypeError, match=str(dtype)):
            loss(z1, z2)


@pair_loss
def test_not_a_tensor_is_refused(loss):
    good = torch.ones(4, 3)
    for bad, name in ((np.ones((4, 3)), "ndarray"), ([[1.0, 2.0]], "list"), (None, "NoneType")):
        with pytest.raises(TypeError, match=name):
            loss(good, bad)


not_positive = st.one_of(st.floats(max_value=0), st.just(math.nan), st.just(math.inf), st.integers(max_value=0))


@given(value=not_positive)
def test_hyper_parameters_must_be_positive(value):
    z1, z2 = pair(4, 3)
    one = torch.tensor(1.0)
    for name, call in {
        "temperature": lambda: nt_xent(z1, z2, temperature=value),
        "sigma": lambda: distance_contrast(z1, z2, sigma=value),
        "epsilon": lambda: distance_contrast(z1, z2, epsilon=value),
        "n_images": lambda: joint_loss(one, one, n_images=value),
        "margin": lambda: triplet(z1, z2, margin=value),
        "t": lambda: align_uniform(z1, z2, t=value),
        "lambda_": lambda: barlow_twins(z1, z2, lambda_=value),
        "sub_batch": lambda: w_mse(z1, z2, sub_batch=value),
        "t_max": lambda: sigreg(z1, directions(z1), t_max=value),
    }.items():
        with pytest.raises(ValueError, match=rf"^{name} must be .* greater than 0, got {re.escape(str(value))}\."):
            call()
    for call in (
        lambda: nt_xent_references(8, temperature=value),
        lambda: sup_con(z1, z2, torch.arange(4), temperature=value),
        lambda: decoupled_contrastive(z1, z2, temperature=value),
        lambda: decoupled_contrastive(z1, z2, sigma=value),
        lambda: decoupled_contrastive_references(8, temperature=value),
        lambda: triplet_references(margin=value),
        lambda: align_uniform(z1, z2, lambda_=value),
        lambda: align_uniform_references(8, t=value),
        lambda: barlow_twins_references(8, lambda_=value),
        lambda: barlow_twins_references(value),
        lambda: lejepa_references(8, t_max=value),
    ):
        with pytest.raises(ValueError, match=rf"^\w+ must be .* greater than 0, got {re.escape(str(value))}\."):
            call()


def test_hyper_parameters_with_a_range_of_their_own():
    z1, z2 = pair(4, 3)
    for alpha in (0.5, math.nan, math.inf):
        with pytest.raises(ValueError, match=rf"^alpha must be a finite number of at least 1, got {alpha}\."):
            align_uniform(z1, z2, alpha=alpha)
    for lambda_ in (-0.1, 0, 1, math.nan):
        with pytest.raises(ValueError, match=rf"^lambda_ must be above 0 and below 1, got {lambda_}\."):
            lejepa(z1, z2, directions(z1), lambda_=lambda_)
    with pytest.raises(ValueError, match=r"^knots must be at least 2, got 1\."):
        sigreg(z1, directions(z1), knots=1)


def test_what_comes_beside_the_views_must_fit_them():
    z1, z2 = pair(4, 3)
    for labels in (torch.arange(3), torch.arange(8), torch.zeros(4, 1)):
        with pytest.raises(
            ValueError, match=re.escape(f"labels must be (B,), got {tuple(labels.shape)} for z1 (4, 3).")
        ):
            sup_con(z1, z2, labels)
    for wrong in (torch.ones(4, 7), torch.ones(3)):
        with pytest.raises(ValueError, match=re.escape(f"must be (D, M); got {tuple(wrong.shape)} for z (4, 3).")):
            sigreg(z1, wrong)
    with pytest.raises(ValueError, match="M at least 1"):
        sigreg(z1, torch.ones(3, 0))
    for wrong, name in (([0, 1, 2, 3], "labels"), (None, "labels")):
        with pytest.raises(TypeError, match=f"{name} must be a tensor, got a {type(wrong).__name__}"):
            sup_con(z1, z2, wrong)
    with pytest.raises(TypeError, match=r"directions must be float tensors, got torch\.int64"):
        sigreg(z1, torch.ones(3, 2, dtype=torch.int64))


@pytest.mark.parametrize(("B", "D", "sub_batch", "got"), [(3, 3, 128, 3), (8, 4, 4, 4), (11, 5, 4, 5)])
def test_whitening_needs_more_images_than_dimensions(B, D, sub_batch, got):
    with pytest.raises(
        ValueError, match=rf"^Whitening {D} .* more than {D} .* got {got} \(B {B}, sub_batch {sub_batch}\)"
    ):
        w_mse(*pair(B, D), sub_batch=sub_batch)


@given(n=st.integers(max_value=1))
@example(n=1)
def test_references_need_a_batch(n):
    for references in (
        nt_xent_references,
        sup_con_references,
        decoupled_contrastive_references,
        align_uniform_references,
        lejepa_references,
    ):
        with pytest.raises(ValueError, match=rf"at least 2, got {n}\."):
            references(n)


@given(p=st.one_of(st.floats(max_value=1, exclude_max=True), st.just(math.nan), st.just(math.inf)))
def test_weight_penalty_refuses_p_below_1(p):
    with pytest.raises(ValueError, match=rf"^p must be .* at least 1, got {re.escape(str(p))}\."):
        weight_penalty([torch.ones(2)], p=p)


def test_weight_penalty_refuses_no_parameters_and_wrong_weights():
    spent = torch.nn.Linear(2, 2).parameters()
    list(spent)
    with pytest.raises(ValueError, match="read only once"):
        weight_penalty(spent)
    for weights in ([], [1.0], [1.0, 2.0, 3.0]):
        with pytest.raises(ValueError, match=f"{len(weights)} entries for 2"):
            weight_penalty([torch.ones(2), torch.ones(3)], weights=weights)


def test_hyper_parameters_are_keyword_only():
    z1, z2 = pair(4, 3)
    for loss in (
        nt_xent,
        decoupled_contrastive,
        triplet,
        align_uniform,
        vicreg,
        barlow_twins,
        w_mse,
        sigreg,
        distance_contrast,
        joint_loss,
    ):
        with pytest.raises(TypeError):
            loss(z1, z2, 0.5)
    for loss, third in ((sup_con, torch.arange(4)), (lejepa, directions(z1))):
        with pytest.raises(TypeError):
            loss(z1, z2, third, 0.5)
    with pytest.raises(TypeError):
        weight_penalty([z1], 2.0)

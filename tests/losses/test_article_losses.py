"""The founding article's losses against its formulas, closed forms, and what must follow from them."""

from __future__ import annotations

import itertools
import math

import pytest
import reference
import torch
from pairs import SHAPES, close, gradients, pair

from sslkit.losses import (
    distance_contrast,
    joint_loss,
    mean_difference,
    weight_penalty,
)


@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("sigma", [0.3, 1.0, 5.0])
@pytest.mark.parametrize(("B", "D"), [(1, 1), (1, 4), *SHAPES])
def test_distance_contrast_equals_the_article(B, D, sigma, normalize):
    z1, z2 = pair(B, D)
    for epsilon in (1e-6, 1e-3, 0.5):
        got = distance_contrast(z1, z2, sigma=sigma, epsilon=epsilon, normalize=normalize)
        close(got, reference.distance_contrast(z1.numpy(), z2.numpy(), sigma, epsilon, normalize))


def test_distance_contrast_defaults():
    z1, z2 = pair(5, 3)
    close(distance_contrast(z1, z2), reference.distance_contrast(z1.numpy(), z2.numpy(), 1.0, 1e-3, False))


@pytest.mark.parametrize("epsilon", [1e-3, 0.5, 4.0])
def test_distance_contrast_minimum_and_asymptote(epsilon):
    z, _ = pair(4, 3)
    minimum = -0.5 * math.log1p(epsilon)
    close(distance_contrast(z, z, epsilon=epsilon), minimum)
    close(distance_contrast(z, z, epsilon=epsilon, normalize=True), minimum)
    assert all((gradient == 0).all() for gradient in gradients(distance_contrast, z, z))
    curve = [distance_contrast(z, z + t, epsilon=epsilon) for t in torch.linspace(0, 3, 30, dtype=torch.float64)]
    assert all(a < b for a, b in itertools.pairwise(curve))  # it only ever grows with the distance
    for d in (100.0, 1e6):
        far = torch.tensor([[math.sqrt(d)]], dtype=torch.float64)
        close(distance_contrast(far, 0 * far, epsilon=epsilon), 0.5 * (d - math.log(epsilon)))


def test_distance_contrast_gradient_in_closed_form():
    z1, z2 = pair(5, 3)
    sigma, epsilon = 0.7, 0.1
    d = (z1 - z2).square().sum(dim=1, keepdim=True)
    share = (-d / sigma).exp() / ((-d / sigma).exp() + epsilon)
    expected = (1 + share / sigma) * (z1 - z2) / 5
    g1, g2 = gradients(lambda a, b: distance_contrast(a, b, sigma=sigma, epsilon=epsilon), z1, z2)
    close(g1, expected)
    close(g2, -expected)


@pytest.mark.parametrize("epsilon", [1e-3, 1e-30, 1e-60, 1e-300])
@pytest.mark.parametrize("distance", [0.0, 1e-4, 0.5, 3.0, 8.0, 30.0, 1e4])
def test_distance_contrast_is_finite_where_the_formula_as_written_is_not(distance, epsilon):
    z1, z2 = torch.zeros(1, 1), torch.full((1, 1), distance)
    d = z2.square().squeeze()
    naive = 0.5 * (d - torch.log(torch.exp(-d) + epsilon))  # float32: both terms can vanish
    loss = distance_contrast(z1, z2, epsilon=epsilon)
    assert loss.isfinite()
    assert all(gradient.isfinite().all() for gradient in gradients(distance_contrast, z1, z2))
    if naive.isfinite():
        close(loss, naive, rtol=1e-5, atol=1e-6)
    else:
        assert (distance, epsilon) in itertools.product((30.0, 1e4), (1e-60, 1e-300))
        larger = min(0.0, max(-d.item(), math.log(epsilon)))
        close(loss, 0.5 * (d - larger), rtol=1e-5)


def test_distance_contrast_has_nothing_against_collapse():
    z = torch.cat(pair(6, 3)).requires_grad_()
    optimiser = torch.optim.SGD([z], lr=0.5)
    for _ in range(200):
        optimiser.zero_grad()
        loss = distance_contrast(z[:6], z[6:])
        loss.backward()
        optimiser.step()
    close(loss, -0.5 * math.log1p(1e-3), rtol=1e-6)
    same = torch.ones(6, 3, dtype=torch.float64)  # all images in one point: nothing is better than that
    close(distance_contrast(same, same), -0.5 * math.log1p(1e-3))


@pytest.mark.parametrize(("B", "D"), [(1, 1), (1, 4), *SHAPES])
def test_mean_difference_equals_its_loop_and_the_distance_of_the_means(B, D):
    z1, z2 = pair(B, D)
    close(mean_difference(z1, z2), reference.mean_difference(z1.numpy(), z2.numpy()))
    close(mean_difference(z1, z2), (z1.mean(0) - z2.mean(0)).square().sum())
    g1, g2 = gradients(mean_difference, z1, z2)
    close(g1, (2 / B * (z1 - z2).mean(0)).expand(B, D))  # every row is pulled the same way
    close(g2, -g1)


def test_mean_difference_does_not_know_partners():
    z1, z2 = pair(7, 3)
    close(mean_difference(z1, z2.flip(0)), mean_difference(z1, z2))
    assert mean_difference(z1, z1.flip(0)) < 1e-30  # nothing to gain, although no image is near its other view
    assert distance_contrast(z1, z1.flip(0)) > 0.1
    assert mean_difference(z1 * 0 + 1, z2 * 0 + 1) == 0
    close(mean_difference(z1[:1], z2[:1]), (z1[0] - z2[0]).square().sum())
    close(mean_difference(torch.tensor([[3.0, 0.0], [1.0, 0.0]]), torch.tensor([[0.0, 4.0], [0.0, 0.0]])), 4 + 4)


@pytest.mark.parametrize("p", [1.0, 1.5, 2.0, 3.0])
def test_weight_penalty_equals_the_article(p):
    parameters = [torch.randn(shape, dtype=torch.float64) for shape in [(3, 4), (5,), (2, 3, 1, 1), ()]]
    weights = [0.5, 2.0, 0.0, 1.0]
    numpy = [theta.numpy() for theta in parameters]
    close(weight_penalty(parameters, p=p), reference.weight_penalty(numpy, p))
    close(weight_penalty(parameters, p=p, weights=weights), reference.weight_penalty(numpy, p, weights))
    close(weight_penalty([3 * theta for theta in parameters], p=p), 3**p * reference.weight_penalty(numpy, p))


def test_weight_penalty_defaults_and_a_norm_to_the_power_p():
    theta = torch.tensor([3.0, 4.0])
    assert weight_penalty([theta]) == 25
    assert weight_penalty(theta, p=3) == 125  # one tensor is one parameter, not a list of rows (27 + 64)
    assert weight_penalty([theta], p=1) == 5
    assert weight_penalty([theta], p=3) == 125  # the 3-norm would give 3³ + 4³ = 91
    assert weight_penalty([theta, theta]) == 50
    model = torch.nn.Linear(3, 2)
    expected = sum(theta.square().sum() for theta in model.parameters())
    close(weight_penalty(model.parameters()), expected.detach(), rtol=1e-5)  # a generator will do


@pytest.mark.parametrize("p", [1.0, 1.25, 1.5, 2.0, 3.0])
def test_weight_penalty_gradient_at_zero_is_zero(p):
    zero, other = torch.zeros(3, 2), torch.ones(2)
    g0, g1 = gradients(lambda a, b: weight_penalty([a, b], p=p), zero, other)
    assert (g0 == 0).all()
    close(g1, p * math.sqrt(2) ** (p - 2) * torch.ones(2), rtol=1e-6)  # p ‖θ‖^(p-2) θ
    assert weight_penalty([zero], p=p) == 0
    (tiny,) = gradients(lambda theta: weight_penalty([theta], p=1), 1e-9 * other)
    close(tiny, torch.ones(2) / math.sqrt(2), rtol=1e-6)  # next to 0 it is the unit vector: nothing is smoothed


def test_weight_penalty_with_p_2_is_weight_decay():
    a, b = torch.randn(3, 4, dtype=torch.float64), torch.randn(5, dtype=torch.float64)
    g1, g2 = gradients(lambda *parameters: weight_penalty(parameters, weights=[0.3, 2.0]), a, b)
    close(g1, 2 * 0.3 * a)
    close(g2, 2 * 2.0 * b)
    by_loss, by_optimiser = (torch.nn.Parameter(a.clone()) for _ in range(2))
    weight_penalty([by_loss], weights=[0.1 / 2]).backward()
    torch.optim.SGD([by_loss], lr=0.5).step()
    by_optimiser.grad = torch.zeros_like(a)
    torch.optim.SGD([by_optimiser], lr=0.5, weight_decay=0.1).step()
    close(by_loss.detach(), by_optimiser.detach())


def test_weight_penalty_in_half_precision_does_not_overflow():
    theta = torch.full((100, 100), 10.0, dtype=torch.float16)  # squared norm 1e6, float16 ends at 65504
    penalty = weight_penalty([theta])
    assert penalty.dtype == torch.float32
    assert penalty.item() == 1e6
    assert weight_penalty([theta.double()]).dtype == torch.float64
    assert gradients(lambda t: weight_penalty([t]), theta)[0].isfinite().all()


def test_joint_loss_equals_the_article():
    z1, z2 = pair(5, 3)
    theta = torch.randn(4, 3, dtype=torch.float64)
    contrasts = [reference.distance_contrast(z1[i : i + 1].numpy(), z2[i : i + 1].numpy()) for i in range(5)]
    penalty = reference.weight_penalty([theta.numpy()])
    for hyper in ({}, {"lambda_": 0.3, "omega": 0.2}, {"lambda_": 0.0}, {"omega": 0.0}):
        got = joint_loss(distance_contrast(z1, z2), weight_penalty([theta]), n_images=100, **hyper)
        close(got, reference.joint_loss(contrasts, penalty, 100, **hyper))


def test_joint_loss_halves_when_the_data_set_doubles():
    contrast, penalty = torch.tensor(3.0), torch.tensor(5.0)
    assert joint_loss(contrast, penalty, n_images=1, lambda_=1.0, omega=1.0) == 4
    once = joint_loss(contrast, penalty, n_images=1000)
    assert joint_loss(contrast, penalty, n_images=2000) == once / 2
    close(once, (3.0 + 1e-4 * 5.0) / 2000, rtol=1e-6)
    g1, g2 = gradients(lambda c, o: joint_loss(c, o, n_images=2, lambda_=3.0, omega=8.0), contrast, penalty)
    assert (g1, g2) == (3 / 4, 8 / 4)

"""Two players in one scalar: each parameter gets the gradient of its own loss, and of nothing else."""

import math

import pytest
import torch

from sslkit import nets, seeds
from sslkit.losses import discrimination
from sslkit.methods import BiGAN


def build(**options):
    torch.manual_seed(0)
    return BiGAN(nets.small_resnet(widths=(8, 16)), latent=5, image_size=(16, 16), **options)


def collect(method, n=6):
    images = torch.randint(0, 256, (n, 3, 16, 16), dtype=torch.uint8, generator=seeds.generator(0))
    return method.collect(images, torch.arange(n), None, seeds.generator("step"))


def players(method):
    return [p for part in (method.encoder, method.code, method.generator) for p in part.parameters()]


def test_gradients_are_exactly_those_of_two_separate_losses():
    method = build().double()
    batch = collect(method)
    x, z = batch.views[0].double(), batch.noise.double()
    batch.views, batch.noise = [x], z
    terms = method(batch)
    terms["loss"].backward()

    code, fake = method.code(method.encoder(x)), method.generator(z)
    real_logit, fake_logit = method.critic(x, code), method.critic(fake, z)  # nothing detached, nothing frozen
    judge, fooling = discrimination(real_logit, fake_logit), discrimination(fake_logit, real_logit)
    assert terms["judge"].item() == pytest.approx(judge.item(), rel=1e-12)
    assert terms["players"].item() == pytest.approx(fooling.item(), rel=1e-12)
    mine = list(method.critic.parameters())
    for p, g in zip(mine, torch.autograd.grad(judge, mine, retain_graph=True), strict=True):
        assert torch.equal(p.grad, g)
    for p, g in zip(players(method), torch.autograd.grad(fooling, players(method)), strict=True):
        assert torch.equal(p.grad, g)
    assert len(mine) + len(players(method)) == len(list(method.parameters()))


def test_each_side_is_out_of_the_other_sides_reach():
    method = build()
    terms = method(collect(method))
    mine = list(method.critic.parameters())
    assert all(g is None for g in torch.autograd.grad(terms["players"], mine, allow_unused=True, retain_graph=True))
    assert all(g is None for g in torch.autograd.grad(terms["judge"], players(method), allow_unused=True))
    assert all(p.requires_grad for p in mine)  # frozen for one call only


def test_a_judge_that_cannot_tell_costs_two_ln_two():
    method = build()
    torch.nn.init.zeros_(method.critic.both[-1].weight)
    torch.nn.init.zeros_(method.critic.both[-1].bias)
    expected = method.reference_values(6)["undecided"]
    assert expected == pytest.approx(2 * math.log(2))
    assert method(collect(method))["loss"].item() == pytest.approx(expected)


def test_the_judge_sees_image_and_code():
    method = build().eval()
    x, z = torch.rand(4, 3, 16, 16), torch.rand(4, 5)
    assert method.critic(x, z).shape == (4,)
    assert not torch.allclose(method.critic(x, z), method.critic(x, z.flip(0)))
    assert not torch.allclose(method.critic(x, z), method.critic(x.flip(0), z))
    assert torch.allclose(method.critic(x, z)[:1], method.critic(x[:1], z[:1]), atol=1e-6)  # and one pair only


def test_noise_is_uniform_and_the_learning_rate_is_the_methods_own():
    noise = collect(build(), 500).noise
    assert noise.shape == (500, 5)
    assert -1 <= noise.min() < -0.9
    assert 0.9 < noise.max() <= 1
    assert abs(noise.mean()) < 0.1
    assert {group["lr"] for group in build(lr_scale=0.3).param_groups(0.5)} == {0.3}


def test_sample_and_reconstruct_are_the_generator():
    method = build()
    z = 2 * torch.rand(4, 5, generator=seeds.generator(7)) - 1
    images = torch.rand(4, 3, 16, 16)
    samples, painted = method.sample(4, seeds.generator(7)), method.reconstruct(images)
    with torch.no_grad():
        assert torch.equal(samples, method.eval().generator(z))
        assert torch.equal(painted, method.generator(method.code(method.encoder(images))))

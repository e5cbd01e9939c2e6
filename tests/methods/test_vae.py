"""The variational autoencoder: where the code sits, which noise it gets, and the terms of its bound."""

import math

import torch

from sslkit import nets, seeds
from sslkit.augment import Policy
from sslkit.methods import VAE


def build(**options):
    torch.manual_seed(0)
    return VAE(nets.small_resnet(widths=(8, 16)), latent=5, image_size=(16, 16), **options)


def collect(method, n=6, step=0):
    images = torch.randint(0, 256, (n, 3, 16, 16), dtype=torch.uint8, generator=seeds.generator(0))
    return method.collect(images, torch.arange(n), None, seeds.generator("step", step))


def test_terms_are_those_of_the_bound():
    method = build(sigma=0.2).eval()
    batch = collect(method)
    x, h = batch.views[0], method.encoder(batch.views[0])
    assert h.shape == (6, 16)  # what remains after training; one linear layer reads the code from it
    mean, log_variance = method.code(h).chunk(2, dim=1)
    q = torch.distributions.Normal(mean, (log_variance / 2).exp())
    kl = torch.distributions.kl_divergence(q, torch.distributions.Normal(0.0, 1.0)).sum(1).mean()
    error = (method.decoder(mean + q.scale * batch.noise) - x).square().sum((1, 2, 3)).mean()  # summed over pixels
    terms = method(batch)
    torch.testing.assert_close(terms["kl"], kl)
    torch.testing.assert_close(terms["reconstruction"], error)
    torch.testing.assert_close(terms["loss"], error / 0.08 + kl)


def test_noise_is_drawn_in_collect_from_the_standard_normal():
    method = build()
    one, again, other = collect(method), collect(method), collect(method, step=1)
    assert one.noise.shape == (6, 5)
    assert torch.equal(one.noise, again.noise)
    assert not torch.equal(one.noise, other.noise)
    assert not torch.equal(method(one)["loss"], method(other)["loss"])
    many = (
        collect(method, 4000).noise.flatten().sort().values
    )  # 20,000 numbers; the bound is passed with probability 1e-9
    expected = torch.distributions.Normal(0.0, 1.0).cdf(many)
    assert (expected - torch.arange(len(many)) / len(many)).abs().max() < math.sqrt(
        math.log(2e9) / 2 / len(many)
    ) + 1e-4


def test_a_careless_sigma_makes_the_posterior_collapse():
    """With pixels that need not be met the cheapest code says nothing: kl goes to 0, and all paintings are one."""
    kept, lost = build(sigma=0.05), build(sigma=100.0)
    for method in (kept, lost):
        optimiser, batch = torch.optim.Adam(method.parameters(), 1e-2), collect(method, 32)
        for _ in range(60):
            loss = method(batch)["loss"]
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    batch = collect(kept, 32)
    assert lost(batch)["kl"] < 0.1 < 1 < kept(batch)["kl"]


def test_reconstruct_uses_the_mean_and_sample_the_prior():
    method = build(policies=(Policy(),))
    images = torch.randint(0, 256, (3, 3, 16, 16), dtype=torch.uint8)
    painted = method.reconstruct(images)
    assert torch.equal(painted, method.reconstruct(images / 255.0))
    with torch.no_grad():
        mean = method.eval().code(method.encoder(images / 255.0))[:, :5]
        torch.testing.assert_close(painted, method.decoder(mean))
        z = torch.randn(4, 5, generator=seeds.generator(7))
        assert torch.equal(method.sample(4, seeds.generator(7)), method.decoder(z))

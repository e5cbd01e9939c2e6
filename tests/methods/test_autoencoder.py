"""Autoencoders: what is painted, what it is compared with, and the clean image of a damaged copy."""

import pytest
import torch

from sslkit import augment, nets, seeds
from sslkit.augment import Policy
from sslkit.methods import Autoencoder, Denoising

STILL = Policy(scale=(1, 1), ratio=(1, 1), flip=0, jitter=0, gray=0)
ANY = Policy()
NOISY = Policy(scale=(1, 1), ratio=(1, 1), flip=0, noise=0.3, cutout=1.0)


def pictures(n=6, C=3, side=16, seed=0):
    return torch.randint(0, 256, (n, C, side, side), dtype=torch.uint8, generator=seeds.generator(seed))


def build(kind, policy=ANY, channels=3):
    torch.manual_seed(0)
    encoder = nets.small_resnet(channels, widths=(8, 16))
    return kind(encoder, image_size=(16, 16), policies=(policy,))


def collect(method, images):
    return method.collect(images, torch.arange(len(images)), None, seeds.generator("step"))


def test_the_copy_is_painted_again():
    method = build(Autoencoder).eval()
    batch = collect(method, pictures())
    painted = method.decoder(method.encoder(batch.views[0]))
    assert batch.clean is None
    torch.testing.assert_close(method(batch)["loss"], (painted - batch.views[0]).square().mean())


def test_denoising_paints_the_clean_image():
    method, images = build(Denoising, NOISY).eval(), pictures()
    batch = collect(method, images)
    torch.testing.assert_close(batch.clean, augment.to_float(images))
    assert torch.equal(batch.views[0], collect(build(Autoencoder, NOISY), images).views[0])  # the same damage
    painted = method.decoder(method.encoder(batch.views[0]))
    torch.testing.assert_close(method(batch)["loss"], (painted - batch.clean).square().mean())
    assert (batch.views[0] - batch.clean).abs().mean() > 0.1


def test_rgba_lies_over_one_ground_in_view_and_clean_image():
    images = pictures(C=4)
    images[:, 3, :8], images[:, 3, 8:] = 0, 255
    batch = collect(build(Denoising, STILL), images)
    assert torch.equal(batch.views[0], batch.clean)
    assert batch.clean.shape == (6, 3, 16, 16)
    torch.testing.assert_close(batch.clean[:, :, 8:], images[:, :3, 8:] / 255)
    ground = batch.clean[:, :, :8]
    torch.testing.assert_close(ground, ground[:, :, :1, :1].expand_as(ground))
    assert len(ground[:, :, 0, 0].unique(dim=0)) == 6  # each picture has its own
    moved = collect(build(Denoising, Policy(scale=(0.3, 0.5), jitter=0, gray=0)), images)
    assert moved.clean.amin() >= 0
    assert moved.clean.amax() <= 1
    assert torch.equal(moved.clean, batch.clean)  # the same draw, and nothing but the ground of it


def test_the_clean_image_has_the_size_of_the_view():
    method = Denoising(nets.small_resnet(widths=(8,)), image_size=(12, 12), policies=(Policy(size=12),))
    batch = collect(method, pictures())
    assert batch.clean.shape == batch.views[0].shape == (6, 3, 12, 12)
    assert method(batch)["loss"].isfinite()


def test_a_decoder_of_another_size_is_one_sentence():
    method = Autoencoder(nets.small_resnet(widths=(8,)), image_size=(12, 12))
    with pytest.raises(ValueError, match=r"must have one shape.*got \(6, 3, 12, 12\) and \(6, 3, 16, 16\)"):
        method(collect(method, pictures()))


def test_reconstructions_improve_with_training():
    method, images = build(Autoencoder, STILL), pictures(4)
    images[:] = images[:, :, :1, :1]  # four colours
    optimiser = torch.optim.Adam(method.parameters(), 1e-2)
    target, errors = augment.to_float(images), []
    for step in range(60):
        if step in (0, 59):
            errors.append((method.reconstruct(images) - target).square().mean().item())
        loss = method(collect(method, images))["loss"]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert errors[1] < 0.2 * errors[0]

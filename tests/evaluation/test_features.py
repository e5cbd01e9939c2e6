"""Features: the encoder is really frozen, and nothing of it changes."""

import copy

import pytest
import torch
from torch import nn

from sslkit.augment import to_float
from sslkit.evaluation import baselines, features, split_features
from sslkit.nets import small_resnet


@pytest.fixture
def encoder():
    torch.manual_seed(0)
    return small_resnet(3, widths=(4, 8))


@pytest.fixture
def images():
    return torch.randint(0, 256, (20, 3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def test_nothing_of_the_encoder_moves(encoder, images):
    encoder.train()
    encoder.body[0].requires_grad_(False)  # a partly frozen encoder stays partly frozen
    encoder.body[1].eval()
    before = copy.deepcopy(encoder.state_dict())
    modes = [module.training for module in encoder.modules()]
    wanted = [p.requires_grad for p in encoder.parameters()]
    h = features(encoder, images)
    assert all(torch.equal(before[name], value) for name, value in encoder.state_dict().items())
    assert [module.training for module in encoder.modules()] == modes
    assert [p.requires_grad for p in encoder.parameters()] == wanted
    assert not h.requires_grad
    assert (h.shape, h.dtype, h.device.type) == ((20, encoder.dim), torch.float32, "cpu")


def test_features_do_not_depend_on_the_batch(encoder, images):
    encoder.train()
    with torch.no_grad():  # in training mode they would: this is what the test guards against
        x = to_float(images)
        moving = copy.deepcopy(encoder)
        assert (moving(x)[:3] - moving(x[:3])).abs().max() > 1e-3
    whole = features(encoder, images, batch_size=64)
    for batch_size in (1, 3, 7):
        assert torch.allclose(features(encoder, images, batch_size=batch_size), whole, atol=1e-5)
    assert torch.allclose(features(encoder, images[5:6]), whole[5:6], atol=1e-5)


def test_modes_are_restored_when_the_encoder_fails(encoder, images):
    encoder.train()
    with pytest.raises(ValueError, match="images"):
        features(encoder, images[:, :1])
    assert all(module.training for module in encoder.modules())


def test_one_picture_is_not_a_batch(encoder, images):
    with pytest.raises(ValueError, match=r"images have shape \(3, 16, 16\); expected \(N, C, H, W\)"):
        features(encoder, images[0])


def test_uint8_float_rgba_and_images_objects(encoder, images, pictures):
    assert torch.allclose(features(encoder, images), features(encoder, images.float() / 255), atol=1e-5)
    opaque = torch.cat([images, torch.full((20, 1, 16, 16), 255, dtype=torch.uint8)], 1)
    assert torch.allclose(features(encoder, images), features(encoder, opaque), atol=1e-5)
    data = pictures(n=32)
    assert torch.equal(features(encoder, data), features(encoder, data.images))
    assert features(encoder, images[:0]).shape == (0, encoder.dim)


def test_feature_maps_are_refused(images):
    with pytest.raises(ValueError, match="pool and flatten"):
        features(nn.Conv2d(3, 4, 3), images)


def test_an_encoder_without_parameters_will_do(images):
    assert features(nn.Flatten(), images).shape == (20, 3 * 16 * 16)


def test_split_features_are_those_of_the_splits(encoder, pictures):
    data = pictures(n=64)
    state = torch.random.get_rng_state()
    found = split_features(encoder, data)
    assert torch.equal(state, torch.random.get_rng_state())
    assert {split: len(h) for split, h in found.items()} == {"train": 40, "val": 8, "test": 16, "shifted": 16}
    assert torch.equal(found["test"], features(encoder, data.test))
    assert torch.equal(found["shifted"], split_features(encoder, data)["shifted"])
    assert not torch.allclose(found["shifted"], found["test"])


def test_pca_equals_sklearn_and_sees_training_pictures_only(pictures):
    from sklearn.decomposition import PCA

    data = pictures(n=320)
    found = baselines(data, dim=5)
    train, test = (to_float(part.images).flatten(1) for part in (data.train, data.test))
    assert torch.equal(found["raw pixels"]["test"], test)
    oracle = PCA(5).fit(train.numpy())
    expected = torch.from_numpy(oracle.transform(test.numpy())).float()
    sign = (expected * found["PCA"]["test"]).sum(0).sign()  # an axis may point either way
    assert torch.allclose(found["PCA"]["test"] * sign, expected, atol=1e-3)

    other = copy.deepcopy(data)
    other.images[data.split > 0] = 0
    assert torch.equal(baselines(other, dim=5)["PCA"]["train"], found["PCA"]["train"])


@pytest.mark.parametrize(("channels", "side", "expected"), [(1, 8, 64), (4, 8, 192), (3, 40, 3072), (3, 33, 3072)])
def test_raw_pixels_of_any_picture(pictures, channels, side, expected):
    data = pictures(n=32, channels=channels, side=side)
    found = baselines(data)
    assert found["raw pixels"]["train"].shape == (20, expected)
    assert found["PCA"]["shifted"].shape == (8, min(20, expected, 64))
    mean = to_float(data.train.images).mean(dim=(2, 3))
    if side == 40:  # averaging down keeps the mean
        assert torch.allclose(found["raw pixels"]["train"].reshape(20, 3, -1).mean(2), mean, atol=0.02)


def test_baselines_without_some_splits(pictures):
    data = pictures(n=32)
    data.split[data.split == 1] = 0
    assert baselines(data)["PCA"]["val"].shape == (0, 24)
    data.split[data.split == 2] = 0
    assert baselines(data)["PCA"]["shifted"].shape[0] == 0
    data.split[:] = 2
    with pytest.raises(ValueError, match="no training pictures"):
        baselines(data)

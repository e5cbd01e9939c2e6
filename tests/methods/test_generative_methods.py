"""What all methods that paint, hide or turn have in common: recipes, exact resume, and a look that changes nothing."""

import copy
import threading
from dataclasses import replace

import pytest
import torch

import sslkit
from sslkit import nets, recipes, seeds, train
from sslkit.datasets import Images

NAMES = ["autoencoder", "denoising", "vae", "bigan", "mae", "rotation"]
everyone = pytest.mark.parametrize("name", NAMES)
CONFIG = train.TrainConfig(
    steps=10, batch_size=32, device="cpu", precision="float32", channels_last=False, marks=3, probe=20
)


def small(name, data, seed=0):
    channels = 3 if data.shape[0] == 4 else data.shape[0]
    torch.manual_seed(seed)
    encoder = nets.tiny_vit(channels, dim=32, depth=1) if name == "mae" else nets.small_resnet(channels, widths=(8, 16))
    return recipes.method(name, data, seed=seed, encoder=encoder)


def data(C, side, name="arrays", width=None):
    x = torch.randint(0, 256, (24, C, side, width or side), dtype=torch.uint8, generator=seeds.generator(side))
    return Images(x, None, torch.arange(24, dtype=torch.uint8) // 20, name=name)


@everyone
@pytest.mark.parametrize(
    ("C", "side", "width", "kind"),
    [(1, 8, 8, "digits"), (1, 28, 28, "fashion"), (3, 32, 32, "shapes"), (4, 32, 32, "emoji"), (3, 12, 20, "arrays")],
)
def test_recipes_fit_the_pictures(name, C, side, width, kind):
    pictures = data(C, side, kind, width)
    method = small(name, pictures).eval()
    index = torch.arange(6)
    batch = method.collect(pictures.images[index], index, None, seeds.generator(0))
    channels = 3 if C == 4 else C
    seen = (min(side, width),) * 2 if name == "rotation" else (side, width)  # a square does not tell how it was turned
    assert batch.views[0].shape == (6, channels, *seen)
    assert method(batch)["loss"].isfinite()
    assert method.encoder(batch.views[0]).shape == (6, method.encoder.dim)
    again = recipes.build(method.spec, method.encoder.spec).eval()
    again.load_state_dict(method.state_dict())
    assert torch.equal(again(batch)["loss"], method(batch)["loss"])
    if hasattr(method, "reconstruct"):
        painted = method.reconstruct(pictures.images)
        for picture in painted if isinstance(painted, tuple) else [painted]:
            assert picture.shape == (24, channels, side, width)
            assert picture.dtype == torch.float32
            assert 0 <= picture.min() <= picture.max() <= 1
    if hasattr(method, "sample"):
        assert method.sample(5, seeds.generator(0)).shape == (5, channels, side, width)


def test_default_encoders_and_views():
    pictures = data(3, 32, "shapes")
    assert recipes.method("mae", pictures).encoder.spec["name"] == "tiny_vit"
    assert recipes.method("vae", pictures).encoder.spec["name"] == "small_resnet"
    policy = recipes.views_for(pictures)
    assert recipes.method("autoencoder", pictures).policies == (policy,)
    for name in ("vae", "bigan", "mae", "rotation"):
        assert recipes.method(name, pictures).policies == (replace(policy, jitter=0.0, gray=0.0),)
    assert recipes.method("simclr", pictures).policies == (policy, policy)
    own = (replace(policy, noise=0.5),)
    assert recipes.method("denoising", pictures, policies=own).policies == own


@pytest.mark.parametrize("side", [8, 16, 28, 32, 45])
def test_damage_leaves_everything_in_its_place(side):
    pictures = data(3, side)
    method = small("denoising", pictures)
    method.policies = (replace(method.policies[0], jitter=0.0, gray=0.0, noise=0.0, cutout=0.0),)
    batch = method.collect(pictures.images, torch.arange(24), None, seeds.generator(0))
    torch.testing.assert_close(batch.clean, pictures.images / 255)
    assert torch.equal(batch.views[0], batch.clean)


@everyone
def test_resume_is_exact(tiny_shapes, tmp_path, name):
    straight, stopped = small(name, tiny_shapes), small(name, tiny_shapes)
    fresh, stop = copy.deepcopy(stopped), threading.Event()
    expected = train.fit(straight, tiny_shapes, CONFIG)
    watch = lambda row: row["step"] == 5 and stop.set()
    first = train.fit(stopped, tiny_shapes, CONFIG, folder=tmp_path, stop=stop, watch=watch)
    assert 5 <= first.step < 10
    second = train.fit(fresh, tiny_shapes, CONFIG, folder=tmp_path)
    weights = [m.state_dict().values() for m in (straight, fresh, stopped)]
    assert all(torch.equal(a, b) for a, b in zip(*weights[:2], strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(weights[0], weights[2], strict=True))
    losses = [{row["step"]: row["loss"] for row in h.rows if "loss" in row} for h in (expected, second)]
    assert losses[0] == losses[1]


@everyone
def test_a_run_is_saved_and_loaded(tiny_shapes, tmp_path, name):
    run = sslkit.pretrain(name, tiny_shapes, steps=2, batch_size=32, marks=0, progress=False)
    run.save(tmp_path)
    again = sslkit.load(tmp_path, data=tiny_shapes)
    assert type(again.method) is type(run.method)
    assert torch.equal(again.embed(tiny_shapes.images[:8]), run.embed(tiny_shapes.images[:8]))


@pytest.mark.parametrize("name", [n for n in NAMES if n != "rotation"])
def test_looking_changes_neither_modes_nor_weights_nor_generators(tiny_shapes, name):
    method = small(name, tiny_shapes).train()
    method.decoder_that_is_frozen = torch.nn.BatchNorm1d(2).eval()
    modes = [m.training for m in method.modules()]
    before, state = copy.deepcopy(method.state_dict()), torch.get_rng_state()
    painted = method.reconstruct(tiny_shapes.images[:4], **({"generator": seeds.generator(0)} if name == "mae" else {}))
    if hasattr(method, "sample"):
        painted = method.sample(4, seeds.generator(0))
    assert not (painted[0] if isinstance(painted, tuple) else painted).requires_grad
    assert [m.training for m in method.modules()] == modes
    assert all(torch.equal(a, b) for a, b in zip(before.values(), method.state_dict().values(), strict=True))
    assert torch.equal(state, torch.get_rng_state())

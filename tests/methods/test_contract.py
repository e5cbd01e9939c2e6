"""One battery for every method: adding a method is adding one line to METHODS in tests/every_method.py."""

import copy
from dataclasses import replace

import pytest
import torch
from every_method import METHODS
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from sslkit import augment, recipes, seeds, train
from sslkit.datasets import Images

READ_LABELS = {"supcon", "supervised", "regression", "fusion"}
LEAST = {"w_mse": 7}  # whitening needs more images than dimensions
FALLS = {"bigan": "judge"}  # a game has no loss that must fall, but its judge must learn
# How many views of a picture a method takes; the others take two or more.
VIEWS = {"moco": (2,)} | dict.fromkeys(("autoencoder", "denoising", "vae", "bigan", "mae", "rotation"), (1,))
everyone = pytest.mark.parametrize("name", METHODS)


def build(name):
    torch.manual_seed(0)
    return METHODS[name]().train()


def pictures(n, device="cpu"):
    return torch.randint(0, 256, (n, 3, 16, 16), dtype=torch.uint8, generator=seeds.generator(n)).to(device)


def labels(n, device="cpu"):
    return torch.randint(0, 4, (n,), generator=seeds.generator("labels", n)).to(device)


def collect(method, n, step=0):
    return method.collect(pictures(n), torch.arange(n), labels(n), seeds.generator("step", step))


def optimiser(method, lr=3e-3):
    return torch.optim.AdamW([{"params": g["params"]} for g in method.param_groups(0.0)], lr=lr)


@everyone
def test_loss_falls_on_a_toy_batch(name):
    method = build(name)
    batch, steps = collect(method, 32), optimiser(method, lr=1e-3 if "transformer" in name else 3e-3)
    method(batch)
    method.after_step(0.5)  # a queue starts with random rows, which are too easy: let it see the batch first
    losses = []
    for _ in range(25):
        terms = method(batch)
        steps.zero_grad()
        terms["loss"].backward()
        steps.step()
        method.after_step(0.5)
        losses.append(terms[FALLS.get(name, "loss")].item())
    assert losses[0] - sum(losses[-5:]) / 5 > 0.05 * abs(losses[0])  # some losses are negative


@everyone
def test_every_learnt_parameter_gets_a_gradient_and_is_in_one_group(name):
    method = build(name)
    method(collect(method, 16))["loss"].backward()
    learnt = [p for p in method.parameters() if p.requires_grad]
    assert all(p.grad is not None and p.grad.isfinite().all() for p in learnt)
    grouped = [id(p) for group in method.param_groups(0.3) for p in group["params"]]
    assert sorted(grouped) == sorted(id(p) for p in learnt)


@everyone
def test_no_decay_on_one_dimensional_parameters(name):
    for group in build(name).param_groups(0.0):
        assert all(p.ndim > 1 or group["decay"] == 0 for p in group["params"])


@everyone
def test_forward_is_deterministic_and_collect_follows_its_generator(name):
    method = build(name)
    batch = collect(method, 16)
    assert torch.equal(method(batch)["loss"], method(batch)["loss"])
    again, other = collect(method, 16), collect(method, 16, step=1)
    assert all(torch.equal(a, b) for a, b in zip(batch.views, again.views))
    assert not torch.equal(batch.views[0], other.views[0])


@everyone
def test_collect_does_not_touch_the_global_generator(name):
    method = build(name)
    before = torch.get_rng_state()
    method(collect(method, 8))
    assert torch.equal(before, torch.get_rng_state())


@everyone
@pytest.mark.parametrize("n", [2, 3, 7])
def test_tiny_and_odd_batches(name, n):
    method = build(name)
    batch = collect(method, n)
    if n < LEAST.get(name, 2):
        with pytest.raises(ValueError, match=f"got {n} "):
            method(batch)
    else:
        assert method(batch)["loss"].isfinite()


@everyone
def test_smaller_views_are_learnt_from_or_refused(name):
    method = build(name)
    if method.any_size:
        batch = collect(method, 16)
        batch.views = [augment.shrink(view, 0.5) for view in batch.views]
        assert method(batch)["loss"].isfinite()
    else:
        data = Images(pictures(32), labels(32), torch.zeros(32, dtype=torch.uint8))
        config = train.TrainConfig(steps=2, batch_size=16, resolutions=(0.5, 1.0), device="cpu", precision="float32")
        with pytest.raises(ValueError, match="knows pictures of one size only"):
            train.fit(method, data, config)


@everyone
def test_state_dict_round_trip(name):
    method = build(name)
    other = copy.deepcopy(method)
    for p in other.parameters():
        torch.nn.init.normal_(p)
    other.load_state_dict(method.state_dict())
    batch = collect(method, 8)
    assert torch.equal(method(batch)["loss"], other(batch)["loss"])


@everyone
def test_bfloat16_autocast_is_finite_and_near(name):
    method = build(name)
    batch = collect(method, 16)
    with torch.autocast("cpu", torch.bfloat16):
        half = method(batch)["loss"]
    assert half.dtype == torch.float32
    assert half.item() == pytest.approx(method(batch)["loss"].item(), rel=0.1)


@everyone
def test_reference_values_are_numbers(name):
    for value in build(name).reference_values(64).values():
        assert isinstance(value, float)


@everyone
def test_labels_do_not_matter_unless_the_method_says_so(name):
    method = build(name)
    batch = collect(method, 16)
    loss = method(batch)["loss"]
    batch.labels = batch.labels.flip(0)
    assert torch.equal(method(batch)["loss"], loss) == (name not in READ_LABELS)
    if name not in READ_LABELS:
        batch.labels = None
        assert torch.equal(method(batch)["loss"], loss)


@pytest.mark.parametrize("name", [n for n in METHODS if n in recipes.METHODS])
def test_spec_builds_the_same_method(name):
    method = build(name)
    again = recipes.build(method.spec, method.encoder.spec)
    again.load_state_dict(method.state_dict())
    batch = collect(method, 8)
    assert torch.equal(method(batch)["loss"], again.train()(batch)["loss"])
    assert (again.spec, again.policies) == (method.spec, method.policies)


@pytest.mark.parametrize("name", [n for n in METHODS if n in recipes.METHODS])
@pytest.mark.parametrize("n", [0, 1, 2, 3])
def test_a_view_is_looked_at_or_refused(name, n):
    """Whoever gives a policy that the method would never read is told, instead of believing that it did something."""
    spec, encoder = build(name).spec | {"policies": [{}] * n}, build(name).encoder.spec
    if n not in VIEWS.get(spec["name"], (2, 3)):
        with pytest.raises(ValueError, match=rf"policies has {n} entries; .* needs (at least )?\d views?"):
            recipes.build(spec, encoder)
        return
    method = recipes.build(spec, encoder).train()
    batch = collect(method, 16)
    loss = method(batch)["loss"]
    for i, view in enumerate(batch.views):
        others = copy.deepcopy(method)
        changed = [1 - view if i == j else other for j, other in enumerate(batch.views)]
        assert not torch.equal(others(replace(batch, views=changed))["loss"], loss)


@everyone
def test_full_step_on_the_meta_device(name):
    """Nothing may depend on values or be born on the CPU, except draws and the optimiser's counters."""
    method = build(name).to("meta")
    batch = method.collect(pictures(8, "meta"), torch.arange(8, device="meta"), labels(8, "meta"), seeds.generator(0))
    assert all(view.device.type == "meta" for view in batch.views)
    steps = optimiser(method)
    loss = method(batch)["loss"]
    loss.backward()
    steps.step()
    method.after_step(0.5)
    assert loss.device.type == "meta"
    assert all(p.grad.device.type == "meta" for p in method.parameters() if p.requires_grad)
    for state in steps.state.values():
        assert all(t.device.type == "meta" for k, t in state.items() if k != "step")


@everyone
def test_forward_on_a_fake_gpu_with_autocast(name):
    """Inside FakeTensorMode mixing devices raises and so does reading a value. Autocast has to be forced: without a
    driver it switches itself off silently."""
    before = torch.is_autocast_enabled("cuda"), torch.get_autocast_dtype("cuda")
    seen = []
    with FakeTensorMode(), torch.device("cuda"):
        method = METHODS[name]().train()
        first = next(m for m in method.encoder.modules() if isinstance(m, nn.Conv2d | nn.Linear))
        first.register_forward_hook(lambda module, inputs, output: seen.append(output.dtype))
        images = torch.randint(0, 256, (8, 3, 16, 16), dtype=torch.uint8)
        batch = method.collect(images, torch.arange(8), torch.zeros(8).long(), torch.Generator("cpu").manual_seed(0))
        try:
            torch.set_autocast_enabled("cuda", True)
            torch.set_autocast_dtype("cuda", torch.bfloat16)
            loss = method(batch)["loss"]
        finally:
            torch.set_autocast_enabled("cuda", before[0])
            torch.set_autocast_dtype("cuda", before[1])
    assert loss.device.type == "cuda"
    assert seen == [torch.bfloat16] * len(seen)
    assert seen


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="cuda: no GPU here")
@everyone
def test_step_on_a_real_gpu_equals_the_cpu(name):
    method = build(name)
    batch = collect(method, 16)
    expected = method(batch)["loss"].item()
    method.to("cuda")
    batch.views = [view.to("cuda") for view in batch.views]
    for part in ("labels", "pseudo_labels", "clean", "noise"):
        if getattr(batch, part) is not None:
            setattr(batch, part, getattr(batch, part).to("cuda"))
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        assert method(batch)["loss"].item() == pytest.approx(expected, rel=1e-3)

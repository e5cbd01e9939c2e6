"""Methods with a memory: when it moves, that it is saved, and that training goes on bit for bit."""

import copy
import threading

import pytest
import torch

from sslkit import augment, nets, recipes, seeds, train
from sslkit.methods import Batch

SMALL = {
    "moco": {"queue_size": 48},
    "nnclr": {"queue_size": 48},
    "swav": {"n_prototypes": 16},
    "dino": {"n_prototypes": 16},
}
NAMES = ["moco", "nnclr", "byol", "simsiam", "swav", "dino"]
everyone = pytest.mark.parametrize("name", NAMES)
MEMORY = {"moco": "queue.", "nnclr": "queue.", "dino": "centre"}  # what moves without any training
TEACHERS = ["moco", "byol", "dino"]


def method(data, name, seed=0, **options):
    encoder = nets.small_resnet(widths=(8, 16))
    return recipes.method(name, data, seed=seed, encoder=encoder, head=(32, 16), **SMALL.get(name, {}), **options)


def state(method, prefix=""):
    return {key: value.clone() for key, value in method.state_dict().items() if key.startswith(prefix)}


def equal(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def batch(method, data, step=0, n=16):
    index = torch.arange(n)
    return method.collect(data.train.images[:n], index, None, seeds.generator("batch", step))


def learn(method, data, steps=3):
    optimiser = torch.optim.SGD([p for p in method.parameters() if p.requires_grad], lr=0.1)
    for step in range(steps):
        loss = method(batch(method, data, step))["loss"]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        method.after_step(step / steps)
    return method


@everyone
def test_ten_and_ten_steps_are_twenty_bit_for_bit(tiny_shapes, tmp_path, name):
    config = train.TrainConfig(
        steps=20, batch_size=32, device="cpu", precision="float32", channels_last=False, marks=2, probe=20
    )
    straight = method(tiny_shapes, name)
    stopped, fresh = copy.deepcopy(straight), method(tiny_shapes, name, seed=1)
    expected = train.fit(straight, tiny_shapes, config)
    stop = threading.Event()
    at_ten = lambda row: row["step"] == 10 and stop.set()
    assert train.fit(stopped, tiny_shapes, config, folder=tmp_path, stop=stop, watch=at_ten).step in (10, 11)
    second = train.fit(fresh, tiny_shapes, config, folder=tmp_path)
    assert equal(state(straight), state(fresh))
    losses = [{row["step"]: row["loss"] for row in h.rows if "loss" in row} for h in (expected, second)]
    assert losses[0] == losses[1]
    assert len(losses[0]) == 20
    if name in ("moco", "nnclr"):
        assert straight.queue.pointer == 20 * 32 % 48  # it went round, and not at the end of a batch


@pytest.mark.parametrize("name", MEMORY)
def test_memory_moves_after_the_step_only_and_is_saved(tiny_shapes, name):
    taught = method(tiny_shapes, name).train()
    before = state(taught, MEMORY[name])
    taught(batch(taught, tiny_shapes))
    taught(batch(taught, tiny_shapes))
    assert equal(before, state(taught, MEMORY[name]))
    taught.after_step(0.5)
    moved = state(taught, MEMORY[name])
    assert not any(torch.equal(before[key], moved[key]) for key in before)
    other = method(tiny_shapes, name, seed=1)
    other.load_state_dict(taught.state_dict())
    assert equal(moved, state(other, MEMORY[name]))


@pytest.mark.parametrize("name", TEACHERS)
def test_running_statistics_fit_the_teachers_own_weights(tiny_shapes, name):
    """In eval mode it says what it says in train mode of a large batch; with the student's statistics it would not."""
    taught = method(tiny_shapes, name, momentum=0.99, norm="batch").train()
    with torch.no_grad():  # a student that has gone somewhere else
        for p in (*taught.encoder.parameters(), *taught.head.parameters()):
            p.mul_(1.5).add_(0.05)
    for step in range(60):
        taught(batch(taught, tiny_shapes, step, n=64))  # both see it, in train mode
    taught.after_step(1.0)
    views = batch(taught, tiny_shapes, 0, n=64).views[0]
    told_in_training = taught.teacher(views)
    assert torch.cosine_similarity(told_in_training, taught.teacher.eval()(views)).mean() > 0.9


@pytest.mark.parametrize("name", TEACHERS)
def test_teacher_has_no_gradient_and_moves_after_the_step_only(tiny_shapes, name):
    taught = method(tiny_shapes, name, momentum=0.8).train()
    optimiser = torch.optim.SGD([p for g in taught.param_groups(0.9) for p in g["params"]], lr=0.1)
    before = [p.clone() for p in taught.teacher.parameters()]
    taught(batch(taught, tiny_shapes))["loss"].backward()
    optimiser.step()
    assert all(p.grad is None for p in taught.teacher.parameters())
    assert all(torch.equal(p, was) for p, was in zip(taught.teacher.parameters(), before))
    taught.after_step(0.5)
    momentum = 0.8 if name == "moco" else 0.9  # half way along the cosine from 0.8 to 1
    student = [taught.encoder, taught.head, *([taught.prototypes] if name == "dino" else [])]
    theirs = [p for part in student for p in part.parameters()]
    for mine, was, new in zip(taught.teacher.parameters(), before, theirs, strict=True):
        assert torch.allclose(mine, momentum * was + (1 - momentum) * new, atol=1e-6)
    buffers = [b for part in student for b in part.named_buffers()]
    running = ("running_mean", "running_var", "num_batches_tracked")
    for (_, mine), (which, new) in zip(taught.teacher.named_buffers(), buffers, strict=True):
        assert which.endswith(running) or torch.equal(mine, new)  # pixel statistics follow
    taught.after_step(1.0)
    if name != "moco":  # momentum 1: it has come to rest
        assert all(torch.allclose(p, 0.9 * was + 0.1 * new, atol=1e-6)
                   for p, was, new in zip(taught.teacher.parameters(), before, theirs))  # fmt: skip


@everyone
def test_a_trained_method_is_rebuilt_from_its_spec(tiny_shapes, name):
    taught = learn(method(tiny_shapes, name).train(), tiny_shapes)
    again = recipes.build(taught.spec, taught.encoder.spec, seed=5)
    again.load_state_dict(taught.state_dict())
    probe = batch(taught, tiny_shapes, step=9)
    assert torch.equal(taught.eval()(probe)["loss"], again.eval()(probe)["loss"])


@everyone
def test_the_teacher_and_the_queue_are_not_trained(tiny_shapes, name):
    learnt = {id(p) for group in method(tiny_shapes, name).param_groups(0.0) for p in group["params"]}
    built = method(tiny_shapes, name)
    trained = [key for key, p in built.named_parameters() if p.requires_grad]
    assert {key.split(".")[0] for key in trained} <= {"encoder", "head", "predictor", "prototypes"}
    assert len(learnt) == len(trained)


@pytest.mark.parametrize("name", ["swav", "dino"])
def test_prototypes_stand_still_at_first(tiny_shapes, name):
    built = method(tiny_shapes, name, freeze=0.25)
    factors = {
        progress: {id(p): group["lr"] for group in built.param_groups(progress) for p in group["params"]}
        for progress in (0.0, 0.24, 0.25, 0.9)
    }
    prototypes = id(built.prototypes.weight)
    assert [factors[progress].pop(prototypes) for progress in factors] == [0.0, 0.0, 1.0, 1.0]
    assert all(set(others.values()) == {1.0} for others in factors.values())
    start = built.prototypes.weight.detach().clone()
    config = train.TrainConfig(steps=8, batch_size=32, device="cpu", precision="float32", channels_last=False, marks=0)
    seen = []
    built.after_step = lambda progress, then=built.after_step: (
        then(progress),
        seen.append(torch.equal(start, built.prototypes.weight)),
    )
    train.fit(built, tiny_shapes, config)
    assert seen == [True] * 2 + [False] * 6


@pytest.mark.parametrize("name", ["swav", "dino"])
def test_multi_crop_views(tiny_shapes, name):
    built = method(tiny_shapes, name, **recipes.multi_crop(tiny_shapes))
    views = batch(built, tiny_shapes).views
    assert [tuple(view.shape[1:]) for view in views] == 2 * [(3, 16, 16)] + 4 * [(3, 8, 8)]
    full, small = built.policies[0], built.policies[-1]
    assert built.policies == (full, full, small, small, small, small)
    assert full == recipes.views_for(tiny_shapes)
    assert small.scale == (full.scale[0] / 2, full.scale[0])


@everyone
def test_one_view_is_not_enough(name):
    with pytest.raises(ValueError, match=f"policies has 1 entries; {name} needs"):
        recipes.METHODS[name](nets.small_resnet(widths=(8,)), policies=(augment.Policy(),))


@everyone
def test_each_image_has_its_own_loss_whatever_the_order(tiny_shapes, name):
    """Permuting the images of a batch changes nothing: rows belong together across views, and nothing else has an order."""
    built = method(tiny_shapes, name)
    views = batch(built, tiny_shapes).views
    order = torch.randperm(16, generator=seeds.generator(0))
    index = torch.arange(16)
    one = built.train()(Batch(views, index))["loss"]  # in eval mode all pictures are almost one to an untrained network
    other = built(Batch([view[order] for view in views], index))["loss"]
    assert torch.allclose(one, other, atol=5e-6)
    torn = built(Batch([views[0], *(view[order] for view in views[1:])], index))["loss"]
    assert not torch.allclose(one, torn, rtol=0, atol=2e-5)

"""The gate: what is redrawn, how often, by whose score, and that neither network disturbs the other."""

import copy

import pytest
import torch
from torch import nn

from sslkit import augment, nets, recipes, seeds
from sslkit.augment import Policy
from sslkit.methods import GatedSimCLR, SimCLR
from sslkit.methods.gate import choose

PLAIN = dict(scale=(1.0, 1.0), ratio=(1.0, 1.0), flip=0.0, jitter=0.0, gray=0.0)
HOLED = Policy(**PLAIN, cutout=0.5, cutout_side=0.5)  # every second draw has a hole


def build(**options):
    torch.manual_seed(0)
    encoder = nets.small_resnet(widths=(8, 16), norm="group")
    return GatedSimCLR(encoder, head=(16, 8), norm="group", **{"policies": (HOLED, HOLED), **options})


def pictures(n=40):
    return torch.randint(0, 120, (n, 3, 16, 16), dtype=torch.uint8, generator=seeds.generator("dark"))


def collect(method, images, key=0):
    return method.collect(images, torch.arange(len(images)), None, seeds.generator(key))


def hole(view):
    return (view == augment.MID_GREY).all(dim=1).flatten(1).any(dim=1)  # no dark picture is mid-grey


class FindsHoles(nn.Module):
    """A planted discriminator, which knows one defect."""

    def forward(self, x):
        return 0.5 - hole(x).float()


def planted(**options):
    method = build(**options)
    method.judge = FindsHoles()
    return method


def test_choose_takes_the_first_that_passes_else_the_best():
    scores = torch.tensor([[0.1, 0.9, 0.1, 0.5], [0.7, 0.8, 0.3, 0.5], [0.9, 0.2, 0.2, 0.4]])
    tries = torch.arange(3)[:, None].expand(3, 4)
    assert choose(tries, scores, torch.tensor(0.5)).tolist() == [1, 0, 1, 0]
    assert choose(tries, scores, torch.tensor(1.0)).tolist() == [2, 0, 1, 0]
    assert choose(tries, scores, torch.tensor(-9.0)).tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize("tries", [1, 2, 3])
def test_views_with_the_planted_defect_are_redrawn(tries):
    """A view keeps its hole only if every one of its draws had one; else it is the first draw without."""
    images, method = pictures(), planted(max_tries=tries)
    views, generator = collect(method, images).views, seeds.generator(0)
    for view in views:
        draws = [augment.view(images, HOLED, generator) for _ in range(tries)]
        holes = torch.stack([hole(draw) for draw in draws])  # (T, B)
        assert torch.equal(hole(view), holes.all(dim=0))
        first = holes.int().argmin(dim=0)
        assert torch.equal(view, torch.stack([draws[t][i] for i, t in enumerate(first)]))
    assert hole(views[0]).any() or tries > 1


def test_always_max_tries_draws_and_never_one_more(monkeypatch):
    calls, draw = [], augment.draw
    monkeypatch.setattr(augment, "draw", lambda *arguments: calls.append(1) or draw(*arguments))
    for threshold in (-100.0, 0.0, 100.0):
        calls.clear()
        method = build(max_tries=3)
        method.threshold.fill_(threshold)
        collect(method, pictures(4))
        assert len(calls) == 2 * 3


@pytest.mark.parametrize("gate", ["discriminator", "random"])
def test_the_generator_decides(gate):
    method, images = build(gate=gate), pictures()
    one, same, other = (collect(method, images, key).views[1] for key in (0, 0, 1))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_no_sample_looks_at_another():
    """Turning one picture upside down changes what the gate says of it, and of no other."""
    method, images = build(policies=(Policy(), Policy()), reject=0.5), pictures(8)
    scores = lambda x: method.score(augment.to_float(x)[None])[0]
    changed = images.clone()
    changed[3] = 255 - images[3]
    assert torch.allclose(scores(images)[[0, 1, 2, 4, 5, 6, 7]], scores(changed)[[0, 1, 2, 4, 5, 6, 7]], atol=1e-6)
    assert (scores(images)[3] - scores(changed)[3]).abs() > 1e-4
    method.threshold.copy_(scores(images).median())
    one, two = collect(method, images).views[0], collect(method, changed).views[0]
    assert torch.equal(one[[0, 1, 2, 4, 5, 6, 7]], two[[0, 1, 2, 4, 5, 6, 7]])


def test_random_gate_rejects_at_its_rate_and_has_nothing_to_learn():
    method, n = build(gate="random", reject=0.3, max_tries=2), 4000
    passed = method.score(torch.empty(1, n, 1), seeds.generator(0)) >= method.threshold
    assert passed.float().mean().item() == pytest.approx(0.7, abs=5 * (0.21 / n) ** 0.5)
    names = {name for name, _ in method.named_parameters()}
    assert names == {name for name, _ in SimCLR(method.encoder, head=(16, 8), norm="group").named_parameters()}
    batch = collect(method, pictures(6))
    assert batch.clean is None
    assert set(method(batch)) == {"loss"}
    method.after_step(0.0)


def test_threshold_follows_the_quantile_of_the_scores():
    method = build(reject=0.25)
    batch = collect(method, pictures(40))
    for _ in range(100):
        method(batch)
        method.after_step(0.0)
    scores = method.score(batch.noise[None])[0]
    assert (scores < method.threshold).float().mean().item() == pytest.approx(0.25, abs=0.03)
    assert "threshold" in method.state_dict()
    copy.deepcopy(method)  # what it saw last is no part of a graph


def test_encoder_and_discriminator_do_not_disturb_each_other():
    method = build(policies=(Policy(), Policy()))
    batch = collect(method, pictures(8))
    method(batch)["loss"].backward()
    mine = {name: p.grad.clone() for name, p in method.named_parameters()}
    terms = method(batch)
    judge, others = list(method.judge.parameters()), list(method.encoder.parameters())
    for got, want in zip(torch.autograd.grad(terms["gate"], judge, retain_graph=True), judge):
        assert torch.allclose(got, want.grad)
    assert torch.autograd.grad(terms["gate"], others, allow_unused=True, retain_graph=True) == (None,) * len(others)
    plain = SimCLR(method.encoder, head=(16, 8), norm="group")
    plain.head = method.head
    method.zero_grad()
    plain(batch)["loss"].backward()
    for name, p in plain.named_parameters():
        assert torch.allclose(p.grad, mine[name], atol=1e-7)


def test_what_the_discriminator_compares_differs_in_the_crop_alone():
    policy = Policy(scale=(0.1, 0.3), hue=0.5, gray=0.5)
    method, images = build(policies=(policy, policy)), pictures(6)
    batch, first = collect(method, images), augment.draw(policy, 6, (3, 16, 16), seeds.generator(0))
    assert torch.equal(batch.noise, augment.apply(images, first))
    assert torch.equal(batch.clean, augment.apply(images, augment.uncropped(first)))


def test_discriminator_learns_to_tell_crops_from_pictures(tiny_shapes):
    method = recipes.method("gated_simclr", tiny_shapes, encoder=nets.small_resnet(widths=(8,)))
    method.policies = (Policy(scale=(0.1, 0.3), hue=0.5),) * 2
    steps, losses = torch.optim.Adam(method.judge.parameters(), lr=3e-3), []
    for step in range(40):
        rows = slice(64 * step % 256, 64 * step % 256 + 64)
        terms = method(collect(method, tiny_shapes.images[rows], step))
        steps.zero_grad()
        terms["gate"].backward()
        steps.step()
        losses.append(terms["gate"].item())
    assert sum(losses[-5:]) / 5 < 0.8 * losses[0]
    batch = collect(method, tiny_shapes.images[:64])
    assert method.score(batch.clean[None]).mean() > method.score(batch.noise[None]).mean()  # high is valid


def test_masks_tell_how_much_of_the_object_survives():
    """The mask's view times the share of its crop is the part of the object inside the box."""
    masks = torch.zeros(30, 1, 16, 16, dtype=torch.uint8)
    masks[:, :, 4:10, 3:12] = 255
    policy = Policy(scale=(0.05, 0.6), hue=0.5, gray=0.5, noise=0.1, blur=0.5, cutout=0.5)
    params = augment.draw(policy, 30, (3, 16, 16), seeds.generator(1))
    view = augment.apply(masks, augment.of_masks(params))
    for i, (top, left, height, width) in enumerate(params.box.tolist()):
        inside = masks[i, 0, top : top + height, left : left + width].float().mean() / 255
        assert view[i].mean().item() == pytest.approx(inside.item(), abs=0.05)


def test_bad_arguments():
    with pytest.raises(ValueError, match=r"Unknown gate 'randon'\. Did you mean 'random'"):
        build(gate="randon")
    for bad in ({"reject": 1.0}, {"reject": -0.1}, {"max_tries": 0}):
        with pytest.raises(ValueError, match="a share below 1 and at least one try"):
            build(**bad)

"""The pretext task: rotations are exact, pseudo-labels say what was done, and a collapsed encoder costs ln 4."""

import math

import numpy as np
import pytest
import torch

from sslkit import nets, seeds
from sslkit.augment import Policy
from sslkit.methods import Rotation

STILL = Policy(scale=(1, 1), ratio=(1, 1), flip=0, jitter=0, gray=0)


def collect(method, images):
    return method.collect(images, torch.arange(len(images)), None, seeds.generator("step"))


def pictures(n=5, H=16, W=16):
    return torch.randint(0, 256, (n, 3, H, W), dtype=torch.uint8, generator=seeds.generator(0))


def test_quarter_turns_are_exact():
    images = pictures()
    views = collect(Rotation(nets.small_resnet(widths=(8,)), policies=(STILL,)), images).views
    assert len(views) == 4
    x = views[0]
    torch.testing.assert_close(x, images / 255)
    for turns, view in enumerate(views):
        assert torch.equal(view, torch.from_numpy(np.rot90(x.numpy(), turns, axes=(2, 3)).copy()))
        assert torch.equal(view.rot90(-turns, dims=(2, 3)), x)
    assert torch.equal(views[2], x.flip(2, 3))
    assert torch.equal(views[1], x.transpose(2, 3).flip(2))  # as in the authors' code: transpose, then upside down
    assert torch.equal(views[3], x.flip(2).transpose(2, 3))


@pytest.mark.parametrize("size", [(16, 40), (31, 17)])
def test_the_shape_of_a_view_does_not_tell_how_it_was_turned(size):
    images = pictures(4, *size)
    views = collect(Rotation(nets.small_resnet(widths=(8,)), policies=(STILL,)), images).views
    side = min(size)
    assert {view.shape for view in views} == {(4, 3, side, side)}
    top, left = ((length - side) // 2 for length in size)
    torch.testing.assert_close(views[0], images[:, :, top : top + side, left : left + side] / 255)


def test_all_turns_are_of_one_view():
    views = collect(Rotation(nets.small_resnet(widths=(8,)), policies=(Policy(),)), pictures()).views
    for turns, view in enumerate(views):
        assert torch.equal(view, views[0].rot90(turns, dims=(2, 3)))


def test_pseudo_labels_say_what_was_done_to_each_view():
    method = Rotation(nets.small_resnet(widths=(8,))).eval()
    batch = collect(method, pictures())
    assert batch.pseudo_labels.tolist() == [[turns] * 5 for turns in range(4)]
    logits = torch.cat([method.head(method.encoder(view)) for view in batch.views])  # (20, 4)
    expected = -logits.log_softmax(1)[torch.arange(20), batch.pseudo_labels.flatten()].mean()
    terms = method(batch)
    torch.testing.assert_close(terms["loss"], expected)
    assert terms["accuracy"].item() == pytest.approx((logits.argmax(1) == batch.pseudo_labels.flatten()).float().mean())
    batch.pseudo_labels = batch.pseudo_labels.roll(1, 0)  # the labels are read, not assumed
    assert method(batch)["loss"] != terms["loss"]


def test_equal_representations_cost_at_least_ln_4():
    method = Rotation(nets.small_resnet(widths=(8,)))
    batch = collect(method, pictures())
    collapsed = method.reference_values(5)["collapsed"]
    assert collapsed == pytest.approx(math.log(4))
    torch.nn.init.zeros_(method.head.weight)
    for bias in (torch.zeros(4), torch.tensor([0.5, 0.0, 0.0, 0.0])):
        method.head.bias.data = bias
        loss = method(batch)["loss"].item()
        assert loss == pytest.approx(collapsed) if bias.sum() == 0 else loss > collapsed + 1e-3


def test_images_need_not_be_square():
    method = Rotation(nets.small_resnet(widths=(8,)))
    batch = collect(method, pictures(H=12, W=16))
    assert {tuple(view.shape[2:]) for view in batch.views} == {(12, 12)}
    assert method(batch)["loss"].isfinite()

"""MoCo: which tensors meet, and what the queue does to them."""

import math

import pytest
import torch

from sslkit import nets
from sslkit.losses import info_nce
from sslkit.methods import Batch, MoCo


@pytest.fixture
def moco():
    torch.manual_seed(0)
    return MoCo(nets.small_resnet(widths=(8,)), queue_size=10, temperature=0.3, head=(16, 8)).eval()


def views():
    return [torch.rand(6, 3, 8, 8) for _ in range(2)]


def test_loss_is_info_nce_of_query_key_and_queue(moco):
    one, two = views()
    torch.nn.init.normal_(moco.teacher.network[1][0].weight)  # another network than the student
    q, k = moco.head(moco.encoder(one)), moco.teacher.network(two)
    expected = info_nce(q, k, moco.queue.rows, temperature=0.3)
    assert torch.allclose(moco(Batch([one, two], torch.arange(6)))["loss"], expected)


def test_keys_of_this_batch_are_negatives_of_the_next(moco):
    batch = Batch(views(), torch.arange(6))
    keys = torch.nn.functional.normalize(moco.teacher(batch.views[1]), dim=1)
    for step in range(3):
        moco(batch)
        assert not torch.isclose(moco.queue.rows[step * 6 % 10], keys[0], atol=1e-6).all()
        moco.after_step(0.0)
        assert torch.allclose(moco.queue.rows[step * 6 % 10], keys[0], atol=1e-6)
    assert moco.queue.pointer == 18 % 10


def test_a_batch_larger_than_the_queue(moco):
    moco(Batch([torch.rand(23, 3, 8, 8) for _ in range(2)], torch.arange(23)))
    last = moco.keys[-10:]
    moco.after_step(0.0)
    assert torch.allclose(moco.queue.rows, torch.nn.functional.normalize(last, dim=1), atol=1e-6)


def test_no_gradient_reaches_the_key_view(moco):
    one, two = (view.requires_grad_() for view in views())
    moco(Batch([one, two], torch.arange(6)))["loss"].backward()
    assert one.grad.abs().sum() > 0
    assert two.grad is None


def test_reference_values_count_the_queue_not_the_batch(moco):
    assert moco.reference_values(6) == moco.reference_values(256)
    assert moco.reference_values(6)["collapsed"] == pytest.approx(math.log(11))
    with torch.no_grad():
        moco.queue.rows.copy_(torch.ones(1, 8).expand(10, 8))
    same = torch.ones(6, 8)
    assert info_nce(same, same, moco.queue.rows, temperature=0.3).item() == pytest.approx(math.log(11))

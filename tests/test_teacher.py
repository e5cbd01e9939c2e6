"""What methods remember: a teacher that follows slowly, and a queue that goes round."""

from collections import deque

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from sslkit.nets import Prototypes, Queue, Teacher, prediction_head


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))


def changed(student):
    """The student after some step: other weights, other running statistics."""
    student(torch.randn(8, 4) + 2)
    with torch.no_grad():
        for p in student.parameters():
            p += torch.randn_like(p)
    return student


def test_a_teacher_starts_as_a_copy_without_gradients():
    student = network()
    teacher = Teacher(student)
    for mine, theirs in zip(teacher.network.state_dict().values(), student.state_dict().values(), strict=True):
        assert torch.equal(mine, theirs)
        assert mine is not theirs
    assert not any(p.requires_grad for p in teacher.parameters())
    assert all(p.requires_grad for p in student.parameters())
    x = torch.randn(5, 4, requires_grad=True)
    assert not teacher(x).requires_grad
    changed(student)
    assert not torch.equal(teacher(x), student(x))  # nothing is shared


@pytest.mark.parametrize("momentum", [0.0, 0.9, 1.0])
def test_it_follows_in_parameters_and_keeps_its_own_statistics(momentum):
    student = network()
    student.register_buffer("pixels", torch.zeros(3))
    teacher = Teacher(student)
    before = [p.clone() for p in teacher.parameters()]
    student.pixels.fill_(7.0)
    teacher.follow(changed(student), momentum)
    for was, mine, theirs in zip(before, teacher.parameters(), student.parameters(), strict=True):
        assert torch.allclose(mine, momentum * was + (1 - momentum) * theirs, atol=1e-6)
        assert not mine.requires_grad
    for (name, mine), theirs in zip(teacher.network.named_buffers(), student.buffers(), strict=True):
        assert torch.equal(mine, theirs) == (name == "pixels")
    assert all(p.requires_grad for p in student.parameters())


@pytest.mark.parametrize("size", [1, 5, 8])
@pytest.mark.parametrize("batches", [[3, 3, 3, 3], [1] * 12, [8, 2, 8], [5, 13, 4], [20], [7, 0, 7]])
def test_a_queue_keeps_the_last_rows_for_any_batch_size(size, batches):
    queue, memory = Queue(size, 4), deque(maxlen=size)
    memory.extend(queue.rows.clone())
    for z in [torch.randn(n, 4) for n in batches]:
        queue.put(z)
        memory.extend(F.normalize(z, dim=1))
        assert 0 <= queue.pointer < size
        oldest_first = queue.rows.roll(-queue.pointer.item(), dims=0)
        assert torch.allclose(oldest_first, torch.stack(list(memory)), atol=1e-6)


def test_a_queue_is_state_without_gradient():
    queue, z = Queue(6, 4), torch.randn(4, 4, requires_grad=True)
    queue.put(z)
    queue.put(2 * z)
    assert not queue.rows.requires_grad
    assert torch.allclose(queue.rows.norm(dim=1), torch.ones(6))
    again = Queue(6, 4)
    again.load_state_dict(queue.state_dict())
    assert torch.equal(again.rows, queue.rows)
    assert again.pointer == queue.pointer == 2
    assert list(queue.parameters()) == []
    queue.put(z.bfloat16())  # what autocast hands over
    assert queue.rows.dtype == torch.float32


def test_nearest_is_the_most_similar_row():
    queue, z = Queue(9, 4), torch.randn(5, 4, requires_grad=True)
    found = queue.nearest(z)
    for row, neighbour in zip(z, found):
        cosines = [F.cosine_similarity(row, other, dim=0).item() for other in queue.rows]
        assert torch.equal(neighbour, queue.rows[cosines.index(max(cosines))])
    assert not found.requires_grad
    queue.put(10 * z)
    assert torch.allclose(queue.nearest(z), F.normalize(z, dim=1), atol=1e-6)


def test_prototypes_are_cosines_whatever_the_lengths():
    prototypes, z = Prototypes(4, 7), torch.randn(5, 4)
    expected = torch.stack([F.cosine_similarity(z, w[None]) for w in prototypes.weight], dim=1)
    assert torch.allclose(prototypes(z), expected, atol=1e-6)
    with torch.no_grad():
        prototypes.weight *= torch.rand(7, 1) + 0.1
    assert torch.allclose(prototypes(3 * z), expected, atol=1e-6)
    prototypes(torch.zeros(2, 4, requires_grad=True)).sum().backward()
    assert prototypes.weight.grad.isfinite().all()


def test_prediction_head_stays_in_its_space():
    assert prediction_head(8, 3)(torch.rand(5, 8)).shape == (5, 8)

"""DINO: the teacher's centred and sharpened outputs of two views, the student's of all."""

import math

import pytest
import torch

from sslkit import nets
from sslkit.losses import self_distillation
from sslkit.methods import DINO, Batch


def dino(**options):
    torch.manual_seed(0)
    return DINO(nets.small_resnet(widths=(8,)), n_prototypes=5, head=(16, 8), **options).eval()


def views():
    return [torch.rand(6, 3, side, side) for side in (8, 8, 4, 4)]


def test_loss_is_self_distillation():
    method, batch = dino(student_temperature=0.2, teacher_temperature=0.07), Batch(views(), torch.arange(6))
    torch.nn.init.normal_(method.teacher.network[2].weight)  # another network than the student
    method.centre.copy_(torch.linspace(-0.1, 0.1, 5))
    student = [method.prototypes(method.head(method.encoder(view))) for view in batch.views]
    teacher = [method.teacher.network(view) for view in batch.views[:2]]
    expected = self_distillation(student, teacher, method.centre, student_temperature=0.2, teacher_temperature=0.07)
    assert torch.allclose(method(batch)["loss"], expected, atol=1e-6)


def test_the_centre_follows_the_teachers_mean():
    method, batch = dino(centre_momentum=0.8), Batch(views(), torch.arange(6))
    mean = torch.cat([method.teacher(view) for view in batch.views[:2]]).mean(dim=0)
    for step in range(1, 4):
        method(batch)
        method.after_step(1.0)  # momentum 1: the teacher stays
        assert torch.allclose(method.centre, (1 - 0.8**step) * mean, atol=1e-6)


def test_without_centre_it_stays_at_zero():
    method = dino(centre=False)
    method(Batch(views(), torch.arange(6)))
    method.after_step(0.5)
    assert torch.equal(method.centre, torch.zeros(5))


def test_reference_value_is_what_a_centred_constant_gives():
    method = dino()
    with torch.no_grad():
        for weight in (method.prototypes.weight, method.teacher.network[2].weight):
            weight.copy_(torch.ones(5, 8))
    loss = method(Batch(views(), torch.arange(6)))["loss"].item()
    assert loss == pytest.approx(method.reference_values(6)["all outputs equal"], rel=1e-5)
    assert loss == pytest.approx(math.log(5), rel=1e-5)

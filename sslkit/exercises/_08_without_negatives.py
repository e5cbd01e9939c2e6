"""Exercises of notebook 08: how a teacher follows its student, and the loss whose gradient is the whole method.

Most mistakes here give a training that runs, and a loss that falls: a teacher that stands still, or one that is the
student; a target that runs to meet its prediction. Only the other tensors and the gradient can tell.
"""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sslkit.exercises._facts import Probe, randn
from sslkit.exercises._framework import Exercise, Zoo
from sslkit.losses import cosine_distance

# 08a: the teacher follows -----------------------------------------------------------------------------------


@torch.no_grad()
def ema_update(teacher: nn.Module, student: nn.Module, *, momentum: float) -> nn.Module:
    """Move the teacher's parameters a little towards the student's, and give the teacher back."""
    for mine, theirs in zip(teacher.parameters(), student.parameters()):
        mine.lerp_(theirs, 1 - momentum)
    return teacher


def _with(rule: Callable[[Tensor, Tensor, float], Tensor]) -> Callable:
    """An update that does everything right but the rule: `rule(mine, theirs, momentum)` is the new parameter."""

    @torch.no_grad()
    def update(teacher: nn.Module, student: nn.Module, *, momentum: float) -> nn.Module:
        for mine, theirs in zip(teacher.parameters(), student.parameters()):
            mine.copy_(rule(mine, theirs, momentum))
        return teacher

    return update


follow = Zoo()
follow.add(
    "a teacher that does not move",
    "`p = m * p + ...` only gives the name p a new meaning. Write into the tensor, for example with p.copy_(...).",
    _with(lambda mine, theirs, momentum: mine),
)
follow.add(
    "an update with the momentum swapped",
    "The momentum is the share of the old teacher: m * teacher + (1 - m) * student.",
    _with(lambda mine, theirs, momentum: theirs.lerp(mine, 1 - momentum)),
)
follow.add(
    "a teacher that is a copy of the student",
    "Nothing of the old teacher is left: it must keep the share `momentum`.",
    _with(lambda mine, theirs, momentum: theirs),
)
follow.add(
    "an update without the factor 1 - momentum",
    "The two shares must add up to 1, or the weights grow at every step.",
    _with(lambda mine, theirs, momentum: momentum * mine + theirs),
)
follow.add(
    "an update that does not make the old teacher smaller",
    "(1 - m) * student is added, but the teacher was not multiplied by m before.",
    _with(lambda mine, theirs, momentum: mine + (1 - momentum) * theirs),
)
follow.add(
    "a teacher that moves away from the student",
    "The sign: the step goes from the teacher to the student, (1 - m) * (student - teacher).",
    _with(lambda mine, theirs, momentum: mine + (1 - momentum) * (mine - theirs)),
)
follow.add(
    "an update with a fixed momentum of 0.99",
    "Use the argument: the momentum may change during a training.",
    _with(lambda mine, theirs, momentum: mine.lerp(theirs, 0.01)),
)


@follow.keep(
    "an update that moves the student",
    "The in-place operation is on the wrong one. The student moves by its optimiser only; here the teacher moves.",
)
@torch.no_grad()
def _moves_the_student(teacher, student, *, momentum):
    ema_update(student, teacher, momentum=momentum)
    return teacher


@follow.keep(
    "an update that is written into the student",
    "The numbers are right, but the teacher should get them. The student moves by its optimiser only.",
)
@torch.no_grad()
def _into_the_student(teacher, student, *, momentum):
    for mine, theirs in zip(teacher.parameters(), student.parameters()):
        theirs.lerp_(mine, momentum)
    return teacher


@follow.keep(
    "a teacher whose buffers are the student's own",
    "`b.data = ...` or `b.set_(...)` makes both the same numbers in memory. Leave the teacher's buffers alone.",
)
@torch.no_grad()
def _shares_buffers(teacher, student, *, momentum):
    for mine, theirs in zip(teacher.buffers(), student.buffers()):
        mine.data = theirs.data
    return ema_update(teacher, student, momentum=momentum)


@follow.keep(
    "an update that moves both",
    "The teacher is right, but `theirs.mul_(1 - m)` has made the student smaller, too. Names that end in _ write in place.",
)
@torch.no_grad()
def _moves_both(teacher, student, *, momentum):
    for mine, theirs in zip(teacher.parameters(), student.parameters()):
        mine.mul_(momentum).add_(theirs.mul_(1 - momentum))
    return teacher


@follow.keep(
    "an update that copies the student's buffers",
    "The running mean and variance of a batch norm fit the weights of its own network. The teacher sees the batches, too, "
    "and counts for itself: leave its buffers alone.",
)
@torch.no_grad()
def _copies_buffers(teacher, student, *, momentum):
    for mine, theirs in zip(teacher.buffers(), student.buffers()):
        mine.copy_(theirs)
    return ema_update(teacher, student, momentum=momentum)


@follow.keep(
    "an update that averages everything in the state_dict",
    "That has the buffers in it: what the teacher itself has seen, and a counter, which is a whole number. Move the "
    "parameters only.",
)
@torch.no_grad()
def _state_dict(teacher, student, *, momentum):
    for mine, theirs in zip(teacher.state_dict().values(), student.state_dict().values()):
        mine.copy_(momentum * mine + (1 - momentum) * theirs)
    return teacher


@follow.keep(
    "an update that averages the running statistics",
    "They are no weights: the teacher's batch norms have counted them for the teacher's own weights. Leave them alone.",
)
@torch.no_grad()
def _averaged_statistics(teacher, student, *, momentum):
    for mine, theirs in zip(teacher.state_dict().values(), student.state_dict().values()):
        mine.copy_(momentum * mine + (1 - momentum) * theirs if mine.is_floating_point() else theirs)
    return teacher


@follow.keep(
    "an update that keeps the gradient",
    "The teacher now hangs on the student's graph, and every step makes the graph longer: work under torch.no_grad().",
)
def _keeps_the_gradient(teacher, student, *, momentum):
    for mine, theirs in zip(teacher.parameters(), student.parameters()):
        mine.mul_(momentum).add_((1 - momentum) * theirs)
    return teacher


@follow.keep(
    "an update that makes the teacher learn",
    "Its parameters became new ones, which ask for a gradient: an optimiser could move them. Write into the old ones.",
)
def _learns(teacher, student, *, momentum):
    new = [
        momentum * p.detach() + (1 - momentum) * q.detach() for p, q in zip(teacher.parameters(), student.parameters())
    ]
    names = [name for name, _ in teacher.named_parameters()]
    for name, value in zip(names, new):
        module, _, last = name.rpartition(".")
        setattr(teacher.get_submodule(module), last, nn.Parameter(value))
    return teacher


@follow.keep(
    "a student that can no longer learn",
    "requires_grad was turned off for the student. It is the teacher that needs no gradient.",
)
def _freezes_the_student(teacher, student, *, momentum):
    student.requires_grad_(False)
    return ema_update(teacher, student, momentum=momentum)


@follow.keep(
    "a new teacher beside the old one",
    "The new one is right, but whoever holds the old teacher still has the old weights. Change it in place and return it.",
)
def _new_teacher(teacher, student, *, momentum):
    return ema_update(copy.deepcopy(teacher), student, momentum=momentum)


@follow.keep(
    "a teacher that shares the student's memory",
    "`p.data = q.data` makes both the same numbers in memory: what moves one moves the other. Copy values.",
)
def _shares(teacher, student, *, momentum):
    for mine, theirs in zip(teacher.parameters(), student.parameters()):
        mine.data = theirs.data
    return teacher


def _network(seed: int) -> nn.Module:
    """A layer and a batch norm that has seen some batches, all their numbers drawn from `seed`."""
    network = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    with torch.no_grad():
        for i, p in enumerate(network.parameters()):
            p.copy_(randn(seed + i, *p.shape))
        network[1].running_mean.copy_(randn(seed + 10, 2))
        network[1].running_var.copy_(1 + randn(seed + 11, 2).square())
        network[1].num_batches_tracked.fill_(7 * seed)
    return network


def _flat(tensors) -> Tensor:
    return torch.cat([t.detach().flatten().double() for t in tensors])


def ema_facts(update: Callable, probe: Probe) -> dict:
    """The teacher after two updates, between which the student moves; and that nobody else moved, or got a gradient."""
    (teacher, student), kwargs = probe.make()
    returned = update(teacher, student, **kwargs)
    if returned is None:
        return {"value": None}
    with torch.no_grad():
        for p in student.parameters():
            p.mul_(-2)
    places = [{tensor.data_ptr() for tensor in network.state_dict().values()} for network in (teacher, student)]
    update(teacher, student, **kwargs)
    return {
        "the teacher's parameters": _flat(teacher.parameters()),
        "the teacher's running mean and variance": _flat([teacher[1].running_mean, teacher[1].running_var]),
        "the teacher's number of batches": int(teacher[1].num_batches_tracked),
        "the student's parameters": _flat(student.parameters()) / -2,
        "the student's buffers": _flat(student.buffers()),
        "the teacher hangs on no graph": all(p.grad_fn is None for p in teacher.parameters()),
        "the teacher needs no gradient": not any(p.requires_grad for p in teacher.parameters()),
        "the student can still learn": all(p.requires_grad for p in student.parameters()),
        "the teacher has a memory of its own": places[0].isdisjoint(places[1]),
        "gives back the teacher itself": returned is teacher,
    }


def _couple(seed: int, momentum: float):
    return lambda: ((_network(seed).requires_grad_(False), _network(seed + 1)), {"momentum": momentum})


ema_exercise = Exercise(
    id="08a",
    prompt=(
        "Write `ema_update(teacher, student, momentum)`: move every parameter of the teacher to momentum * teacher + "
        "(1 - momentum) * student, leave its buffers alone, and return the teacher."
    ),
    stub='''\
def ema_update(teacher, student, *, momentum):
    """Two networks of the same form. Move the teacher's parameters in place, leave its buffers and the
    student alone, and give the teacher back."""
    return None  # your lines here
''',
    reference=ema_update,
    probes=(
        Probe("momentum 0.9", _couple(1, 0.9)),
        Probe("momentum 0.7", _couple(5, 0.7)),
        Probe("momentum 0.2", _couple(3, 0.2)),
        Probe("momentum 0, a plain copy", _couple(7, 0.0)),
        Probe("momentum 1, a teacher at rest", _couple(9, 1.0)),
    ),
    mistakes=follow,
    verified=(
        "The teacher moves in place and as far as it should, its buffers and the student are untouched, and "
        "nothing has a gradient that should not."
    ),
    usual="Swapping the two shares. Then the teacher is almost the student, and nobody sees it.",
    minutes=12,
    facts=ema_facts,
)

# 08b: SimSiam's loss ----------------------------------------------------------------------------------------


def simsiam_loss(p1: Tensor, p2: Tensor, z1: Tensor, z2: Tensor) -> Tensor:
    """Half the sum of two negative cosines: each view's prediction against the other's projection, which stands still."""
    return (cosine_distance(p1, z2.detach()) + cosine_distance(p2, z1.detach())) / 2


def _cosine(a: Tensor, b: Tensor) -> Tensor:
    return F.cosine_similarity(a, b, dim=1)  # (N,)


still = Zoo()
still.add(
    "SimSiam's loss without the stop-gradient",
    "The value is right. But the target runs towards its prediction, and everything may collapse: z.detach().",
    lambda p1, p2, z1, z2: (cosine_distance(p1, z2) + cosine_distance(p2, z1)) / 2,
)
still.add(
    "SimSiam's loss with the gradient stopped at the predictions",
    "The value is right, but you detached p. The prediction learns; the target z stands still.",
    lambda p1, p2, z1, z2: (cosine_distance(p1.detach(), z2) + cosine_distance(p2.detach(), z1)) / 2,
)
still.add(
    "SimSiam's loss with one of its two targets moving",
    "The value is right, but only one target is detached. There are two.",
    lambda p1, p2, z1, z2: (cosine_distance(p1, z2.detach()) + cosine_distance(p2, z1)) / 2,
)
still.add(
    "SimSiam's loss with the other target moving",
    "The value is right, but only one target is detached. There are two: z2 for p1, and z1 for p2.",
    lambda p1, p2, z1, z2: (cosine_distance(p1, z2) + cosine_distance(p2, z1.detach())) / 2,
)
still.add(
    "SimSiam's loss without any gradient",
    "The value is right, but nothing can learn from it: no .item() and no no_grad, and detach only z.",
    lambda p1, p2, z1, z2: simsiam_loss(p1, p2, z1, z2).detach(),
)
still.add(
    "a loss of each view with itself",
    "p1 was made from z1: that is the same view. Predict the *other* view, p1 against z2.",
    lambda p1, p2, z1, z2: simsiam_loss(p1, p2, z2, z1),
)
still.add(
    "SimSiam's loss in one direction, from the first view to the second",
    "The second view predicts the first one, too.",
    lambda p1, p2, z1, z2: cosine_distance(p1, z2.detach()) + 0 * p2.sum(),
)
still.add(
    "SimSiam's loss in one direction, from the second view to the first",
    "The first view predicts the second one, too.",
    lambda p1, p2, z1, z2: cosine_distance(p2, z1.detach()) + 0 * p1.sum(),
)
still.add(
    "the sum of both directions",
    "Take half of it: then the loss is between -1 and 1.",
    lambda p1, p2, z1, z2: 2 * simsiam_loss(p1, p2, z1, z2),
)
still.add(
    "a sum over the pairs",
    "Divide by the number of pairs, else the learning rate depends on the batch size.",
    lambda p1, p2, z1, z2: len(p1) * simsiam_loss(p1, p2, z1, z2),
)
still.add(
    "SimSiam's loss with its sign reversed",
    "A loss falls: it is *minus* the cosine. Yours drives predictions away from their targets.",
    lambda p1, p2, z1, z2: -simsiam_loss(p1, p2, z1, z2),
)
still.add(
    "1 minus the cosine",
    "The gradient is right. But SimSiam's loss goes from -1 to 1: without the 1.",
    lambda p1, p2, z1, z2: 1 + simsiam_loss(p1, p2, z1, z2),
)
still.add(
    "BYOL's loss",
    "The squared distance of unit vectors, both directions added, is 4 + 4 times SimSiam's loss. Here, the negative cosine.",
    lambda p1, p2, z1, z2: 4 + 4 * simsiam_loss(p1, p2, z1, z2),
)
still.add(
    "a mean squared error",
    "That also compares lengths. SimSiam compares directions: set all rows to length 1 first.",
    lambda p1, p2, z1, z2: (F.mse_loss(p1, z2.detach()) + F.mse_loss(p2, z1.detach())) / 2,
)
still.add(
    "dot products of vectors that are not normalised",
    "Without length 1 the loss has no bottom: longer vectors make it smaller and smaller.",
    lambda p1, p2, z1, z2: -((p1 * z2.detach()).sum(1) + (p2 * z1.detach()).sum(1)).mean() / 2,
)
still.add(
    "cosines over the batch",
    "Each row is one picture: take the cosine along dim=1.",
    lambda p1, p2, z1, z2: simsiam_loss(p1.T, p2.T, z1.T, z2.T),
)
still.add(
    "a loss of predictions against predictions",
    "The target is the projection z of the other view, not its prediction.",
    lambda p1, p2, z1, z2: cosine_distance(p1, p2) + 0 * (z1 + z2).sum(),
)
still.add(
    "a loss of predictions against predictions that stand still",
    "The target is the projection z of the other view, not its prediction.",
    lambda p1, p2, z1, z2: simsiam_loss(p1, p2, p1, p2) + 0 * (z1 + z2).sum(),
)
still.add(
    "a loss that leaves the predictor out",
    "It compares z with z. SimSiam compares a *prediction* p with z.",
    lambda p1, p2, z1, z2: simsiam_loss(z1, z2, z1, z2) + 0 * (p1 + p2).sum(),
)
still.add(
    "SimSiam's loss that turns float64 into float32",
    "Half of the digits are lost: do not call .float() or name a dtype.",
    lambda p1, p2, z1, z2: simsiam_loss(p1.float(), p2.float(), z1.float(), z2.float()),
)


@still.keep(
    "SimSiam's loss that changes its inputs",
    "The caller's tensors are not what they were: no `/=`, no function that ends in _.",
)
def _in_place(p1, p2, z1, z2):
    p1 /= p1.norm(dim=1, keepdim=True)
    p2 /= p2.norm(dim=1, keepdim=True)
    return simsiam_loss(p1, p2, z1, z2)


def _predictions(seed: int, n: int, dim: int, dtype: torch.dtype = torch.float32):
    """Two projections that agree a little, of different lengths, and predictions that are not perfect."""

    def make():
        z1 = randn(seed, n, dim, dtype=dtype)
        z2 = 2 * z1 + randn(seed + 1, n, dim, dtype=dtype)
        p1, p2 = (z + 0.5 * randn(seed + 2 + i, n, dim, dtype=dtype) for i, z in enumerate((z1, 3 * z2)))
        return (p1, p2, z1, z2), {}

    return make


simsiam_exercise = Exercise(
    id="08b",
    prompt=(
        "Write `simsiam_loss(p1, p2, z1, z2)`: the mean negative cosine of each view's prediction with the other view's "
        "projection, which gets no gradient; half of each direction."
    ),
    stub='''\
def simsiam_loss(p1, p2, z1, z2):
    """SimSiam's loss: predictions p1, p2 and projections z1, z2 of two views, all (N, D): one number,
    from -1 to 1."""
    return None  # your lines here
''',
    reference=simsiam_loss,
    probes=(
        Probe("4 pictures in 3 dimensions", _predictions(1, 4, 3)),
        Probe("7 pictures in 5 dimensions", _predictions(11, 7, 5)),
        Probe("3 pictures in float64", _predictions(21, 3, 6, torch.float64)),
        Probe("a single picture", _predictions(31, 1, 4)),
    ),
    mistakes=still,
    verified="The value is right, the predictions get their gradient, the projections get none, and dtypes stay.",
    usual="The stop-gradient is missing, or on the prediction. The value is right, so only the gradient shows it.",
    minutes=10,
    gradient=True,
    dtype=True,
)

EXERCISES = (ema_exercise, simsiam_exercise)

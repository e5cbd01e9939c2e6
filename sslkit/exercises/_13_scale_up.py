"""Exercises of notebook 13: a large batch in small pieces, and the way back through a gather.

Both are places where a wrong answer still trains: the loss falls, and the gradient is that of something else.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from sslkit.exercises._facts import Probe, randn
from sslkit.exercises._framework import Exercise, Zoo
from sslkit.losses import nt_xent

# 13a: a large batch in pieces -------------------------------------------------------------------------------


def large_batch(encode: Callable, pieces: list[Tensor], loss: Callable) -> Tensor:
    """The gradient of the loss of all pieces together, with one piece's graph at a time (GradCache, arXiv 2101.06983)."""
    z = _embeddings(encode, pieces).requires_grad_()
    value = loss(z)
    value.backward()
    _again(encode, pieces, z.grad)
    return value.detach()


def _embeddings(encode: Callable, pieces: list[Tensor]) -> Tensor:
    with torch.no_grad():
        return torch.cat([encode(piece) for piece in pieces])


def _again(encode: Callable, pieces: list[Tensor], gradient: Tensor) -> None:
    for piece, part in zip(pieces, gradient.split([len(piece) for piece in pieces])):
        encode(piece).backward(part)


def _cached(change: Callable[[Tensor, list], Tensor]) -> Callable:
    """The right way, with another gradient for the second pass."""

    def wrong(encode: Callable, pieces: list[Tensor], loss: Callable) -> Tensor:
        z = _embeddings(encode, pieces).requires_grad_()
        value = loss(z)
        _again(encode, pieces, change(torch.autograd.grad(value, z)[0], pieces))
        return value.detach()

    return wrong


lost = Zoo()


@lost.keep(
    "plain gradient accumulation",
    "Each piece compares with itself only: a batch of two hundred in four pieces has the negatives of fifty. "
    "The loss needs the embeddings of all pieces.",
)
def _plain(encode, pieces, loss):
    total = 0.0
    for piece in pieces:
        part = loss(encode(piece)) * len(piece) / sum(map(len, pieces))
        part.backward()
        total += part.detach()
    return total


@lost.keep(
    "gradient accumulation in which small pieces count as much as large ones",
    "Each piece compares with itself only: a batch of two hundred in four pieces has the negatives of fifty. "
    "The loss needs the embeddings of all pieces.",
)
def _mean_of_pieces(encode, pieces, loss):
    total = 0.0
    for piece in pieces:
        part = loss(encode(piece)) / len(pieces)
        part.backward()
        total += part.detach()
    return total


@lost.keep(
    "gradient accumulation without dividing",
    "Each piece compares with itself only, and the sum of so many means is too large, too.",
)
def _summed(encode, pieces, loss):
    total = 0.0
    for piece in pieces:
        part = loss(encode(piece))
        part.backward()
        total += part.detach()
    return total


@lost.keep(
    "the whole batch at once",
    "The gradient is right, but all graphs wait for one backward pass: that is the memory you wanted to save.",
)
def _at_once(encode, pieces, loss):
    value = loss(torch.cat([encode(piece) for piece in pieces]))
    value.backward()
    return value.detach()


@lost.keep(
    "a first pass that builds graphs",
    "The first pass is only for the values: put it under torch.no_grad(), else it needs the memory after all.",
)
def _with_graphs(encode, pieces, loss):
    z = torch.cat([encode(piece) for piece in pieces]).detach().requires_grad_()
    value = loss(z)
    value.backward()
    _again(encode, pieces, z.grad)
    return value.detach()


@lost.keep(
    "a loss without a second pass",
    "The gradient stops at the embeddings. Encode each piece again, and hand its part of the gradient to backward().",
)
def _one_pass(encode, pieces, loss):
    z = _embeddings(encode, pieces).requires_grad_()
    value = loss(z)
    value.backward()
    return value.detach()


@lost.keep(
    "a second pass over the last piece only",
    "Every piece has its part of the gradient: loop over all of them.",
)
def _last(encode, pieces, loss):
    z = _embeddings(encode, pieces).requires_grad_()
    value = loss(z)
    value.backward()
    encode(pieces[-1]).backward(z.grad[-len(pieces[-1]) :])
    return value.detach()


lost.add(
    "the gradient divided by the number of pieces",
    "The loss is a mean over all pictures already: do not divide again.",
    _cached(lambda gradient, pieces: gradient / len(pieces)),
)
lost.add(
    "the gradient times the number of pieces",
    "Each piece takes its part of one gradient: nothing has to be multiplied.",
    _cached(lambda gradient, pieces: gradient * len(pieces)),
)
lost.add(
    "the pieces with each other's gradients",
    "The first rows belong to the first piece: go through both in the same order.",
    _cached(lambda gradient, pieces: gradient.flip(0)),
)
lost.add(
    "gradients of length 1",
    "Hand the gradient on as it is, without normalising it.",
    _cached(lambda gradient, pieces: torch.nn.functional.normalize(gradient.flatten(1), dim=1).view_as(gradient)),
)
lost.add(
    "the signs of the gradient",
    "Hand the gradient on as it is: its size matters.",
    _cached(lambda gradient, pieces: gradient.sign()),
)


def contrast(z: Tensor) -> Tensor:
    """NT-Xent of two views each, (N, 2, D) -> ()."""
    return nt_xent(z[:, 0], z[:, 1], temperature=0.2)


def work(function: Callable, probe: Probe) -> dict:
    """The loss, the gradient that reaches the weights, and in which order graphs were built and used up."""
    (pieces, weights), _ = probe.make()
    weights.requires_grad_()
    events: list[str] = []

    def encode(x: Tensor) -> Tensor:
        z = (x @ weights).tanh()
        if z.requires_grad:
            events.append("encode")
            z.register_hook(lambda gradient: events.append("backward"))
        return z

    value = function(encode, pieces, contrast)
    if value is None:
        return {"loss": None}
    gradient = torch.zeros_like(weights) if weights.grad is None else weights.grad
    return {
        "loss": torch.as_tensor(value).detach(),
        "gradient of the weights": gradient,
        "passes with a graph": ", ".join(events),
    }


def _pieces(seed: int, sizes: tuple[int, ...]) -> Probe:
    def make():
        x = [randn(seed + i, n, 2, 5) for i, n in enumerate(sizes)]
        return (x, randn(seed + 9, 5, 4)), {}

    return Probe(f"pieces of {', '.join(map(str, sizes))} pictures", make)


pieces_exercise = Exercise(
    id="13a",
    prompt=(
        "Write `large_batch(encode, pieces, loss)`: the gradient of the loss of all pieces together, with the graph of "
        "one piece at a time."
    ),
    stub='''\
def large_batch(encode, pieces, loss):
    """pieces: list of tensors (n, 2, F), two views each. encode(piece) gives embeddings (n, 2, D); loss(z) takes
    the embeddings (N, 2, D) of all pieces. Leave in the weights of `encode` the gradient of that loss, as if the
    batch had been one, and return the loss. First pass: embeddings of all pieces under torch.no_grad(), the loss,
    and its gradient at the embeddings. Second pass: encode piece by piece, and `z.backward(its gradient)`."""
    return None  # your lines here
''',
    reference=large_batch,
    probes=(
        _pieces(1, (4, 4)),
        _pieces(20, (3, 5, 2)),
        _pieces(40, (3, 3, 3, 3)),
    ),
    mistakes=lost,
    verified="The loss and the gradient are those of one large batch, and only one piece's graph exists at a time.",
    usual="Plain accumulation: a loss per piece, added up. It trains, with the negatives of one piece.",
    minutes=14,
    facts=work,
)

# 13b: the backward of a gather ------------------------------------------------------------------------------


def gather_backward(gradients: Tensor, rank: int) -> Tensor:
    """What all processes ask of my rows: (W, W * B, D) -> (B, D)."""
    return _rows(gradients.sum(dim=0), rank, len(gradients))


def _rows(x: Tensor, rank: int, world: int) -> Tensor:
    return x.chunk(world)[rank]


back = Zoo()
back.add(
    "the gradient of my own loss only",
    "The others computed a loss with your rows, too: add what all processes ask of them.",
    lambda gradients, rank: _rows(gradients[rank], rank, len(gradients)),
)
back.add(
    "the mean over the processes",
    "The average is taken later, over the weights. Here it must be the sum, else the gradient is divided twice.",
    lambda gradients, rank: _rows(gradients.mean(dim=0), rank, len(gradients)),
)
back.add(
    "the gradient without my own loss",
    "Your own process is one of them: sum over all, yourself included.",
    lambda gradients, rank: _rows(gradients.sum(dim=0) - gradients[rank], rank, len(gradients)),
)
back.add(
    "the first rows for everybody",
    "Process number `rank` gave the rows from rank * B to (rank + 1) * B.",
    lambda gradients, rank: _rows(gradients.sum(dim=0), 0, len(gradients)),
)
back.add(
    "the last rows for everybody",
    "Process number `rank` gave the rows from rank * B to (rank + 1) * B.",
    lambda gradients, rank: _rows(gradients.sum(dim=0), -1, len(gradients)),
)
back.add(
    "the rows of the process after me",
    "Ranks count from 0: your rows begin at rank * B.",
    lambda gradients, rank: _rows(gradients.sum(dim=0), (rank + 1) % len(gradients), len(gradients)),
)
back.add(
    "every W-th row",
    "A gather puts whole blocks one after the other, it does not deal rows out like cards.",
    lambda gradients, rank: gradients.sum(dim=0)[rank :: len(gradients)],
)
back.add(
    "the gradient of all rows",
    "Only your own rows go back into your network: (B, D).",
    lambda gradients, rank: gradients.sum(dim=0),
)
back.add(
    "what each process asks, one by one",
    "Add the processes up: one gradient of the shape of your rows, (B, D).",
    lambda gradients, rank: gradients.chunk(len(gradients), dim=1)[rank],
)
back.add(
    "a gather that is detached",
    "Zeros teach nothing. This is what torch.distributed.all_gather does: its results have no gradient.",
    lambda gradients, rank: torch.zeros_like(_rows(gradients[0], rank, len(gradients))),
)
back.add(
    "the sum over blocks instead of processes",
    "gradients[p] is what process p asks of all rows. Sum over p, which is dim=0, and keep your block.",
    lambda gradients, rank: torch.stack(gradients[rank].chunk(len(gradients))).sum(dim=0),
)
back.add(
    "W times my own gradient",
    "That is right only where all processes ask for the same. Add what they really ask.",
    lambda gradients, rank: len(gradients) * _rows(gradients[rank], rank, len(gradients)),
)


def _asked(seed: int, world: int, rows: int, dim: int, rank: int) -> Probe:
    what = f"{world} processes with {rows} rows each, rank {rank}"
    return Probe(what, lambda: ((randn(seed, world, world * rows, dim), rank), {}))


gather_exercise = Exercise(
    id="13b",
    prompt=(
        "Write `gather_backward(gradients, rank)`: from what every process asks of all rows, the gradient of the rows "
        "that process `rank` gave."
    ),
    stub='''\
def gather_backward(gradients, rank):
    """gradients (W, W * B, D): gradients[p] is the gradient of the loss of process p with respect to the
    gathered rows. Process r gave the rows from r * B to (r + 1) * B. Return the gradient of the *sum*
    of all losses with respect to the rows of process `rank`, (B, D)."""
    return None  # your lines here
''',
    reference=gather_backward,
    probes=(
        _asked(1, 2, 3, 4, 0),
        _asked(2, 2, 3, 4, 1),
        _asked(3, 3, 4, 2, 1),
        _asked(4, 4, 2, 3, 2),
    ),
    mistakes=back,
    verified="What all processes ask of your rows is added up, and you get your own block of rows.",
    usual="Taking the gradient of one's own loss only: it is smaller by the number of processes, and nothing complains.",
    minutes=8,
)

EXERCISES = (pieces_exercise, gather_exercise)

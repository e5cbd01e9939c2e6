"""Notebook 13: a reference answer to each exercise, and other right ways to write it."""

import torch


def gather_backward(gradients, rank):
    rows = gradients.shape[1] // gradients.shape[0]
    return gradients.sum(dim=0)[rank * rows : (rank + 1) * rows]


def gather_backward_by_loop(gradients, rank):
    world = len(gradients)
    return sum(gradients[p].chunk(world)[rank] for p in range(world))


def gather_backward_by_reshaping(gradients, rank):
    world, rows, dim = gradients.shape
    return gradients.reshape(world, world, rows // world, dim)[:, rank].sum(0)


def gather_backward_by_einsum(gradients, rank):
    world = len(gradients)
    mine = torch.eye(world)[rank].repeat_interleave(gradients.shape[1] // world)
    return torch.einsum("prd->rd", gradients)[mine.bool()]


def large_batch(encode, pieces, loss):
    with torch.no_grad():
        z = torch.cat([encode(piece) for piece in pieces])
    z.requires_grad_()
    value = loss(z)
    value.backward()
    start = 0
    for piece in pieces:
        encode(piece).backward(z.grad[start : start + len(piece)])
        start += len(piece)
    return value.item()


def large_batch_with_dot_products(encode, pieces, loss):
    with torch.no_grad():
        parts = [encode(piece) for piece in pieces]
    parts = [part.requires_grad_() for part in parts]
    value = loss(torch.cat(parts))
    for piece, gradient in zip(pieces, torch.autograd.grad(value, parts)):
        (encode(piece) * gradient).sum().backward()
    return value.detach()


def large_batch_with_others_detached(encode, pieces, loss):
    """One loss per piece, in which the other pieces are constants: the sum of these gradients is the whole one."""
    with torch.no_grad():
        known = [encode(piece) for piece in pieces]
    for i, piece in enumerate(pieces):
        value = loss(torch.cat([*known[:i], encode(piece), *known[i + 1 :]]))
        value.backward()
    return value.detach()


ANSWERS = {"13a": large_batch, "13b": gather_backward}
VARIANTS = {
    "13a": [large_batch_with_dot_products, large_batch_with_others_detached],
    "13b": [gather_backward_by_loop, gather_backward_by_reshaping, gather_backward_by_einsum],
}

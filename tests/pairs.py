"""What the tests of losses share: pairs of views, gradients, closeness, special arrangements of points."""

from __future__ import annotations

import torch

SHAPES = [(2, 1), (2, 3), (3, 2), (5, 8), (7, 5), (16, 4)]  # odd and tiny batches, D below and above B


def pair(B, D, *, seed=0, dtype=torch.float64, scale=1.0, shared=0.5, requires_grad=False):
    """Two views that share a part, as two views of one image do."""
    generator = torch.Generator().manual_seed(seed)
    image, one, two = torch.randn(3, B, D, generator=generator, dtype=torch.float64) * scale
    return tuple((shared * image + view).to(dtype).requires_grad_(requires_grad) for view in (one, two))


def gradients(loss, *inputs):
    inputs = [x.detach().clone().requires_grad_() for x in inputs]
    return torch.autograd.grad(loss(*inputs), inputs)


def close(value, expected, rtol=1e-10, atol=1e-12):
    torch.testing.assert_close(
        torch.as_tensor(value, dtype=torch.float64),
        torch.as_tensor(expected, dtype=torch.float64),
        rtol=rtol,
        atol=atol,
    )


def rotation(D, seed=0):
    return torch.linalg.qr(torch.randn(D, D, generator=torch.Generator().manual_seed(seed), dtype=torch.float64))[0]


def simplex(n):
    """n unit vectors with pairwise cosine -1 / (n - 1), in n - 1 dimensions."""
    centred = torch.eye(n, dtype=torch.float64) - 1 / n  # rank n - 1
    u, s, _ = torch.linalg.svd(centred)
    z = (u * s)[:, : n - 1]
    return z / z.norm(dim=1, keepdim=True)


def directions(z, M=7):
    """M different directions for embeddings (B, D), without a random number. (D, M)."""
    D = z.shape[1]
    return torch.arange(1.0, D * M + 1, device=z.device).reshape(D, M).square().cos()


def white(B, D, seed=0):
    """Embeddings of mean 0 whose columns are orthogonal and of variance 1 (divided by B), B > D."""
    z = torch.randn(B, D, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return torch.linalg.qr(z - z.mean(dim=0))[0] * B**0.5

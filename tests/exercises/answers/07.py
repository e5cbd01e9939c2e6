"""Notebook 07: a reference answer to each exercise, and other right ways to write it."""

import torch
import torch.nn.functional as F


def my_barlow_twins(z1, z2, *, lambda_=0.0051):
    a, b = ((z - z.mean(0)) / (z.var(0, correction=0) + 1e-5).sqrt() for z in (z1, z2))
    C = a.T @ b / len(z1)
    on = (1 - C.diagonal()).square().sum()
    off = C.square().sum() - C.diagonal().square().sum()
    return on + lambda_ * off


def barlow_by_loop(z1, z2, *, lambda_=0.0051):
    dim, total = z1.shape[1], 0.0
    for i in range(dim):
        for j in range(dim):
            a, b = z1[:, i] - z1[:, i].mean(), z2[:, j] - z2[:, j].mean()
            c = (a * b).mean() / torch.sqrt(((a * a).mean() + 1e-5) * ((b * b).mean() + 1e-5))
            total = total + ((1 - c) ** 2 if i == j else lambda_ * c**2)
    return total


def barlow_by_batch_norm(z1, z2, *, lambda_=0.0051):
    """As in the authors' code: a batch norm without learnt scale, and a mask."""
    a, b = (F.batch_norm(z, None, None, training=True) for z in (z1, z2))
    C = a.T.mm(b) / len(a)
    difference = (C - torch.eye(len(C))).pow(2)
    weights = torch.full_like(C, lambda_).fill_diagonal_(1)
    return (weights * difference).sum()


def barlow_by_einsum(z1, z2, *, lambda_=0.0051):
    z = torch.stack([z1, z2])
    z = z - z.mean(dim=1, keepdim=True)
    z = z * torch.rsqrt(z.pow(2).mean(dim=1, keepdim=True) + 1e-5)
    C = torch.einsum("bi,bj->ij", z[0], z[1]) / z.shape[1]
    same = torch.eye(len(C), dtype=torch.bool)
    return (C[same] - 1).pow(2).sum() + lambda_ * C[~same].pow(2).sum()


def variance_term(z):
    return F.relu(1 - (z.var(dim=0) + 1e-4).sqrt()).mean()


def variance_by_loop(z):
    total = 0
    for column in z.T:
        variance = ((column - column.mean()) ** 2).sum() / (len(column) - 1)
        total = total + torch.clamp(1 - torch.sqrt(variance + 1e-4), min=0)
    return total / z.shape[1]


def variance_by_covariance(z):
    std = torch.sqrt(torch.cov(z.T).diagonal() + 0.0001)
    return torch.where(std < 1, 1 - std, 0.0).mean()


ANSWERS = {"07a": my_barlow_twins, "07b": variance_term}
VARIANTS = {
    "07a": [barlow_by_loop, barlow_by_batch_norm, barlow_by_einsum],
    "07b": [variance_by_loop, variance_by_covariance],
}

"""Notebook 03: a reference answer to each exercise, and other right ways to write it."""

import torch
import torch.nn.functional as F


def my_nt_xent(z1, z2, *, temperature=0.5):
    z = F.normalize(torch.cat([z1, z2]), dim=1)
    logits = z @ z.T / temperature
    logits.fill_diagonal_(-torch.inf)
    n = len(z1)
    partner = torch.cat([torch.arange(n, 2 * n), torch.arange(n)])
    return F.cross_entropy(logits, partner)


def nt_xent_by_loop(z1, z2, *, temperature=0.5):
    z = [v / v.norm() for v in [*z1, *z2]]
    n, total = len(z1), 0.0
    for i in range(2 * n):
        others = torch.stack([z[i] @ z[k] / temperature for k in range(2 * n) if k != i])
        total = total - z[i] @ z[(i + n) % (2 * n)] / temperature + torch.logsumexp(others, dim=0)
    return total / (2 * n)


def nt_xent_by_einsum(z1, z2, *, temperature=0.5):
    z = torch.cat([z1, z2])
    z = z / z.pow(2).sum(dim=1, keepdim=True).sqrt()
    logits = torch.einsum("id,jd->ij", z, z) / temperature
    eye = torch.eye(len(z), dtype=torch.bool, device=z.device)
    positive = logits.roll(len(z1), dims=1).diagonal()
    return (logits.masked_fill(eye, float("-inf")).logsumexp(dim=1) - positive).mean()


def nt_xent_by_log_softmax(z1, z2, *, temperature=0.5):
    z = F.normalize(torch.cat([z1, z2]), dim=1)
    logits = z @ z.T / temperature - 1e9 * torch.eye(len(z), dtype=z.dtype)
    p = logits.log_softmax(dim=1)
    n = len(z1)
    return -(p[:n, n:].diagonal().sum() + p[n:, :n].diagonal().sum()) / (2 * n)


def nt_xent_in_float64(z1, z2, *, temperature=0.5):
    return my_nt_xent(z1.double(), z2.double(), temperature=temperature).to(z1.dtype)


def nt_xent_without_its_diagonal(z1, z2, *, temperature=0.5):
    n = 2 * len(z1)
    z = F.normalize(torch.cat([z1, z2]), dim=1)
    keep = ~torch.eye(n, dtype=torch.bool)
    others = (z @ z.T)[keep].view(n, n - 1) / temperature
    positive = F.cosine_similarity(z1, z2, dim=1).repeat(2) / temperature
    return (others.logsumexp(dim=1) - positive).mean()


def nt_xent_by_shifted_exp(z1, z2, *, temperature=0.5):
    z = F.normalize(torch.cat([z1, z2]), dim=1)
    s = (z @ z.T - 1) / temperature
    others = s.masked_fill(torch.eye(len(z), dtype=torch.bool), -torch.inf)
    highest = others.max(dim=1, keepdim=True).values.detach()
    denominator = (others - highest).exp().sum(dim=1).log() + highest[:, 0]
    return (denominator - s.roll(len(z1), dims=1).diagonal()).mean()


def forces(similarity, positive, *, temperature=0.5):
    weights = (similarity / temperature).softmax(dim=0)
    target = torch.zeros_like(weights)
    target[positive] = 1
    return (weights - target) / temperature


def forces_by_autograd(similarity, positive, *, temperature=0.5):
    s = similarity.clone().requires_grad_()
    loss = F.cross_entropy(s[None] / temperature, torch.tensor([positive]))
    return torch.autograd.grad(loss, s)[0]


def forces_by_loop(similarity, positive, *, temperature=0.5):
    s = similarity.double() / temperature
    answer = [(torch.exp(v - torch.logsumexp(s, 0)) - int(k == positive)) / temperature for k, v in enumerate(s)]
    return [float(a) for a in answer]


ANSWERS = {"03a": my_nt_xent, "03b": forces}
VARIANTS = {
    "03a": [
        nt_xent_by_loop,
        nt_xent_by_einsum,
        nt_xent_by_log_softmax,
        nt_xent_in_float64,
        nt_xent_without_its_diagonal,
        nt_xent_by_shifted_exp,
    ],
    "03b": [forces_by_autograd, forces_by_loop],
}

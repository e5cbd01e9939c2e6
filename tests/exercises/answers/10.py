"""Notebook 10: a reference answer to each exercise, and other right ways to write it."""

import torch
from torch.distributions import Normal, kl_divergence


def kl_to_normal(mean, log_variance):
    terms = mean**2 + log_variance.exp() - log_variance - 1  # (B, D)
    return terms.sum(dim=1).mean() / 2


def kl_by_torch(mean, log_variance):
    one = Normal(mean, (log_variance / 2).exp())
    return kl_divergence(one, Normal(torch.zeros_like(mean), torch.ones_like(mean))).sum(1).mean()


def kl_by_loop(mean, log_variance):
    total = 0.0
    for m, v in zip(mean, log_variance):
        for j in range(len(m)):
            total = total + 0.5 * (m[j] ** 2 + torch.exp(v[j]) - v[j] - 1)
    return total / len(mean)


def kl_as_in_the_paper(mean, log_variance):
    return -0.5 * torch.sum(1 + log_variance - mean.pow(2) - log_variance.exp()) / mean.shape[0]


def masked_loss(prediction, target, mask):
    mean, variance = target.mean(dim=2, keepdim=True), target.var(dim=2, keepdim=True)
    target = (target - mean) / (variance + 1e-6).sqrt()
    error = ((prediction - target) ** 2).mean(dim=2)  # (B, P)
    return (error * mask).sum() / mask.sum()


def masked_loss_by_index(prediction, target, mask):
    hidden, guess = target[mask], prediction[mask]  # (number of hidden patches, K)
    hidden = (hidden - hidden.mean(1, keepdim=True)) / (hidden.var(1, keepdim=True) + 1e-6).sqrt()
    return (guess - hidden).square().mean()


def masked_loss_by_loop(prediction, target, mask):
    terms = []
    for i, j in mask.nonzero().tolist():
        t = target[i, j].double()
        t = (t - t.mean()) / (t.var() + 1e-6).sqrt()
        terms.append(((prediction[i, j] - t) ** 2).mean())
    return torch.stack(terms).mean()


ANSWERS = {"10a": kl_to_normal, "10b": masked_loss}
VARIANTS = {
    "10a": [kl_by_torch, kl_by_loop, kl_as_in_the_paper],
    "10b": [masked_loss_by_index, masked_loss_by_loop],
}

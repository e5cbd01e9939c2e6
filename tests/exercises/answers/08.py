"""Notebook 08: a reference answer to each exercise, and other right ways to write it."""

import torch
import torch.nn.functional as F


@torch.no_grad()
def ema_update(teacher, student, *, momentum):
    for t, s in zip(teacher.parameters(), student.parameters()):
        t.mul_(momentum).add_(s, alpha=1 - momentum)
    return teacher


def ema_update_by_data(teacher, student, *, momentum):
    for t, s in zip(teacher.parameters(), student.parameters()):
        t.data = momentum * t.data + (1 - momentum) * s.data
    return teacher


def ema_update_by_state_dict(teacher, student, *, momentum):
    learnt = {name for name, _ in student.named_parameters()}
    old, new = teacher.state_dict(), student.state_dict()
    teacher.load_state_dict({k: old[k] * momentum + new[k] * (1 - momentum) if k in learnt else old[k] for k in new})
    return teacher


def ema_update_by_modules(teacher, student, *, momentum):
    with torch.no_grad():
        for t, s in zip(teacher.modules(), student.modules()):
            for name, p in s.named_parameters(recurse=False):
                getattr(t, name).lerp_(p, 1 - momentum)
    return teacher


def simsiam_loss(p1, p2, z1, z2):
    def negative_cosine(p, z):
        return -(F.normalize(p, dim=1) * F.normalize(z.detach(), dim=1)).sum(dim=1).mean()

    return (negative_cosine(p1, z2) + negative_cosine(p2, z1)) / 2


def simsiam_loss_by_cosine_similarity(p1, p2, z1, z2):
    z1, z2 = z1.detach(), z2.detach()
    return -torch.cat([F.cosine_similarity(p1, z2), F.cosine_similarity(p2, z1)]).mean()


def simsiam_loss_by_loop(p1, p2, z1, z2):
    total = 0
    for a, b, c, d in zip(p1, p2, z1.detach(), z2.detach()):
        total = total - (a @ d) / (a.norm() * d.norm()) / 2 - (b @ c) / (b.norm() * c.norm()) / 2
    return total / len(p1)


def simsiam_loss_without_graph(p1, p2, z1, z2):
    with torch.no_grad():
        targets = F.normalize(torch.cat([z2, z1]), dim=1)
    return -torch.einsum("nd,nd->n", F.normalize(torch.cat([p1, p2]), dim=1), targets).mean()


ANSWERS = {"08a": ema_update, "08b": simsiam_loss}
VARIANTS = {
    "08a": [ema_update_by_data, ema_update_by_state_dict, ema_update_by_modules],
    "08b": [simsiam_loss_by_cosine_similarity, simsiam_loss_by_loop, simsiam_loss_without_graph],
}

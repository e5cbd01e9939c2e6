"""Notebook 01: a reference answer to each exercise, and other right ways to write it."""

import numpy as np
import torch


def collect(images, *, n_copies=2):
    copies = torch.cat([images] * n_copies)
    pseudo_labels = torch.arange(len(images)).repeat(n_copies)
    return copies, pseudo_labels


def collect_by_loop(images, *, n_copies=2):
    copies, pseudo_labels = [], []
    for _ in range(n_copies):
        for i, image in enumerate(images):
            copies.append(image)
            pseudo_labels.append(i)
    return torch.stack(copies), torch.tensor(pseudo_labels)


def collect_by_remainder(images, *, n_copies=2):
    index = torch.arange(n_copies * len(images)) % len(images)
    return [images[index], index]


def choose_labelled(labels, split, *, per_class, generator):
    chosen = []
    for c in labels.unique():
        pool = torch.where((labels == c) & (split == 0))[0]
        chosen.append(pool[torch.randperm(len(pool), generator=generator)[:per_class]])
    return torch.cat(chosen)


def choose_by_one_shuffle(labels, split, *, per_class, generator):
    chosen = []
    for i in torch.randperm(len(labels), generator=generator).tolist():
        taken = sum(int(labels[j] == labels[i]) for j in chosen)
        if split[i] == 0 and taken < per_class:
            chosen.append(i)
    return chosen


def choose_in_numpy(labels, split, *, per_class, generator):
    rng = np.random.default_rng(torch.randint(2**31, (), generator=generator).item())
    y, train = labels.numpy(), split.numpy() == 0
    return np.concatenate(
        [rng.choice(np.flatnonzero(train & (y == c)), per_class, replace=False) for c in np.unique(y)]
    )


ANSWERS = {"01a": collect, "01b": choose_labelled}
VARIANTS = {"01a": [collect_by_loop, collect_by_remainder], "01b": [choose_by_one_shuffle, choose_in_numpy]}

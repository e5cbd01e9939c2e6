"""Notebook 12: a reference answer to each exercise, and other right ways to write it."""

import numpy as np
import torch


def split_by_group(groups, generator, share):
    ids = groups.unique()
    test = torch.zeros(len(groups), dtype=torch.bool)
    for i in torch.randperm(len(ids), generator=generator):
        if test.sum() >= share * len(groups):
            break
        test[groups == ids[i]] = True
    return test


def split_by_group_vectorised(groups, generator, share):
    """Shuffled groups in a row; a group is taken if those before it hold less than the share."""
    _, group, sizes = groups.unique(return_inverse=True, return_counts=True)
    order = torch.randperm(len(sizes), generator=generator)
    before = sizes[order].cumsum(0) - sizes[order]
    taken = torch.zeros(len(sizes), dtype=torch.bool)
    taken[order[before < share * len(groups)]] = True
    return taken[group]


def split_by_group_with_sets(groups, generator, share):
    ids = sorted(set(groups.tolist()))
    keys = torch.rand(len(ids), generator=generator).tolist()
    chosen, held = set(), 0
    for _, group in sorted(zip(keys, ids)):
        if held < share * len(groups):
            chosen.add(group)
            held += groups.tolist().count(group)
    return [group in chosen for group in groups.tolist()]


def split_by_group_in_numpy(groups, generator, share):
    ids, group, sizes = np.unique(groups.numpy(), return_inverse=True, return_counts=True)
    order = torch.rand(len(ids), generator=generator, dtype=torch.float64).numpy().argsort()
    needed = int(np.searchsorted(sizes[order].cumsum(), share * len(groups) - 1e-9)) + 1
    return np.isin(group, order[:needed])


def near_duplicates(z, threshold):
    z = z / z.norm(dim=1, keepdim=True)
    return (z @ z.T >= threshold).triu(diagonal=1).nonzero()


def near_duplicates_with_a_loop(z, threshold):
    pairs = []
    for i in range(len(z)):
        for j in range(i + 1, len(z)):
            if torch.nn.functional.cosine_similarity(z[i], z[j], dim=0) >= threshold:
                pairs.append((i, j))
    return pairs


def near_duplicates_in_double(z, threshold):
    z = torch.nn.functional.normalize(z.double(), dim=1)
    i, j = torch.triu_indices(len(z), len(z), 1)
    return torch.stack([i, j], 1)[(z[i] * z[j]).sum(1) >= threshold]


def near_duplicates_in_numpy(z, threshold):
    z = z.numpy() / np.linalg.norm(z.numpy(), axis=1, keepdims=True)
    return np.argwhere(np.triu(z @ z.T >= threshold, 1))


def near_duplicates_by_distance(z, threshold):
    """Of rows that are one long, the squared distance is 2 - 2 cosine."""
    z = torch.nn.functional.normalize(z, dim=1)
    d = (z[:, None] - z).square().sum(2)
    return [[i, j] for i, j in (d <= 2 - 2 * threshold).nonzero().tolist() if i < j]


ANSWERS = {"12a": split_by_group, "12b": near_duplicates}
VARIANTS = {
    "12a": [split_by_group_vectorised, split_by_group_with_sets, split_by_group_in_numpy],
    "12b": [
        near_duplicates_with_a_loop,
        near_duplicates_in_double,
        near_duplicates_in_numpy,
        near_duplicates_by_distance,
    ],
}

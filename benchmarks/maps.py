"""How long a map takes, and how far it can be trusted: `sslkit.maps` (scikit-learn's t-SNE) beside openTSNE (P7).

    python benchmarks/maps.py            # about four minutes; t-SNE once each, for it takes long
    python benchmarks/maps.py --quick    # to see that it runs (writes no record)

pca       12,000 pictures of `fashion`, 784 pixels each, beside scikit-learn's PCA
tsne      5,000 of them: to 50 axes, then t-SNE with perplexity 30
aligned   ten snapshots of a short training, 3,000 validation pictures each, every map started from the one before

Trustworthiness (k = 10, against what was mapped) is the mean over the maps. CPU seconds are those of all threads; they
grow little when other programs want the same cores.
"""

from __future__ import annotations

import torch
from _measure import Watch, in_turn
from _rows import frame, table, ways

import sslkit
from sslkit import maps, recipes

MINUTES = 1.3  # a row
PERPLEXITY = 30


def pixels(n: int) -> torch.Tensor:
    return sslkit.datasets.fashion().images[:n].flatten(1).float() / 255  # (N, 784)


def snapshots(n: int, options) -> torch.Tensor:
    """Representations of the same pictures during a training: (10, N, 64)."""
    data = sslkit.datasets.fashion(val=0.35)
    small = recipes.encoder(data, seed=0, widths=(16, 32, 64))
    settings = {"steps": 3, "marks": 2} if options.quick else {"steps": 40, "marks": 10}
    run = sslkit.pretrain("simclr", data, encoder=small, batch_size=64, probe=n, progress=False, **settings)
    return torch.stack(run.history.snapshots[-10:]).float()


def sklearn_pca(x):
    from sklearn.decomposition import PCA

    return torch.from_numpy(PCA(2).fit_transform(x.numpy()))


def open_tsne(x, start=None):
    """openTSNE as its own examples use it, on 50 axes; from a map that is given it goes on as sslkit does."""
    from openTSNE import TSNE

    few = maps.pca(x, dim=min(50, *x.shape)).numpy()
    threads = torch.get_num_threads()
    if start is None:
        return torch.from_numpy(TSNE(perplexity=PERPLEXITY, n_jobs=threads, random_state=0).fit(few).view()).float()
    warm = {"initialization": start.double().numpy(), "early_exaggeration_iter": 0, "n_iter": maps.WARM_STEPS}
    return torch.from_numpy(TSNE(perplexity=PERPLEXITY, n_jobs=threads, random_state=0, **warm).fit(few).view()).float()


def open_aligned(x):
    found = [open_tsne(x[0])]
    for one in x[1:]:
        found.append(open_tsne(one, found[-1]))
    return torch.stack(found)


def trust(x, y) -> float:
    pairs = zip(x, y) if x.ndim == 3 else [(x, y)]
    scores = [maps.trustworthiness(one, shown) for one, shown in pairs]
    return sum(scores) / len(scores)


def measure(what: str, x: torch.Tensor, ours, peer: str, theirs, rounds: int) -> dict:
    made, ways = {}, []

    def job(name, make):
        watch = Watch()
        made[name] = make(x)
        return watch.read()

    seconds, rounds = in_turn({"sslkit": lambda: job("sslkit", ours), peer: lambda: job(peer, theirs)}, rounds)
    for name, (wall, busy) in seconds.items():
        values = {"seconds": wall, "CPU seconds": busy, "trustworthiness": trust(x, made[name])}
        ways.append({"what": f"{what}, {name}", "values": values})
    return {"threads": torch.get_num_threads(), "rounds": rounds, "shape": list(x.shape), "ways": ways}


def pca(options) -> dict:
    x = pixels(1000 if options.quick else 12_000)
    ours, theirs = maps.pca, sklearn_pca
    theirs(x[:100])  # is imported
    return measure(f"PCA of {len(x):,}", x, ours, "scikit-learn", theirs, 1 if options.quick else 5)


def tsne(options) -> dict:
    x = pixels(300 if options.quick else 5000)
    return measure(f"t-SNE of {len(x):,}", x, lambda x: maps.tsne(x, perplexity=PERPLEXITY), "openTSNE", open_tsne, 1)


def aligned(options) -> dict:
    x = snapshots(200 if options.quick else 3000, options)
    ours = lambda x: maps.aligned(x, method="tsne", perplexity=PERPLEXITY)
    return measure(f"{len(x)} aligned t-SNE of {x.shape[1]:,}", x, ours, "openTSNE", open_aligned, 1)


ROWS = {"pca": pca, "tsne": tsne, "aligned": aligned}


def tables(records: list[dict]) -> str:
    digits = {"seconds": ".1f", "CPU seconds": ".1f", "trustworthiness": ".3f"}
    return table(ways(records), first="map", digits=digits)


if __name__ == "__main__":
    frame("maps", __doc__.splitlines()[0], ROWS, tables, minutes=MINUTES, speed=True)

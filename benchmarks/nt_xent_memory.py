"""NT-Xent forward and backward: memory, time and exactness against the number of embeddings (P5).

    python benchmarks/nt_xent_memory.py            # about five minutes, half of them for 65,536 embeddings
    python benchmarks/nt_xent_memory.py --quick    # to see that it runs (writes no record)

Four ways: `losses.nt_xent`; the plain one, which holds the matrix of all cosines; lightly; pytorch-metric-learning. Each is
run in a process of its own, on 2N embeddings of 128 numbers. Memory is the peak of that process above what it held before,
inputs excluded, gradient included. A peer stops where it would need more than 6 GiB: of 2N embeddings, the plain one and
lightly hold several (2N)² matrices, pytorch-metric-learning one of (2N)³ numbers.

Errors are relative, against float64: of the value, and of the gradient at 64 embeddings (norm of the difference by norm).
"""

from __future__ import annotations

from statistics import median

import torch
import torch.nn.functional as F
from _measure import Watch, fair, forget_peak, in_a_fresh_process, peak_memory
from _rows import frame, table, ways

from sslkit import device, losses, seeds

MINUTES = 0.7  # a row
DIM, TEMPERATURE, SAMPLED = 128, 0.5, 64
LIMIT = 20  # seconds, after which no round begins
SIZES = (512, 2048, 4096, 8192, 65536)  # embeddings, 2N
LARGEST = {"sslkit": 65536, "plain": 8192, "lightly": 8192, "pytorch-metric-learning": 512}
QUICK = ["512"]


def plain(z1, z2):
    """All cosines at once: NT-Xent as most people write it."""
    z = F.normalize(torch.cat([z1, z2]), dim=1)
    logits = (z @ z.T / TEMPERATURE).fill_diagonal_(-torch.inf)
    return F.cross_entropy(logits, torch.arange(len(z), device=z.device).roll(len(z1)))


def loss_of(name: str):
    if name == "lightly":
        from lightly.loss import NTXentLoss

        return NTXentLoss(TEMPERATURE)
    if name == "pytorch-metric-learning":
        from pytorch_metric_learning import losses as others

        return others.SelfSupervisedLoss(others.NTXentLoss(TEMPERATURE))
    return plain if name == "plain" else lambda z1, z2: losses.nt_xent(z1, z2, temperature=TEMPERATURE)


def embeddings(n: int) -> list[torch.Tensor]:
    """Two views (N, DIM) that are alike but not the same, so that no loss is at its floor; n = 2N."""
    g = seeds.generator("embeddings")
    z = torch.randn(n // 2, DIM, generator=g)
    return [(z + torch.randn(z.shape, generator=g)).to(device.best_device()).requires_grad_() for _ in range(2)]


def one(name: str, n: int, repeats: int) -> dict:
    """Seconds, bytes, value, and the gradient at the sampled embeddings; in a process that does nothing else."""
    loss, seconds = loss_of(name), []
    torch.autograd.backward(loss(*embeddings(8)))  # libraries are loaded, threads started
    z = embeddings(n)
    before = forget_peak()
    for _ in range(repeats):
        watch = Watch()
        value = loss(*z)
        grad = torch.cat(torch.autograd.grad(value, z))  # (2N, D)
        seconds.append(watch.read()[fair(torch.get_num_threads())])
    some = sampled(n)
    return {
        "seconds": seconds, "bytes": peak_memory() - before, "value": value.item(), "gradient": grad[some].tolist(),
        "threads": torch.get_num_threads(),
    }  # fmt: skip


def sampled(n: int) -> torch.Tensor:
    return torch.randperm(n, generator=seeds.generator("sampled"))[: min(SAMPLED, n)]


@torch.no_grad()
def exact(n: int, rows: int = 1024) -> tuple[float, torch.Tensor]:
    """In float64, a few rows at a time: the value, and the gradient at the sampled embeddings, written out.

    With p_ij the softmax of row i, ∂loss/∂ẑ_i = (Σ_j (p_ij + p_ji) ẑ_j - 2 ẑ_partner) / (2N temperature); the embedding
    z_i itself feels what of it is orthogonal to ẑ_i, over its length.
    """
    z = torch.cat(embeddings(n)).double().cpu()
    unit, me = F.normalize(z, dim=1), torch.arange(n)
    partner = me.roll(n // 2)
    sums = []
    for i in me.split(rows):
        cosines = unit[i] @ unit.T / TEMPERATURE
        sums.append(cosines.scatter_(1, i[:, None], -torch.inf).logsumexp(1))
    sums = torch.cat(sums)  # (2N,)
    value = (sums - (unit * unit[partner]).sum(1) / TEMPERATURE).mean().item()
    i = sampled(n)
    cosines = (unit[i] @ unit.T / TEMPERATURE).scatter_(1, i[:, None], -torch.inf)  # (S, 2N)
    both = (cosines - sums[i, None]).exp() + (cosines - sums).exp()
    pull = (both @ unit - 2 * unit[partner[i]]) / (n * TEMPERATURE)  # (S, D)
    pull = pull - (pull * unit[i]).sum(1, keepdim=True) * unit[i]
    return value, pull / z[i].norm(dim=1, keepdim=True)


def measure(n: int, options) -> dict:
    most = 1 if options.quick or n > 8192 else 3
    names = [name for name, largest in LARGEST.items() if n <= largest]
    found = {name: [] for name in names}
    watch = Watch()
    for _ in range(most):
        for name in names:
            found[name].append(
                in_a_fresh_process("nt_xent_memory", "one", name=name, n=n, repeats=3 if n <= 4096 else 1)
            )
        if watch.read()[0] > LIMIT:
            break
    value, gradient = exact(n)
    records = []
    for name, runs in found.items():
        last = runs[-1]
        difference = (torch.tensor(last["gradient"], dtype=torch.float64) - gradient).norm() / gradient.norm()
        values = {
            "seconds": median(second for run in runs for second in run["seconds"]),
            "MiB": median(run["bytes"] for run in runs) / 2**20,
            "error of the value": abs(last["value"] / value - 1),
            "error of the gradient": difference.item(),
        }
        records.append({"what": f"{n:,}, {name}", "values": values})
    return {"embeddings": n, "threads": last["threads"], "rounds": len(runs), "ways": records}


ROWS = {str(n): lambda options, n=n: measure(n, options) for n in SIZES}


def tables(records: list[dict]) -> str:
    digits = {"seconds": ".3f", "MiB": ",.0f", "error of the value": ".0e", "error of the gradient": ".0e"}
    return table(ways(records), first="embeddings", digits=digits)


if __name__ == "__main__":
    frame("nt_xent_memory", __doc__.splitlines()[0], ROWS, tables, minutes=MINUTES, quick=QUICK, speed=True)

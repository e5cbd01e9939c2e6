"""Does a step cost more time or memory when there are more pictures? Up to a million on disk (P9).

    python benchmarks/growth.py            # about three minutes
    python benchmarks/growth.py --quick    # to see that it runs (writes no record)

The pictures are a sparse .npy file, uint8 (N, 3, 32, 32), read by `datasets.mapped`: it has the full length and fills no
disk, so the time is that of the kit and not of a disk. SimCLR on a very small encoder, 64 pictures a step, so that what the
kit does itself is not hidden by the encoder. Every size has a process of its own, in turn, in up to three rounds.
Memory is what the process holds beside files (RssAnon), above what it held before it opened the file.
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from statistics import median

import numpy as np
import torch
from _measure import Watch, anonymous_memory, fair, in_a_fresh_process
from _rows import frame, table, ways

from sslkit import datasets, methods, nets, train

MINUTES = 3.0  # a row
SIZES = (1000, 100_000, 1_000_000)
BATCH = 64
LIMIT = 90  # seconds, after which no round begins


def write_sparse(file: Path, n: int) -> None:
    """An .npy file of n black pictures that takes no room: only its header and its length are written."""
    shape = (n, 3, 32, 32)
    with open(file, "wb") as opened:
        header = {"descr": "|u1", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(opened, header)
        opened.truncate(opened.tell() + int(np.prod(shape)))


def one(file: str, steps: int) -> dict:
    """Train for some steps on a file, with two looks at the representation; in a process that does nothing else."""
    method = methods.SimCLR(nets.small_resnet(widths=(8, 16)), head=(32, 32))
    config = train.resolve(train.TrainConfig(steps=steps, batch_size=BATCH, marks=2, probe=500))
    warm_up = datasets.arrays(np.zeros((1000, 3, 32, 32), np.uint8), val=0.05, test=0.05)
    train.fit(method, warm_up, replace(config, steps=10))
    before, watch, seen = anonymous_memory(), Watch(), []
    note = lambda row: seen.append(
        (row["step"], watch.read()[fair(torch.get_num_threads())], anonymous_memory() - before)
    )
    train.fit(method, datasets.mapped(file), config, watch=note)
    steps, ends, held = zip(*seen)
    seconds = [(b - a) / (t - s) for (s, t), (a, b) in zip(pairwise(steps), pairwise(ends))]
    return {"seconds": seconds, "held": held, "device": config.device}


def measure(options) -> dict:
    sizes, steps, most = (SIZES[:2], 20, 1) if options.quick else (SIZES, 200, 3)
    found = {n: [] for n in sizes}
    with tempfile.TemporaryDirectory() as folder:
        for n in sizes:
            write_sparse(Path(folder) / f"{n}.npy", n)
        watch = Watch()
        for _ in range(most):
            for n in sizes:
                file = str(Path(folder) / f"{n}.npy")
                found[n].append(in_a_fresh_process("growth", "one", file=file, steps=steps))
            if watch.read()[0] > LIMIT:
                break
    ways, first = [], None
    for n, runs in found.items():
        ms = 1000 * median(median(run["seconds"]) for run in runs)
        first = first or ms
        held = [median(run["held"][i] for run in runs) / 2**20 for i in (len(runs[0]["held"]) // 2, -1)]
        values = {"ms per step": ms, "times the first": ms / first}
        values |= {"MiB after half of the steps": held[0], "MiB at the end": held[1]}
        ways.append({"what": f"{n:,}", "values": values})
    return {"threads": torch.get_num_threads(), "steps": steps, "rounds": len(runs), "ways": ways}


ROWS = {"growth": measure}


def tables(records: list[dict]) -> str:
    digits = {"ms per step": ".1f", "MiB after half of the steps": ".0f", "MiB at the end": ".0f"}
    return table(ways(records), first="pictures", digits=digits)


if __name__ == "__main__":
    frame("growth", __doc__.splitlines()[0], ROWS, tables, minutes=MINUTES, speed=True)

"""What a training step costs on a machine that does other things beside: threads that spin, threads that sleep, one thread.

    python benchmarks/busy.py            # ten minutes: fresh processes, in turn, medians
    python benchmarks/busy.py --quick    # to see that it runs (writes no record)

PyTorch's threads wait for each other after every piece of work. By default they spin, which costs nothing while each has a
core. On a busy machine one of them is waited for that has no core, and the one that waits keeps it busy. `import sslkit`
asks for sleep after a moment (OMP_WAIT_POLICY=passive, GOMP_SPINCOUNT=1000), unless torch has been imported before. Beside
are other trainings of the same kind, with two threads each.
"""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import ExitStack
from functools import partial

from _measure import in_turn
from _rows import ROOT, frame, table, ways

MINUTES = 3  # a row
ENDLESS = 10**6  # steps
WAYS = {  # what is imported first decides how threads wait
    "threads sleep": "import sslkit",
    "threads spin": "import torch",
    "one thread": "import sslkit, torch; torch.set_num_threads(1)",
}
OTHERS = {"one thread": "threads sleep"}  # who uses one thread does not decide for the others
STEP = """
from sslkit import datasets, recipes, train
data, steps = datasets.shapes(512), {steps}
config = train.resolve(train.TrainConfig(steps=1))
print(train.step_seconds(recipes.method("simclr", data), data, config, warm=1, steps=steps))
"""


def measure(beside: int, options) -> dict:
    rounds, steps = (1, 1) if options.quick else (5, 3)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_"))}
    how = {"cwd": ROOT, "env": environment, "stdout": subprocess.PIPE, "text": True}

    def command(way: str, steps: int) -> list[str]:
        return [sys.executable, "-c", WAYS[way] + STEP.format(steps=steps)]

    def step(way: str) -> tuple[float, float]:
        with ExitStack() as stack:
            for _ in range(beside):
                other = stack.enter_context(subprocess.Popen(command(OTHERS.get(way, way), ENDLESS), **how))
                stack.callback(other.kill)
            return float(subprocess.run(command(way, steps), check=True, **how).stdout), 0.0

    seconds, rounds = in_turn({way: partial(step, way) for way in WAYS}, rounds)
    found = [
        {"what": f"{way}, other trainings: {beside}", "values": {"seconds a step": pair[0]}}
        for way, pair in seconds.items()
    ]
    return {"rounds": rounds, "threads": os.cpu_count(), "ways": found}


ROWS = {str(n): partial(measure, n) for n in (0, 1, 2)}


def tables(records: list[dict]) -> str:
    return table(ways(records), digits={"seconds a step": ".2f"})


if __name__ == "__main__":
    frame("busy", __doc__.splitlines()[0], ROWS, tables, minutes=MINUTES, speed=True, quick=("1",))

"""How long `import sslkit` takes, beside `import torch` (P6).

    python benchmarks/imports.py            # about a minute: fresh processes, in turn, medians
    python benchmarks/imports.py --quick    # to see that it runs (writes no record)

`import sslkit` loads nothing else: a submodule comes when it is first used. So the fair comparison is the second line, which
has loaded all that training needs, PyTorch included. Ratios are of CPU seconds, which hardly depend on what else runs.
"""

from __future__ import annotations

import subprocess
import sys

from _measure import in_turn
from _rows import ROOT, frame, table, ways

MINUTES = 1.5  # a row
PEER = "import torch"
LINES = (
    "import sslkit",
    "import sslkit; sslkit.pretrain",
    "import torch, torchvision",
    "from lightly.loss import NTXentLoss; from lightly.transforms import SimCLRTransform",
)


def measure(options) -> dict:
    rounds = 1 if options.quick else 7
    empty = "pass"  # Python itself is no part of any import

    def run(line):
        subprocess.run([sys.executable, "-c", line], cwd=ROOT, check=True)

    seconds, rounds = in_turn({line: lambda line=line: run(line) for line in (empty, PEER, *LINES)}, rounds)
    own = {line: [a - b for a, b in zip(pair, seconds[empty])] for line, pair in seconds.items() if line != empty}
    ways = []
    for line, (wall, busy) in own.items():
        values = {"seconds": wall, "CPU seconds": busy, "times `import torch`": busy / own[PEER][1]}
        ways.append({"what": f"`{line}`", "values": values})
    return {"rounds": rounds, "threads": 1, "ways": ways}


ROWS = {"imports": measure}


def tables(records: list[dict]) -> str:
    return table(ways(records), digits={"seconds": ".2f", "CPU seconds": ".2f", "times `import torch`": ".2f"})


if __name__ == "__main__":
    frame("imports", __doc__.splitlines()[0], ROWS, tables, minutes=MINUTES, speed=True)

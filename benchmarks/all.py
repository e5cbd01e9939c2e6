"""Run the benchmarks of speed and memory one after the other, each in a process of its own: what `make bench` does.

    python benchmarks/all.py            # about half an hour on two quiet cores; finished rows are skipped
    python benchmarks/all.py --quick    # to see that all of it runs (writes no record)

On a CPU they run in the mode "laptop": float32 and AVX2, which is what most classroom computers have. Where the processor
has more, they run again in the mode "native". On an accelerator there is one run.
"""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path

from _measure import LAPTOP, instructions

from sslkit import device

HERE = Path(__file__).resolve().parent
SCRIPTS = ("views", "overhead", "end_to_end", "nt_xent_memory", "imports", "maps", "growth", "busy", "explorer")
ONCE = ("explorer",)  # does not depend on PyTorch's instructions


def environments() -> dict[str, dict[str, str]]:
    """The variables of every mode that differs from the others on this machine."""
    if device.best_device() != "cpu":
        return {device.best_device(): {}}
    bare = {name: value for name, value in os.environ.items() if name not in LAPTOP}
    laptop, native = instructions(bare | LAPTOP), instructions(bare)
    print(f"laptop: {laptop}. native: {native}" + ", the same: measured once." * (laptop == native), flush=True)
    return {"laptop": LAPTOP} if laptop == native else {"laptop": LAPTOP, "native": {}}


def main(arguments: list[str]) -> int:
    modes = environments()
    jobs = [(mode, name) for number, mode in enumerate(modes) for name in SCRIPTS if not (number and name in ONCE)]
    if "--quick" not in arguments:
        scripts = {name: importlib.import_module(name) for name in SCRIPTS}
        minutes = sum(scripts[name].MINUTES * len(scripts[name].ROWS) for _, name in jobs)
        print(f"About {minutes:.0f} minutes if nothing has been measured yet.", flush=True)
    failed = []
    for mode, name in jobs:
        print(f"\n== {name}, {mode}", flush=True)
        bare = {key: value for key, value in os.environ.items() if key not in LAPTOP}
        command = [sys.executable, str(HERE / f"{name}.py"), *arguments]
        if subprocess.run(command, env=bare | modes[mode], check=False).returncode:
            failed.append(f"{name} ({mode})")
    print("\nFailed: " + ", ".join(failed) if failed else "\nAll ran.")
    return len(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

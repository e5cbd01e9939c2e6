"""How to measure on a machine that is not quiet: things in turn, several rounds, medians; or each in a fresh process."""

from __future__ import annotations

import ctypes
import json
import os
import re
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import contextmanager, suppress
from pathlib import Path
from statistics import median

import torch

from sslkit import device

HERE = Path(__file__).resolve().parent
LAPTOP = {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"}
ASK_ONEDNN = "import torch; torch.nn.Conv2d(32, 32, 3)(torch.rand(64, 32, 32, 32))"


class Watch:
    """Seconds since it was started: of the clock, and of the processors, those of finished child processes included."""

    def __init__(self):
        self.start = self._now()

    def read(self) -> tuple[float, float]:
        device.synchronise(device.best_device())
        wall, busy = (now - then for now, then in zip(self._now(), self.start))
        return wall, busy

    @staticmethod
    def _now() -> tuple[float, float]:
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        return time.perf_counter(), time.process_time() + children.ru_utime + children.ru_stime


def in_turn(
    jobs: dict[str, Callable[[], object]], rounds: int, *, limit: float = 60.0
) -> tuple[dict[str, tuple[float, float]], int]:
    """Medians of each job's seconds (wall, busy, see `Watch`), and the number of rounds, in each of which all have a turn.

    A job that returns a pair has measured itself; for the others it is done here. After three rounds, none begins that
    would end later than `limit` seconds.
    """
    found, total = {name: [] for name in jobs}, Watch()
    for done in range(1, rounds + 1):
        for name, job in jobs.items():
            watch = Watch()
            own = job()
            found[name].append(own if isinstance(own, tuple) else watch.read())
        if done >= 3 and total.read()[0] * (done + 1) / done > limit:
            break
    return {name: tuple(map(median, zip(*pairs))) for name, pairs in found.items()}, done


def fair(threads: int) -> int:
    """Which time to compare: busy (1) for one thread on a CPU, which other programs hardly change; else wall (0)."""
    return int(threads == 1 and device.best_device() == "cpu")


@contextmanager
def threads(n: int):
    """Let PyTorch compute with n threads for a while."""
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def in_a_fresh_process(module: str, function: str, **arguments) -> dict:
    """What a function of a benchmark returns, called in a process of its own."""
    code = f"import json, sys, {module}; print(json.dumps({module}.{function}(**json.loads(sys.argv[1]))))"
    path = os.pathsep.join([str(HERE), str(HERE.parent), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, "-c", code, json.dumps(arguments)]
    out = subprocess.run(command, env=os.environ | {"PYTHONPATH": path}, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(out.stdout.splitlines()[-1])


def forget_peak() -> int:
    """Let `peak_memory` begin anew, and return what it is now. Memory that was freed goes back to the system first.

    On a CPU Linux alone can do this; elsewhere what is returned is the peak since the process began.
    """
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    elif sys.platform == "linux":
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")
    return peak_memory()


def peak_memory() -> int:
    """The most memory that this process has held, in bytes, since `forget_peak`; on an accelerator, its memory."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    status = Path("/proc/self/status")
    if found := re.search(r"VmHWM:\s+(\d+) kB", status.read_text() if status.exists() else ""):
        return 1024 * int(found[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def anonymous_memory() -> float:
    """What this process holds beside files, in bytes: Linux's RssAnon. NaN on other systems."""
    status = Path("/proc/self/status")
    found = re.search(r"RssAnon:\s+(\d+) kB", status.read_text()) if status.exists() else None
    return 1024 * int(found[1]) if found else float("nan")


def mode(check: bool = False) -> str:
    """ "laptop": held to the instructions of most classroom processors (AVX2); "native": all; or the accelerator's name.

    `check` asks PyTorch and oneDNN whether they obey. Raises SystemExit if not.
    """
    if (where := device.best_device()) != "cpu":
        return where
    if any(os.environ.get(name) != value for name, value in LAPTOP.items()):
        return "native"
    if check:
        used = instructions()
        if "AVX2" not in used or "AVX512" in used or "AVX-512" in used:
            raise SystemExit(f"{LAPTOP} is set, but used are: {used}.")
    return "laptop"


def instructions(environment: dict[str, str] | None = None) -> str:
    """What PyTorch's own kernels and oneDNN's convolutions use in a process with this environment (None: this one's)."""
    code = f"{ASK_ONEDNN}; print('PyTorch', torch.backends.cpu.get_cpu_capability())"
    environment = dict(os.environ if environment is None else environment) | {"ONEDNN_VERBOSE": "1"}
    out = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    ).stdout
    found = re.search(r"isa:(.*)", out)
    return f"oneDNN {found[1] if found else 'unknown'}, PyTorch {out.split('PyTorch ')[-1].strip()}"

"""Where and in which number format to compute: asked for, or by a rule that depends on the device alone."""

from __future__ import annotations

import threading
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import torch

from sslkit.errors import unknown

# scikit-learn limits the threads of BLAS for the whole process while it works, and gives them back afterwards, also to
# another thread that is in the middle of it: then OpenBLAS warns that it may hang. So one of our threads at a time.
SCIKIT_LEARN = threading.Lock()
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
CROWDED = 0.75  # of the time: on two cores, a thread that trains has one for 0.92 to 1 of it, with a busy neighbour 0.6


@dataclass(frozen=True)
class Compute:
    """A device, a number format for the encoder's forward pass, and the memory layout of images."""

    device: str = "cpu"
    precision: str = "float32"
    channels_last: bool = False

    def autocast(self) -> torch.autocast:
        """Half precision inside the networks; losses sum in float32, but their matrix products are rounded, too."""
        kind = torch.device(self.device).type
        return torch.autocast(kind, torch.bfloat16, enabled=self.precision == "bfloat16")

    def layout(self, x):
        """Move a module or a batch of images to the device and into the memory layout."""
        return x.to(self.device, memory_format=torch.channels_last if self.channels_last else torch.contiguous_format)


def best_device() -> str:
    """The accelerator that PyTorch sees ("cuda", "mps", "xpu", ...), or "cpu"."""
    accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    return accelerator.type if accelerator and _works(accelerator.type) else "cpu"


@cache
def _works(kind: str) -> bool:
    """Whether it computes: a build of PyTorch may see a GPU that is too old for it."""
    try:
        return bool(torch.ones(1, device=kind).add(1).item() == 2)
    except RuntimeError as error:
        warnings.warn(
            f"The device {kind!r} is there, but this PyTorch cannot use it ({error}): the CPU is.", stacklevel=3
        )
        return False


def check(device: str) -> None:
    """Raise ValueError for a device that is not on this machine."""
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:  # an assertion where PyTorch was built without it
        raise ValueError(
            f"device is {device!r}, which is not on this machine. Use 'auto' or {best_device()!r}."
        ) from error


def choose(*, device: str = "auto", precision: str = "auto", channels_last: bool | None = None) -> Compute:
    """How to train here. What is given is kept; what is "auto" (or None) follows from the device alone.

    That is a rule and not a measurement, because numbers depend on format and layout in their last digits: the same seed
    gives the same run, also on a busy machine. bfloat16 where the device multiplies it in hardware (elsewhere it is
    emulated, and slower); channels last on CPUs and NVIDIA GPUs. `sslkit doctor` measures whether that is right here.
    Raises ValueError for another precision.
    """
    device = best_device() if device == "auto" else str(device)
    if precision != "auto" and precision not in DTYPES:
        raise unknown("precision", precision, ["auto", *DTYPES])
    if precision == "auto":
        precision = "bfloat16" if fast_bfloat16(device) else "float32"
    if channels_last is None:
        channels_last = torch.device(device).type in ("cpu", "cuda")
    return Compute(device, precision, channels_last)


def fast_bfloat16(device: str) -> bool:
    """Whether this device multiplies bfloat16 in hardware."""
    if torch.device(device).type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    capabilities = torch.backends.cpu.get_cpu_capability() if device == "cpu" else ""
    return capabilities.startswith("AVX512") and getattr(torch.cpu, "_is_avx512_bf16_supported", bool)()


def send(x, where):
    """A tensor on another device; on a CUDA one without waiting for what that has still to do.

    Elsewhere one waits: before PyTorch 2.13, MPS read sources that were already gone (pytorch#139550).
    """
    return x.to(where, non_blocking=torch.device(where).type == "cuda")


def synchronise(device: str) -> None:
    """Wait for queued work, so that a clock reads the truth. Does nothing on a CPU."""
    if torch.device(device).type != "cpu":
        torch.accelerator.synchronize(device)


def share_of_time(work: Callable[[], float]) -> tuple[float, float]:
    """What it finds, and for which share of the time this thread had a core of the CPU meanwhile."""
    start, worked = time.perf_counter(), time.thread_time()
    found = work()
    return found, (time.thread_time() - worked) / (time.perf_counter() - start)


def crowded(share: float | None) -> list[str]:
    """What to do if a training had a core for so little of the time, in one sentence; none if all is well or not known.

    Beside two other programs a step with one thread is twice as fast as with two (RESULTS.md, "Beside other programs").
    """
    if share is None or share >= CROWDED:
        return []
    fewer = " or set OMP_NUM_THREADS=1, because threads that wait for each other cost more than they bring"
    said = f"A trial had a core for {share:.0%} of the time. If other programs are at work, close them"
    return [said + fewer * (torch.get_num_threads() > 1) + "."]

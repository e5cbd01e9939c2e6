"""Where and in which number format to compute: asked for, or chosen by measuring this machine."""

from __future__ import annotations

import copy
import time
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sslkit.errors import unknown

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


@dataclass(frozen=True)
class Compute:
    """A device, a number format for the encoder's forward pass, and the memory layout of images."""

    device: str = "cpu"
    precision: str = "float32"
    channels_last: bool = False

    def autocast(self) -> torch.autocast:
        """Half precision inside the networks; losses cast back to float32 themselves."""
        kind = torch.device(self.device).type
        return torch.autocast(kind, torch.bfloat16, enabled=self.precision == "bfloat16")

    def layout(self, x):
        """Move a module or a batch of images to the device and into the memory layout."""
        return x.to(self.device, memory_format=torch.channels_last if self.channels_last else torch.contiguous_format)


def best_device() -> str:
    """The accelerator that PyTorch sees ("cuda", "mps", "xpu", ...), or "cpu"."""
    accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    return accelerator.type if accelerator else "cpu"


def choose(
    encoder: nn.Module,
    images: Tensor,
    *,
    device: str = "auto",
    precision: str = "auto",
    channels_last: bool | None = None,
) -> Compute:
    """The fastest way to train this encoder here. What is given is kept, what is "auto" (or None) is measured.

    Times one forward and backward pass of a copy of the encoder on `images` (float (B, C, H, W)) per candidate, about a
    second in all. bfloat16 is a candidate only where the processor has instructions for it: elsewhere it is emulated.
    """
    device = best_device() if device == "auto" else str(device)
    if precision != "auto" and precision not in DTYPES:
        raise unknown("precision", precision, ["auto", *DTYPES])
    precisions = [precision] if precision != "auto" else ["float32", *(["bfloat16"] if fast_bfloat16(device) else [])]
    layouts = [channels_last] if channels_last is not None else [False, True]
    candidates = [Compute(device, p, c) for p in precisions for c in layouts]
    if len(candidates) == 1:
        return candidates[0]
    return min(candidates, key=lambda compute: _seconds(encoder, images, compute))


def fast_bfloat16(device: str) -> bool:
    """Whether this device multiplies bfloat16 in hardware."""
    if torch.device(device).type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    capabilities = torch.backends.cpu.get_cpu_capability() if device == "cpu" else ""
    return capabilities.startswith("AVX512") and getattr(torch.cpu, "_is_avx512_bf16_supported", bool)()


def _seconds(encoder: nn.Module, images: Tensor, compute: Compute) -> float:
    encoder, images = compute.layout(copy.deepcopy(encoder)), compute.layout(images)
    times = []
    for _ in range(3):  # the first pass warms up and is never the fastest
        synchronise(compute.device)
        start = time.perf_counter()
        with compute.autocast():
            h = encoder(images)
        h.float().square().sum().backward()
        synchronise(compute.device)
        times.append(time.perf_counter() - start)
    return min(times)


def synchronise(device: str) -> None:
    """Wait for queued work, so that a clock reads the truth. Does nothing on a CPU."""
    if torch.device(device).type != "cpu":
        torch.accelerator.synchronize(device)

"""Several processes: who am I, and the one operation through which embeddings of all processes meet.

The rule of the house: a method calls `gather` once, losses never know about processes, every rank computes the full loss
on the gathered tensor, and DistributedDataParallel averages the gradients. `gather` sums gradients over ranks in its
backward pass, which makes that average equal to the gradient of one process on the joined batch.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel


@contextmanager
def processes() -> Iterator[None]:
    """Join the processes that torchrun started, and leave them at the end. Does nothing without torchrun.

    Gradients go over NCCL between GPUs, one per process, and over gloo between CPUs. Single numbers always go over gloo:
    they do not wait for a GPU. Raises ValueError if there are more processes than GPUs, ConnectionError with one sentence
    when another process is gone.
    """
    if not dist.is_torchelastic_launched():
        yield
        return
    backend = "gloo"
    if (gpus := torch.cuda.device_count()) > 0:
        local, backend = int(os.environ["LOCAL_RANK"]), "cpu:gloo,cuda:nccl"
        if local >= gpus:
            raise ValueError(f"This machine has {gpus} GPUs and more processes: start it with --nproc-per-node={gpus}.")
        torch.cuda.set_device(local)  # from here on "cuda" is this one
    # DistributedDataParallel imports this. Imported while a group exists, it holds that group, and gloo's threads, until the
    # interpreter shuts down, where they may abort the process after a good run.
    importlib.import_module("torch._dynamo")

    dist.init_process_group(backend)
    rank, size = world()
    try:
        yield
        any_of(False)  # nobody leaves while another one still talks to it; after an error nobody waits
    except RuntimeError as error:
        if not (isinstance(error, dist.DistError) or "gloo" in str(error)):  # the ways of NCCL and gloo to say it
            raise
        raise ConnectionError(f"Process {rank} of {size} ends, because another one was killed or failed.") from error
    dist.destroy_process_group()


@contextmanager
def one_first() -> Iterator[None]:
    """One process of each machine does it, then the others: what the first has downloaded is there for them."""
    others = world()[1] > 1 and int(os.environ["LOCAL_RANK"]) > 0
    if others:
        any_of(False)
    yield
    if not others:
        any_of(False)


def world() -> tuple[int, int]:
    """(rank, number of processes); (0, 1) when nothing was started with torchrun."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1


def gather(x: Tensor) -> Tensor:
    """Concatenate a tensor over all processes, with gradients. (B, D) -> (world * B, D); the identity in one process."""
    return x if world()[1] == 1 else _Gather.apply(x)


def parallel(method: nn.Module) -> nn.Module:
    """The method as all processes train it together; the same module in one process.

    On GPUs its batch norms take their statistics from the whole batch; on CPUs PyTorch has local ones only.
    """
    if world()[1] == 1:
        return method
    if next(method.parameters()).is_cuda:
        nn.SyncBatchNorm.convert_sync_batchnorm(method)
    return DistributedDataParallel(method)


def agree(value: object) -> object:
    """What the first process says, in every process."""
    said = [value]
    if world()[1] > 1:
        dist.broadcast_object_list(said, src=0, device=torch.device("cpu"))
    return said[0]


def collect(value: object) -> list:
    """What every process says, in every process, by rank."""
    said = [value] * world()[1]
    if world()[1] > 1:
        dist.all_gather_object(said, value)
    return said


def any_of(flag: bool) -> bool:
    """Whether it is true in any process. All of them wait here for the last one."""
    if world()[1] == 1:
        return flag
    total = torch.tensor(float(flag))
    dist.all_reduce(total)
    return bool(total)


def mean(x: Tensor) -> Tensor:
    """The mean of a tensor over all processes, without gradients."""
    if world()[1] > 1:
        dist.all_reduce(x)  # in place
    return x / world()[1]


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        rank, size = world()
        ctx.rows = slice(rank * len(x), (rank + 1) * len(x))
        parts = [torch.empty_like(x) for _ in range(size)]
        dist.all_gather(parts, x.contiguous())
        return torch.cat(parts)  # (world * B, D)

    @staticmethod
    def backward(ctx, gradient):
        gradient = gradient.clone(memory_format=torch.contiguous_format)  # autograd may give it to others, too
        dist.all_reduce(gradient)  # every rank computed the full loss: its gradient for my rows counts too
        return gradient[ctx.rows]

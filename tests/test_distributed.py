"""Several processes: the gradient of N processes is the gradient of one process on the joined batch."""

import os
import socket
from dataclasses import replace

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from every_method import METHODS

from sslkit import seeds
from sslkit.distributed import agree, any_of, collect, gather, mean, world

SINGLE = ("supervised", "regression", "fusion")  # computed in float32 on purpose, too coarse for what is compared here
NAMES = [name for name in METHODS if name not in SINGLE]


def build(name):
    torch.manual_seed(0)
    return METHODS[name]()


def start(name, rows=slice(12)):
    """The method in double precision, and some rows of what it collects from the same twelve images."""
    method, index = build(name), torch.arange(12)
    images = torch.rand(12, 3, 16, 16, generator=seeds.generator("images"))
    batch = method.collect(images, index, index % 4, seeds.generator("views"))
    own = lambda x: x if x is None or 12 not in x.shape else x[rows] if len(x) == 12 else x[:, rows]
    double = lambda x: x if x is None else own(x).double()
    views = [double(view) for view in batch.views]
    return method.double(), replace(
        batch, views=views, index=own(index), labels=own(index % 4), clean=double(batch.clean), noise=double(batch.noise),
        pseudo_labels=own(batch.pseudo_labels),
    )  # fmt: skip


def gradients(method):
    return [p.grad for p in method.parameters() if p.requires_grad]


def one_rank(rank, ranks, port, results):
    torch.set_num_threads(1)
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "GLOO_SOCKET_IFNAME": "lo"}
    dist.init_process_group("gloo", rank=rank, world_size=ranks)
    for name in NAMES:
        method, batch = start(name, slice(rank * 12 // ranks, (rank + 1) * 12 // ranks))
        engine = torch.nn.parallel.DistributedDataParallel(method)
        loss = engine(batch)["loss"]
        loss.backward()
        engine.module.after_step(0.5)
        value = loss.detach() / ranks
        dist.all_reduce(value)  # the mean: a loss that compares nothing is computed by each process for its own images
        if rank == 0:
            results[name] = value.item(), gradients(engine.module), list(engine.module.buffers())
    a, b = (torch.ones(2, 3, requires_grad=True) for _ in range(2))
    ((gather(a) + gather(b)) * torch.ones(2 * ranks, 3)).sum().backward()  # a sum hands one gradient to both
    assert torch.equal(a.grad, torch.full((2, 3), float(ranks)))
    assert torch.equal(b.grad, torch.full((2, 3), float(ranks)))
    assert agree(f"rank {rank}") == "rank 0"
    assert collect(rank) == list(range(ranks))
    assert [any_of(False), any_of(rank == 1), any_of(True)] == [False, True, True]
    assert mean(torch.tensor([1.0, rank])).tolist() == [1.0, (ranks - 1) / 2]
    dist.barrier()  # nobody leaves while another one still talks to it
    dist.destroy_process_group()
    os._exit(0)  # without the interpreter's shutdown, in which a thread of gloo now and then aborts the process


@pytest.mark.parametrize("ranks", [2, 3])
def test_gradient_of_several_processes_is_that_of_one(ranks):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    with mp.get_context("spawn").Manager() as manager:
        results = manager.dict()
        mp.spawn(one_rank, (ranks, port, results), nprocs=ranks)
        results = dict(results)
    for name in NAMES:
        method, batch = start(name)
        loss = method(batch)["loss"]
        loss.backward()
        method.after_step(0.5)
        value, theirs, buffers = results[name]
        assert value == pytest.approx(loss.item(), rel=1e-9), name
        for mine, other in zip(gradients(method), theirs, strict=True):
            assert torch.allclose(mine, other, rtol=1e-6, atol=1e-9), name
        for mine, other in zip(method.buffers(), buffers, strict=True):  # queues and centres saw the joined batch
            assert torch.allclose(mine, other, rtol=1e-6, atol=1e-9), name


def test_one_process_gathers_nothing():
    x = torch.rand(3, 2, requires_grad=True)
    assert world() == (0, 1)
    assert gather(x) is x

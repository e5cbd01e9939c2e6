"""Several processes for real: torchrun starts them, they write one run, one is killed, all are stopped, and they go on."""

import os
import signal
import socket
import subprocess
import sys
import threading
from dataclasses import replace

import psutil
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

import sslkit
from sslkit import checkpoint, distributed, methods, nets, recipes, seeds, train

CONFIG = train.TrainConfig(
    steps=4, batch_size=32, device="cpu", precision="float32", channels_last=False, marks=2, probe=20
)


def as_rank(monkeypatch, rank, size):
    """Let this process believe that it is one of several, whose others agree with it."""
    monkeypatch.setattr(distributed, "world", lambda: (rank, size))
    for name in ("agree", "any_of"):
        monkeypatch.setattr(distributed, name, lambda value: value)
    monkeypatch.setattr(distributed, "mean", lambda x: x)
    monkeypatch.setattr("sslkit.methods.joint.gather", lambda x: x)
    monkeypatch.setattr(distributed, "parallel", lambda method: method)


# ---- one process, or a pretended one


def test_without_torchrun_there_is_one_process():
    with distributed.processes(), distributed.one_first():
        assert distributed.world() == (0, 1)
    assert distributed.agree("mine") == "mine"
    assert distributed.collect("mine") == ["mine"]
    assert distributed.any_of(True) is True
    assert distributed.any_of(False) is False
    assert torch.equal(distributed.mean(torch.arange(3.0)), torch.arange(3.0))
    module = nn.Linear(2, 2)
    assert distributed.parallel(module) is module


def test_more_processes_than_gpus_is_one_sentence(monkeypatch):
    monkeypatch.setattr(distributed.dist, "is_torchelastic_launched", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("LOCAL_RANK", "2")
    with pytest.raises(ValueError, match="has 2 GPUs and more processes: start it with --nproc-per-node=2"):
        with distributed.processes():
            pass


@pytest.mark.parametrize(
    ("error", "becomes"),
    [
        (RuntimeError("[third_party/gloo/gloo/transport/tcp/pair.cc:1] Connection reset by peer"), ConnectionError),
        (torch.distributed.DistBackendError("NCCL communicator was aborted"), ConnectionError),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), RuntimeError),
        (FloatingPointError("The loss is nan"), FloatingPointError),
    ],
)
def test_a_lost_process_is_told_from_a_mistake(monkeypatch, error, becomes):
    monkeypatch.setattr(distributed.dist, "is_torchelastic_launched", lambda: True)
    for name in ("init_process_group", "destroy_process_group"):
        monkeypatch.setattr(distributed.dist, name, lambda *args: None)
    as_rank(monkeypatch, 1, 3)
    with pytest.raises(becomes) as caught:
        with distributed.processes():
            raise error
    assert type(caught.value) is becomes
    if becomes is ConnectionError:
        assert str(caught.value) == "Process 1 of 3 ends, because another one was killed or failed."


def test_only_the_first_process_looks_shows_and_writes(monkeypatch, tiny_shapes, tmp_path):
    as_rank(monkeypatch, 1, 2)
    rows = []
    method = recipes.method("simclr", tiny_shapes, encoder=nets.small_resnet(widths=(8,)), head=(32, 16))
    history = train.fit(method, tiny_shapes, CONFIG, folder=tmp_path / "out", watch=rows.append)
    assert history.step == 4
    assert rows == []
    assert not any("rankme" in row for row in history.rows)
    assert not (tmp_path / "out").exists()


def test_a_batch_that_cannot_be_shared(monkeypatch, tiny_shapes):
    as_rank(monkeypatch, 0, 3)
    method = recipes.method("simclr", tiny_shapes, encoder=nets.small_resnet(widths=(8,)))
    with pytest.raises(ValueError, match="batch_size is 32, which 3 processes cannot share equally"):
        train.fit(method, tiny_shapes, CONFIG)


def test_machines_that_do_not_share_a_folder(monkeypatch, tmp_path):
    assert checkpoint.exists(tmp_path) is False
    checkpoint.write(tmp_path / checkpoint.FILE, {})
    assert checkpoint.exists(tmp_path) is True
    monkeypatch.setattr(distributed, "agree", lambda value: False)  # the first process sees none
    with pytest.raises(ValueError, match=r"Not all processes see the same files in .*a folder that all machines share"):
        checkpoint.exists(tmp_path)


def test_an_interrupted_trial_is_no_measurement(monkeypatch, tiny_shapes):
    """SIGTERM while minutes are turned into steps must not train on with a wrong number."""
    monkeypatch.setattr(train, "fit", lambda method, data, config, stop: train.History(step=3))
    method = recipes.method("simclr", tiny_shapes, encoder=nets.small_resnet(widths=(8,)))
    with pytest.raises(KeyboardInterrupt):
        train.steps_for(1, method, tiny_shapes, CONFIG)


def test_sigterm_may_come_twice(tiny_shapes):
    """A cluster sends it to everybody, and torchrun passes it on."""

    def twice(row):
        if row["step"] == 1:
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGTERM)

    method = recipes.method("simclr", tiny_shapes, encoder=nets.small_resnet(widths=(8,)))
    try:
        assert train.fit(method, tiny_shapes, CONFIG, watch=twice).step in (1, 2)
    except KeyboardInterrupt:
        pytest.fail("the second one raised")


def test_batch_norms_meet_on_gpus_only(monkeypatch):
    """Without a GPU at hand: fake ones, and what would be handed to DistributedDataParallel."""
    monkeypatch.setattr(distributed, "world", lambda: (0, 2))
    monkeypatch.setattr(distributed, "DistributedDataParallel", lambda module: module)
    on_cpu = distributed.parallel(nets.small_resnet(widths=(8,)))
    assert not any(isinstance(module, nn.SyncBatchNorm) for module in on_cpu.modules())
    with FakeTensorMode(), torch.device("cuda"):
        on_gpu = distributed.parallel(nets.small_resnet(widths=(8,)))
    norms = [module for module in on_gpu.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    assert norms
    assert all(isinstance(module, nn.SyncBatchNorm) for module in norms)
    assert on_gpu.state_dict().keys() == on_cpu.state_dict().keys()  # a checkpoint of one fits the other


def test_pictures_that_do_not_fit_are_sent_batch_by_batch(monkeypatch, tiny_shapes):
    def first(resident):
        monkeypatch.setattr(train, "RESIDENT", resident)
        return next(train.batches(tiny_shapes, 3, CONFIG, "meta"))

    few, many = first(2**30), first(0)
    assert [x.device.type for x in (*few, *many)] == ["meta"] * 6
    assert [x.shape for x in few] == [x.shape for x in many] == [(32, 3, 16, 16), (32,), (32,)]
    cpu = next(train.batches(tiny_shapes, 3, CONFIG, "cpu"))
    index = train.batch_index(300, 3, CONFIG)
    assert torch.equal(cpu[1], index)
    assert torch.equal(cpu[0], tiny_shapes.train.images[index])


# ---- two processes with a stream each


class Drawn:
    """Endless random pictures, and where in them it is."""

    def __init__(self, rank):
        self.generator = seeds.generator("pictures", rank)

    def __iter__(self):
        while True:
            yield torch.randint(0, 256, (16, 3, 16, 16), dtype=torch.uint8, generator=self.generator)

    def state_dict(self):
        return {"generator": self.generator.get_state()}

    def load_state_dict(self, state):
        self.generator.set_state(state["generator"])


def one_of_two(rank, port, folder, results):
    torch.set_num_threads(1)
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "GLOO_SOCKET_IFNAME": "lo"}
    dist.init_process_group("gloo", rank=rank, world_size=2)
    stop = threading.Event()

    def method():
        torch.manual_seed(0)
        return methods.SimCLR(nets.small_resnet(widths=(8, 16)), head=(32, 16))

    def end(row):
        if row["step"] == 3:  # it is called in the first process only: the other one has to be told
            stop.set()

    straight, broken = method(), method()
    train.fit(straight, Drawn(rank), replace(CONFIG, steps=8))
    stopped = train.fit(method(), Drawn(rank), replace(CONFIG, steps=8), folder=folder, watch=end, stop=stop).step
    train.fit(broken, Drawn(rank), replace(CONFIG, steps=8), folder=folder)
    same = all(torch.equal(a, b) for a, b in zip(straight.parameters(), broken.parameters()))
    results[rank] = stopped, same, [p.detach() for p in broken.parameters()]
    dist.barrier()
    os._exit(0)


def test_streams_of_two_processes_stop_together_and_go_on_exactly(tmp_path):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    with mp.get_context("spawn").Manager() as manager:
        results = manager.dict()
        mp.spawn(one_of_two, (port, tmp_path, results), nprocs=2)
        (stopped, same, mine), (stopped_too, same_too, theirs) = results[0], results[1]
    assert 3 <= stopped == stopped_too < 8
    assert same
    assert same_too
    assert all(torch.equal(a, b) for a, b in zip(mine, theirs))  # averaged gradients keep them together


ALONE = """
import gc, pathlib, torch
from sslkit import distributed
threads = lambda: [file.read_text().strip() for file in pathlib.Path("/proc/self/task").glob("*/comm")]
with distributed.processes():
    engine = torch.nn.parallel.DistributedDataParallel(torch.nn.Linear(2, 1))
    engine(torch.ones(1, 2)).sum().backward()
    assert any("gloo" in name for name in threads())
    del engine
gc.collect()
print([name for name in threads() if "gloo" in name])
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads the names of threads from /proc")
def test_nothing_of_the_group_is_left_when_the_interpreter_shuts_down():
    """Threads of gloo that are still there can abort a process that has done everything well."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = str(s.getsockname()[1])
    alone = {"TORCHELASTIC_RUN_ID": "none", "RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "MASTER_PORT": port}
    env = {**os.environ, **alone, "MASTER_ADDR": "127.0.0.1", "GLOO_SOCKET_IFNAME": "lo"}
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", ALONE], env=env, capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stdout + done.stderr


# ---- torchrun

STEPS = 200  # enough of them, so that a signal arrives before the end


class Torchrun:
    """`torchrun --nproc-per-node=2 -m sslkit train ...`, its output line by line, and its processes."""

    def __init__(self, out):
        command = (
            "-m torch.distributed.run --standalone --nproc-per-node=2 -m sslkit train --data digits --batch-size 64"
        )
        self.process = subprocess.Popen(
            [sys.executable, *command.split(), "--steps", str(STEPS), "--out", str(out)],
            env={**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo", "CUDA_VISIBLE_DEVICES": ""},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        self.lines = []

    def read_until(self, start):
        for line in self.process.stdout:
            self.lines.append(line)
            if line.startswith(start):
                return
        pytest.fail(f"{start!r} was never printed:\n{''.join(self.lines)}")

    def ranks(self):
        children = psutil.Process(self.process.pid).children()
        return {int(child.environ()["RANK"]): child.pid for child in children if "RANK" in child.environ()}

    def end(self):
        """Everything that was printed, and the exit code."""
        rest, _ = self.process.communicate(timeout=300)
        return "".join(self.lines) + rest, self.process.returncode


@pytest.fixture
def torchrun():
    jobs = []

    def start(out):
        jobs.append(Torchrun(out))
        return jobs[-1]

    yield start
    for job in jobs:
        if job.process.poll() is None:  # the test has failed: leave nothing running
            job.process.terminate()
            job.process.communicate(timeout=60)


@pytest.mark.slow
def test_torchrun_trains_is_stopped_is_killed_and_goes_on(torchrun, tmp_path):
    straight, broken = tmp_path / "straight", tmp_path / "broken"
    text, code = torchrun(straight).end()
    assert code == 0, text
    assert text.count("Learning without labels: simclr, 64 a batch, seed 0, 2 processes.") == 1  # one of them prints
    assert text.count(f"step {STEPS}:") == 1
    assert sorted(path.name for path in straight.iterdir()) == ["card.json", "checkpoint.pt", "encoder.safetensors"]
    run = sslkit.load(straight)
    assert run.history.step == STEPS
    assert run.embed(run.data.test.images).isfinite().all()

    # SIGTERM, to one process only, and as a cluster sends it: all end after the same step, with a checkpoint.
    stopped = 0
    for whom in ("one", "all"):
        job = torchrun(broken)
        job.read_until("step")
        os.kill(job.ranks()[1] if whom == "one" else job.process.pid, signal.SIGTERM)
        text, code = job.end()
        assert code != 0
        state = checkpoint.read(broken)
        assert stopped < state["history"]["step"] < STEPS
        stopped = state["history"]["step"]
        assert f"Stopped after step {stopped} of {STEPS}; the same command goes on." in text, text
        assert state["optimiser"] is not None
        assert state["processes"] == 2

    # One process is killed: the other one says so, and torchrun names it.
    job = torchrun(broken)
    job.read_until("step")
    job.read_until("step")  # at the first one the checkpoint was perhaps not yet written
    os.kill(job.ranks()[1], signal.SIGKILL)
    text, code = job.end()
    assert code != 0
    sentence = (
        "sslkit: Process 0 of 2 ends, because another one was killed or failed. "
        f"The last checkpoint is in {broken}; the same command goes on."
    )
    assert sentence in text, text
    assert "SIGKILL" in text
    assert "sslkit/train.py" not in text  # a sentence, no traceback of ours
    assert stopped < checkpoint.read(broken)["history"]["step"] < STEPS
    assert [path.name for path in broken.iterdir()] == ["checkpoint.pt"]  # nothing half-written

    # After all this, the same numbers as without it.
    text, code = torchrun(broken).end()
    assert code == 0, text
    again = sslkit.load(broken)
    assert again.history.step == STEPS
    for name, value in run.method.state_dict().items():
        assert torch.equal(value, again.method.state_dict()[name]), name


# ---- larger than memory

LARGE = """
import resource, sys, torch
resource.setrlimit(resource.RLIMIT_DATA, (2_000_000_000, 2_000_000_000))  # bytes that may be allocated
from sslkit import methods, nets, train
from sslkit.datasets import mapped
torch.set_num_threads(1)
data = mapped(sys.argv[1])
assert data.images.nbytes > 6_000_000_000
assert data.train.images.data_ptr() == data.images.data_ptr()  # a view

class Brightness(methods.Method):
    "As little work as a method can have."
    def __init__(self):
        super().__init__()
        self.encoder = nets.Encoder(torch.nn.Sequential(torch.nn.AvgPool2d(32), torch.nn.Flatten(), torch.nn.Linear(3, 2)),
                                    dim=2, in_channels=3)
    def collect(self, images, index, labels, generator):
        return methods.Batch([images.float() / 255], index)
    def forward(self, batch):
        return {"loss": (self.encoder(batch.views[0]) - 1).square().mean()}

config = train.TrainConfig(steps=300, batch_size=64, device="cpu", precision="float32", channels_last=False, probe=50)
history = train.fit(Brightness(), data, config, folder=sys.argv[2])
assert history.step == 300 and "rankme" in history.rows[-1]
if sys.platform == "linux":
    status = dict(line.split(":", 1) for line in open("/proc/self/status"))
    print(int(status["RssAnon"].split()[0]) / 1000, "MB")
    assert int(status["RssAnon"].split()[0]) < 1_500_000
try:
    data.images.clone()
except RuntimeError as error:
    print("a copy does not fit:", str(error).splitlines()[0])
else:
    raise SystemExit("the limit does not hold")
"""


@pytest.mark.slow
def test_an_array_larger_than_its_memory_limit(tmp_path):
    """Six gigabytes of pictures (a sparse file: zeros, without the disk for them) under a limit of two."""
    import numpy as np

    path, shape = tmp_path / "large.npy", (2_000_000, 3, 32, 32)
    with open(path, "wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
        file.truncate(file.tell() + int(np.prod(shape)))
    command = [sys.executable, "-c", LARGE, str(path), str(tmp_path / "out")]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert "a copy does not fit" in result.stdout
    assert (tmp_path / "out" / checkpoint.FILE).exists()

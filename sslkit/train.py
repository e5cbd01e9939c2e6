"""Training: one loop, written to be read. It knows nothing about any method; a method knows nothing about it."""

from __future__ import annotations

import copy
import math
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from itertools import count, islice, pairwise
from numbers import Integral, Real
from pathlib import Path
from statistics import mean, median

import torch
from torch import Tensor

from sslkit import augment, device, distributed, evaluation, seeds
from sslkit.checkpoint import Keeper, slower
from sslkit.datasets import Images, Stream
from sslkit.device import send
from sslkit.methods import Method
from sslkit.schedules import warmup_cosine

RESIDENT = 2 * 2**30  # bytes of pictures that are kept on the device; more are sent to it batch by batch
UNCHANGED = 4096  # pictures on which an encoder fits its whitening
LOOKED = ("std", "rankme", "alignment", "uniformity")  # what `look` takes from `evaluation.collapse`
KNOWN = {"step", "seconds", "lr", "images_per_second", "knn", *LOOKED}  # names in a row of the history
WARM, FEWEST = 5, 20  # steps before a clock counts; steps of the shortest training


@dataclass(frozen=True)
class TrainConfig:
    """How to train. Plain values only: it is stored with every run.

    steps: optimiser steps, the only budget. batch_size: images per step, over all processes. warmup: share of the steps.
    device, precision ("float32", "bfloat16") and channels_last follow from the machine where they are "auto" or None.
    resolutions: shares of a view's side, one for each equal part of the training: with (0.5, 0.75, 1.0) it begins with
    small views, of which a network sees four times as many in the same time. For methods with `any_size`.
    marks: how often to look at the representation, at log-spaced steps. probe: how many validation pictures to look at.
    """

    steps: int
    batch_size: int = 256
    lr: float = 3e-3
    weight_decay: float = 0.05
    warmup: float = 0.05
    seed: int = 0
    device: str = "auto"
    precision: str = "auto"
    channels_last: bool | None = None
    resolutions: tuple[float, ...] = (1.0,)
    marks: int = 10
    probe: int = 1000

    def __post_init__(self):
        for name, low in {"steps": 1, "batch_size": 2, "seed": 0, "marks": 0, "probe": 0}.items():
            value = getattr(self, name)
            if not isinstance(value, Integral) or isinstance(value, bool) or value < low:
                raise ValueError(f"{name} is {value!r}; it must be a whole number of at least {low}.")
            object.__setattr__(self, name, int(value))  # NumPy's integers, too
        if not (isinstance(self.lr, Real) and 0 < self.lr < math.inf):
            raise ValueError(f"lr is {self.lr!r}; the learning rate must be above 0 (0.003 is a good start).")
        if not (isinstance(self.weight_decay, Real) and 0 <= self.weight_decay < math.inf):
            raise ValueError(
                f"weight_decay is {self.weight_decay!r}; it must be a number of at least 0 (0.05 is usual)."
            )
        if not (isinstance(self.warmup, Real) and 0 <= self.warmup < 1):
            raise ValueError(f"warmup is {self.warmup!r}; it is a share of the steps, at least 0 and below 1.")
        shares = self.resolutions if isinstance(self.resolutions, tuple | list) else ()
        if not shares or not all(isinstance(share, Real) and 0 < share <= 1 for share in shares):
            raise ValueError(
                f"resolutions is {self.resolutions!r}; give shares above 0 and up to 1, such as (0.5, 1.0)."
            )
        object.__setattr__(self, "resolutions", tuple(map(float, shares)))
        for name in ("lr", "weight_decay", "warmup"):
            object.__setattr__(self, name, float(getattr(self, name)))

    def work(self, step: int) -> float:
        """The share of all work that is done after so many steps, if a step costs as much as its views have pixels."""
        parts = len(self.resolutions)
        done = [min(1, max(0, step / self.steps * parts - i)) * share**2 for i, share in enumerate(self.resolutions)]
        return sum(done) / sum(share**2 for share in self.resolutions)


@dataclass
class History:
    """What happened during training.

    rows: one dictionary per log step: "step", the mean of each loss term since the last row, "lr", "images_per_second",
    "seconds" of training so far; at marked steps also what `look` saw. step, seconds: how far the run is.
    snapshots: at each of snapshot_steps the representations (P, D, half precision) of the same validation pictures,
    `data.val[snapshot_index]`, from which an animation can be made.
    """

    rows: list[dict] = field(default_factory=list)
    step: int = 0
    seconds: float = 0.0
    snapshot_steps: list[int] = field(default_factory=list)
    snapshot_index: Tensor | None = None
    snapshots: list[Tensor] = field(default_factory=list)

    def column(self, name: str) -> tuple[list[int], list[float]]:
        """Steps and values of one column, where it was recorded."""
        rows = [row for row in self.rows if name in row]
        return [row["step"] for row in rows], [row[name] for row in rows]


@torch.enable_grad()
def fit(
    method: Method,
    data: Images | Iterable,
    config: TrainConfig,
    *,
    folder: str | Path | None = None,
    watch: Callable[[dict], None] | None = None,
    stop: threading.Event | None = None,
) -> History:
    """Train `method` on the training split of `data`, in place, and tell what happened.

    data may also be an iterable of batches, of uint8 images (B, C, H, W) or of pairs (images, labels), such as a DataLoader:
    each process brings its own, with its share of config.batch_size images per batch. There is nothing to look at then,
    and resuming is exact only if the iterable has `state_dict` and `load_state_dict`; see `sslkit.datasets.Stream`.
    folder: where checkpoints go, about one a minute; if it holds one of this very run, training goes on from there, bit
    for bit. watch: called with each new history row. stop: set it from anywhere (Ctrl-C and SIGTERM do) and the loop ends
    after the current step, with a checkpoint.
    Raises FloatingPointError when the loss is no longer finite, ValueError for data or checkpoints that do not fit.
    """
    if not method.any_size and set(config.resolutions) != {1.0}:
        raise ValueError(
            f"resolutions is {config.resolutions}, but {type(method).__name__} knows pictures of one size only: give (1.0,)."
        )
    data = _checked(data if isinstance(data, Images | Stream) else Stream(data), config)
    keeper = Keeper(folder, method, data)
    config = resolve(keeper.config(config) or config)
    compute = device.Compute(config.device, config.precision, config.channels_last)
    compute.layout(method).train()
    engine = distributed.parallel(method)
    optimiser = torch.optim.AdamW([{"params": group["params"]} for group in method.param_groups(0.0)])
    history, meter = History(), Meter(compute.device)
    keeper.restore(optimiser, history)
    if history.step == config.steps:
        return history

    log_every, marks = max(1, config.steps // 200), marked_steps(config)
    if history.step == 0 and marks:
        _append(history, look(method, data, config, history), watch)
        meter.restart()

    with interruptible(stop) as stop:
        steps, source = range(history.step, config.steps), batches(data, history.step, config, compute.device)
        for step, (images, index, labels) in zip(steps, source):
            progress = step / config.steps
            generator = seeds.generator(config.seed, "views", step, distributed.world()[0])
            batch = method.collect(images, index, labels, generator)
            share = config.resolutions[int(progress * len(config.resolutions))]
            batch.views = [compute.layout(augment.shrink(view, share)) for view in batch.views]

            lr = config.lr * warmup_cosine(step, steps=config.steps, warmup=round(config.warmup * config.steps))
            for group, factors in zip(optimiser.param_groups, method.param_groups(progress), strict=True):
                group["lr"], group["weight_decay"] = lr * factors["lr"], config.weight_decay * factors["decay"]

            with compute.autocast():
                terms = _checked_terms(engine(batch), method)
            optimiser.zero_grad()
            terms["loss"].backward()
            optimiser.step()
            method.after_step(progress)

            history.step = step + 1
            meter.add(terms, config.batch_size)
            asked_to_stop = distributed.any_of(stop.is_set())
            if history.step % log_every == 0 or history.step in marks or history.step == config.steps or asked_to_stop:
                row = meter.read() | {"lr": lr}
                if not math.isfinite(row["loss"]):
                    raise FloatingPointError(f"The loss is {row['loss']} at step {history.step}. {keeper.advice(lr)}")
                history.seconds += row.pop("seconds")
                if history.step == config.steps:
                    keeper.check_finite(lr, history.step)
                    method.finish(partial(unchanged, data, source))
                if history.step in marks:
                    row |= look(method, data, config, history)
                _append(history, row, watch)
                keeper.save(config, optimiser, history, now=asked_to_stop)
                meter.restart()
            if asked_to_stop:
                return history
    keeper.save(config, None, history, now=True)  # without the optimiser's state: a third of the size
    return history


def resolve(config: TrainConfig) -> TrainConfig:
    """The same configuration with device, precision and memory layout decided, see `device.choose`."""
    where = config.device
    if where != "auto":
        device.check(where)
    elif distributed.world()[1] > 1 and not torch.cuda.is_available():
        where = "cpu"  # gloo knows no other accelerator
    found = device.choose(device=where, precision=config.precision, channels_last=config.channels_last)
    return distributed.agree(replace(config, **vars(found)))


def steps_for(
    minutes: float, method: Method, data: Images, config: TrainConfig, stop: threading.Event | None = None
) -> TrainConfig:
    """The configuration with as many steps as fit into `minutes` here, looks at the representation included.

    Trains a throw-away copy for a few steps, with its own generators, so that the real run starts untouched. Raises
    ValueError unless minutes are above 0 and finite, KeyboardInterrupt if it is stopped. Warns where other programs use
    the CPU, too.
    """
    check_minutes(minutes)
    config = resolve(config)
    trial = copy.deepcopy(method)
    step, share = device.share_of_time(partial(step_seconds, trial, data, config, stop=stop))
    if config.device == "cpu" and distributed.world()[1] == 1:  # others wait, for the GPU or for each other
        for said in device.crowded(share):
            warnings.warn(said, stacklevel=4)
    looking = 0.0
    if marked_steps(config):
        start = time.perf_counter()
        look(trial, data, config, History())
        looking = (time.perf_counter() - start) * (config.marks + 1)
    steps = max(FEWEST, int((60 * minutes - looking) / step))
    return distributed.agree(replace(config, steps=steps))


def check_budget(minutes: float | None, steps: int | None) -> None:
    """Raise ValueError for two budgets."""
    if minutes is not None and steps is not None:
        raise ValueError(f"minutes={minutes} and steps={steps} are two budgets; give one of them.")


def check_minutes(minutes: float) -> None:
    """Raise ValueError unless minutes are above 0 and finite."""
    if not (isinstance(minutes, Real) and 0 < minutes < math.inf):
        raise ValueError(f"minutes is {minutes!r}; give a time above 0 that ends, such as 3 (or steps= instead).")


def step_seconds(
    method: Method,
    data: Images | Stream,
    config: TrainConfig,
    *,
    warm: int = WARM,
    steps: int = 20,
    stop: threading.Event | None = None,
) -> float:
    """How long a step takes here, on average over the resolutions. `method` is trained for so many steps, at
    least one of each.

    Medians, so that a busy second does not count. Raises KeyboardInterrupt if it is stopped.
    """
    parts = len(config.resolutions)
    few, steps = replace(config, steps=warm, marks=0), max(steps, parts)
    method.finish = lambda pictures: None  # what follows the last step is not a step
    try:
        for part in (few, replace(few, steps=steps)):
            timed = fit(method, data, part, stop=stop)
            if timed.step < part.steps:
                raise KeyboardInterrupt
    finally:
        del method.finish
    ends = [0.0, *(row["seconds"] for row in timed.rows)]  # a row per step
    times = [after - before for before, after in pairwise(ends)]
    return mean(median(times[i * steps // parts : (i + 1) * steps // parts]) for i in range(parts))


def batches(data: Images | Stream, start: int, config: TrainConfig, where: str) -> Iterator[tuple]:
    """(images, index, labels) of this process on the device, step by step from `start`, without end.

    The index of a picture from a stream is its number in the order of arrival.
    """
    if isinstance(data, Stream):
        rank, _ = distributed.world()
        for step, (images, labels) in enumerate(data, start):
            index = torch.arange(len(images)) + step * config.batch_size + rank * len(images)
            yield send(images, where), send(index, where), None if labels is None else send(labels, where)
    train = data.train
    home = where if train.images.nbytes <= RESIDENT else "cpu"
    images, labels = train.images.to(home), None if train.labels is None else train.labels.to(home)
    for step in count(start):
        index = send(batch_index(len(images), step, config), home)
        chosen = None if labels is None else send(labels[index], where)
        yield send(images[index], where), send(index, where), chosen


def unchanged(data: Images | Stream, source: Iterable[tuple] = ()) -> Tensor:
    """Training pictures without any change, the same in every process: evenly spaced, because they may lie class by class;
    of a stream its first batch, if it is still there, and the next ones."""
    if isinstance(data, Images):
        images = data.train.images
        return images[torch.linspace(0, len(images) - 1, min(len(images), UNCHANGED), dtype=torch.float64).long()]
    found = [] if data.first is None else [data.first[0].cpu()]
    try:
        for images, *_ in islice(source, -(-UNCHANGED // data.size)):
            found.append(images.cpu())
    except ValueError:  # it may be readable only once, and be at its end
        if not found:
            raise
    return distributed.agree(torch.cat(found))


def batch_index(n: int, step: int, config: TrainConfig) -> Tensor:
    """Which of n pictures this process takes at a step. (B,) int64.

    Each epoch is one permutation, its last incomplete batch dropped. Each of several processes takes every world-th
    picture of the joint batch.
    """
    rank, world = distributed.world()
    epoch, position = divmod(step, n // config.batch_size)
    return _order(n, config.seed, epoch)[position * config.batch_size :][: config.batch_size][rank::world]


@lru_cache(maxsize=1)
def _order(n: int, seed: int, epoch: int) -> Tensor:
    return torch.randperm(n, generator=seeds.generator(seed, "epoch", epoch))


def marked_steps(config: TrainConfig) -> set[int]:
    """Log-spaced steps from 0 to the end, because most happens early."""
    if config.marks == 0 or config.probe < 2:
        return set()
    return {0, *torch.logspace(0, math.log10(config.steps), config.marks).round().long().tolist(), config.steps}


def look(method: Method, data: Images, config: TrainConfig, history: History) -> dict[str, float]:
    """The representation now, on validation pictures: collapse numbers, kNN accuracy if there are labels, a snapshot.

    The gallery of the kNN is a part of the training split. The test split is not touched during training.
    Nothing is seen by other processes than the first, in a stream, or with fewer than two validation pictures.
    """
    if isinstance(data, Stream) or distributed.world()[0] > 0 or len(data.val) < 2:
        return {}
    val, train = data.val, data.train
    index = torch.randperm(len(val), generator=seeds.generator(config.seed, "probe"))[: config.probe].sort().values
    seen = val[index]
    h = evaluation.features(method.encoder, seen.images)  # (P, D)
    if not h.isfinite().all():
        raise FloatingPointError(f"Some features are no longer finite at step {history.step}. {slower(config.lr)}")
    views = method.collect(seen.images, index, seen.labels, seeds.generator(config.seed, "look")).views
    report = evaluation.collapse(h, evaluation.features(method.encoder, views[0]))
    row = {name: float(report[name]) for name in LOOKED}
    if val.labels is not None:
        known = train[torch.randperm(len(train), generator=seeds.generator(config.seed, "gallery"))[: 2 * config.probe]]
        known_h = evaluation.features(method.encoder, known.images)
        row["knn"] = evaluation.knn(known_h, known.labels, h, seen.labels).value
    history.snapshot_steps.append(history.step)
    history.snapshots.append(h.clamp(-65504, 65504).half())  # what is larger would become infinite
    history.snapshot_index = index
    return row


class Meter:
    """Adds up loss terms where they are computed, and reads them at log steps only: a GPU is never waited for in between."""

    def __init__(self, where: str):
        self.device = where
        self.restart()

    def restart(self) -> None:
        self.sums, self.steps, self.images, self.start = {}, 0, 0, time.perf_counter()

    def add(self, terms: dict[str, Tensor], images: int) -> None:
        for name, value in terms.items():
            self.sums[name] = self.sums.get(name, 0) + value.detach()
        self.steps += 1
        self.images += images

    def read(self) -> dict[str, float]:
        means = distributed.mean(torch.stack([*self.sums.values()]) / self.steps).tolist()  # waits for the device
        seconds = time.perf_counter() - self.start
        return dict(zip(self.sums, means)) | {"images_per_second": self.images / seconds, "seconds": seconds}


@contextmanager
def interruptible(stop: threading.Event | None = None) -> Iterator[threading.Event]:
    """Turn Ctrl-C, the kernel's stop button, SIGTERM and a closed terminal into a request that is read after each step.

    A second Ctrl-C raises. A second SIGTERM does not: torchrun passes on what a cluster has sent to all processes anyway.
    """
    stop = stop or threading.Event()

    def request(signum, frame):
        if stop.is_set() and signum == signal.SIGINT:
            raise KeyboardInterrupt
        stop.set()

    if threading.current_thread() is not threading.main_thread():  # only the main thread may touch signals
        yield stop
        return
    ends = [signal.SIGINT, signal.SIGTERM]
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # nohup stays nohup
        ends.append(signal.SIGHUP)
    before = {number: signal.signal(number, request) for number in ends}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _append(history: History, row: dict, watch: Callable[[dict], None] | None) -> None:
    history.rows.append({"step": history.step, **row, "seconds": history.seconds})
    if watch and distributed.world()[0] == 0:
        watch(history.rows[-1])


def _checked_terms(terms: dict[str, Tensor], method: Method) -> dict[str, Tensor]:
    """What `forward` has returned. Raises TypeError unless it is what `Method` asks for."""
    who = f"forward of {type(method).__name__}"
    if not isinstance(terms, dict) or "loss" not in terms:
        found = f"a dictionary of {list(terms)}" if isinstance(terms, dict) else f"a {type(terms).__name__}"
        raise TypeError(f'{who} returned {found}; it must be a dictionary, such as {{"loss": loss}}.')
    if taken := KNOWN & set(terms):
        raise ValueError(f"{who} returned {min(taken)!r}, under which the history keeps something else: rename it.")
    for name, value in terms.items():
        if not isinstance(value, Tensor) or value.ndim:
            found = f"of shape {tuple(value.shape)}" if isinstance(value, Tensor) else f"as a {type(value).__name__}"
            raise TypeError(f"{who} returned {name!r} {found}; it must be a tensor of one number, such as a mean.")
    if not terms["loss"].requires_grad:
        raise TypeError(f"{who} returned a loss without a gradient: nothing that it is made of can be trained.")
    return terms


def _checked(data: Images | Stream, config: TrainConfig) -> Images | Stream:
    if torch.is_inference_mode_enabled():
        raise ValueError("Nothing can be trained inside torch.inference_mode(): leave it first.")
    _, world = distributed.world()
    if config.batch_size % world:
        raise ValueError(f"batch_size is {config.batch_size}, which {world} processes cannot share equally.")
    if isinstance(data, Stream):
        if data.size * world != config.batch_size:
            raise ValueError(
                f"batch_size is {config.batch_size}, but the iterable gives batches of {data.size} images to each of "
                f"{world} process(es). Use batch_size={data.size * world}."
            )
    elif (n := int((data.split == 0).sum())) < config.batch_size:
        smaller = f"batch_size={n // 2} or " if n >= 4 else ""
        raise ValueError(
            f"batch_size is {config.batch_size}, but {data.name!r} has only {n} training pictures. "
            f"Use {smaller}more pictures."
        )
    return data

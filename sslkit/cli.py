"""The command line: `python -m sslkit quickstart`, and the few commands around it."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import threading
import time
import warnings
from functools import partial
from itertools import count
from pathlib import Path

import sslkit

LONG = 200  # steps from which on it is worth a few more to say how long they will take
TEST = 5  # of fewer pictures there is no map
FEW, MANY = 32, 512  # training pictures: from MANY on the usual batch is used, below FEW there is nothing to learn from


def main(arguments: list[str] | None = None) -> int:
    """Run one command. Returns the exit code; mistakes of the user are one sentence on stderr, not a traceback."""
    for stream in (sys.stdout, sys.stderr):  # a terminal that cannot show "±" shows "?"
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    options = _parser().parse_args(arguments)
    try:
        with warnings.catch_warnings():
            warnings.showwarning = lambda message, *_: print(f"sslkit: {message}", file=sys.stderr)
            return options.command(options) or 0
    except (ValueError, TypeError, OSError, FloatingPointError, ModuleNotFoundError) as error:
        if os.environ.get("SSLKIT_DEBUG"):
            raise
        print(f"sslkit: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("sslkit: stopped.", file=sys.stderr)
        return 130


def quickstart(options: argparse.Namespace) -> None:
    """From unlabelled pictures to a report: pretrain, evaluate, draw, save."""
    start = time.perf_counter()
    sslkit.recipes.check_name(options.method)  # before the data, which may have to be decoded or downloaded
    sslkit.checkpoint.check_free(options.out)
    sslkit.train.check_minutes(options.minutes)
    sslkit.seeds.check(options.seed)
    data = sslkit.datasets.load(os.path.expanduser(options.data))
    print(f"Data: {data}", flush=True)
    print(f"Learning without labels: {options.method}, {options.minutes:g} minutes, seed {options.seed}.", flush=True)
    few = {}
    if len(data.test) < TEST:
        raise ValueError(f"quickstart needs {TEST} test pictures at least; {data.name!r} has {len(data.test)}.")
    if len(data.train) < FEW:
        raise ValueError(f"quickstart needs {FEW} training pictures at least; {data.name!r} has {len(data.train)}.")
    if MANY > len(data.train) >= FEW:
        few["batch_size"] = len(data.train) // 2
        print(f"With {len(data.train)} training pictures, every batch has {few['batch_size']}.", flush=True)
    method, usual = sslkit.recipes.recipe(options.method, data, seed=options.seed)
    expected = sslkit.doctor.quickstart(method, data, minutes=options.minutes, **usual | few)
    print(sslkit.doctor.sentence(expected), flush=True)
    run = sslkit.pretrain(method, data, steps=expected["steps"], seed=options.seed, **usual | few)
    folder, news = _room_for(run, options.out)
    run.save(folder)  # whatever happens to the report
    if news:
        print(news, flush=True)
    if run.stopped:
        print(f"Stopped after step {run.history.step:,}. It is in {folder}: sslkit.load brings it back.", flush=True)
        raise KeyboardInterrupt
    print("Evaluating beside the baselines, drawing the map, writing the report ...", flush=True)
    if data.labels is not None and len(data.labels.unique()) > 1:
        print(f"The same network, half a minute from scratch with all labels: {run.ceiling}", flush=True)
    page = run.report(folder)
    print(f"\n{run.evaluate()}\n")
    print(f"{run}, done in {time.perf_counter() - start:.0f} s.")
    print(f"Report: {page}  (open it in any browser, no network needed)")
    print("Next:   make lab   (or: python -m sslkit lab) opens the notebooks, starting with 00_start_here.")


def _room_for(run: sslkit.Run, out: str) -> tuple[Path, str]:
    """Where to save a run, and what became of an earlier one there, if there is something to say.

    One of the same method, pictures and seed that has not gone further is replaced. Any other one is put aside, or, where it
    cannot be moved, left alone.
    """
    folder = Path(out).expanduser()
    folder = folder if folder.name else folder.resolve()
    if not (folder / sslkit.checkpoint.FILE).exists():
        return folder, ""
    old = sslkit.checkpoint.read(folder)
    kind = lambda method, about, config: (method, about["fingerprint"], config["seed"])
    same = kind(old["method"], old["data"], old["config"]) == kind(run.method.spec, run.about, vars(run.config))
    if same and not run.stopped and run.history.step >= old["history"]["step"]:
        return folder, ""
    free = next(place for n in count(1) if not (place := folder.with_name(f"{folder.name}-{n}")).exists())
    try:
        folder.rename(free)
    except OSError:  # a mount point, or somebody has a file of it open
        return free, f"{folder} keeps an earlier run; this one is in {free}."
    return folder, f"The earlier run that was in {folder} is in {free} now."


def train(options: argparse.Namespace) -> int:
    """Pretrain with checkpoints, in one process or in as many as torchrun started. The same command again goes on."""
    sslkit.recipes.check_name(options.method)
    out = sslkit.checkpoint.check_writable(options.out)
    # Around everything: when one process is gone, torchrun sends SIGTERM to the others, which still have to say so.
    with sslkit.train.interruptible() as stop:
        try:
            with sslkit.distributed.processes():
                return _train(options, out, stop)
        except ConnectionError as error:
            kept = f"The last checkpoint is in {out}; the" if (out / sslkit.checkpoint.FILE).exists() else "The"
            print(f"sslkit: {error} {kept} same command goes on.", file=sys.stderr, flush=True)
            return 1


def _train(options: argparse.Namespace, out: Path, stop: threading.Event) -> int:
    rank, world = sslkit.distributed.world()
    say = partial(print, flush=True) if rank == 0 else lambda *_: None
    with sslkit.distributed.one_first():  # it may have to be downloaded
        data = sslkit.datasets.load(os.path.expanduser(options.data))
    say(f"Data: {data}")
    many = f", {world} processes" if world > 1 else ""
    say(f"Learning without labels: {options.method}, {options.batch_size} a batch, seed {options.seed}{many}.")
    if world == 1 and (options.steps or 0) >= LONG and not sslkit.checkpoint.exists(out):
        method, usual = sslkit.recipes.recipe(options.method, data)
        seconds = sslkit.doctor.training(method, data, options.steps, batch_size=options.batch_size, **usual)
        long = sslkit.doctor.duration(seconds)
        say(f"About {long} for {options.steps:,} steps, if the machine stays as busy as it is now.")
    board = sslkit.progress.TensorBoard(out) if options.tensorboard else lambda row: None
    news = []

    def watch(row: dict) -> None:
        news.append(row["step"])
        if "rankme" in row:
            say(
                f"step {row['step']:,}:",
                *(f"{name} {row[name]:.3f}" for name in ("loss", "rankme", "knn") if name in row),
            )
        board(row)

    run = sslkit.pretrain(
        options.method, data, steps=options.steps, minutes=options.minutes, seed=options.seed,
        batch_size=options.batch_size, resume=out, watch=watch, stop=stop,
    )  # fmt: skip
    if run.stopped:
        say(f"Stopped after step {run.history.step:,} of {run.config.steps:,}; the same command goes on.")
        return 130
    if rank == 0:
        run.export(out)
    if not news:
        say("This training was done already; another --out begins a new one.")
    say(f"{run}\nSaved in {out}: sslkit.load brings it back, to evaluate it and to write its report.")
    return 0


def race(options: argparse.Namespace) -> None:
    """Every method, one encoder, the same minutes, the same exam: one record per row, so it can stop and go on."""
    racing = sslkit.race
    what = {
        "methods": options.methods or racing.ENTRANTS, "data": options.data or tuple(racing.MINUTES),
        "seeds": range(options.seeds), "minutes": options.minutes, "steps": options.steps,
    }  # fmt: skip
    rows = racing.race(options.out, **what)
    if todo := racing.missing(options.out, **what):
        print(f"{len(todo)} rows to do, about {sslkit.doctor.duration(sslkit.doctor.race(todo))}.", flush=True)
    for row in rows:
        score = row["columns"].get("this encoder", {}).get("linear probe")
        found = row.get("diverged") or (f"linear probe {score['value']:.3f}, " if score else "")
        print(f"{row['data']}, {row['method']}, seed {row['seed']}: {found}{row['seconds']:.0f} s", flush=True)
    records = racing.read(options.out)
    for name, figure in racing.figures(records).items():
        figure.savefig(Path(options.out).expanduser() / f"{name}.png", dpi=150)
    print(f"\n{racing.tables(records)}\n\nRecords and figures: {options.out}. The same command goes on.")


def examine(options: argparse.Namespace) -> None:
    """Measure this machine, and say how long things will take on it."""
    print("Measuring this machine ...", flush=True)
    print(sslkit.doctor.text(sslkit.doctor.examine()))


def lab(options: argparse.Namespace) -> int:
    """Open the notebooks in JupyterLab."""
    notebooks = Path(__file__).resolve().parent.parent / "notebooks"
    if not notebooks.is_dir():
        raise FileNotFoundError(
            "The notebooks are not part of the installed package. Get the repository, and run this command there."
        )
    return subprocess.call([sys.executable, "-m", "jupyterlab", str(notebooks / "00_start_here.ipynb")])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="sslkit", description="Learn how machines learn to see without labels.")
    parser.add_argument("--version", action="version", version=f"sslkit {sslkit.__version__}")
    commands = parser.add_subparsers(required=True, metavar="command")

    command = commands.add_parser("quickstart", help="pretrain without labels, evaluate, write a report")
    command.add_argument("--data", default="shapes", help="a data set, a folder of pictures or an .npz file (shapes)")
    command.add_argument("--method", default="quick", help="how to learn (quick: what learns most in a few minutes)")
    command.add_argument("--minutes", type=float, default=3.0, help="minutes of training (3)")
    command.add_argument("--seed", type=int, default=0, help="random seed (0)")
    command.add_argument("--out", default="runs/quickstart", help="where to write (runs/quickstart)")
    command.set_defaults(command=quickstart)

    command = commands.add_parser("train", help="pretrain with checkpoints; under torchrun, in several processes")
    command.add_argument(
        "--data", default="shapes", help="a data set, a folder of pictures, an .npz or .npy file (shapes)"
    )
    command.add_argument("--method", default="simclr", help="how to learn (simclr)")
    budget = command.add_mutually_exclusive_group()
    budget.add_argument("--steps", type=int, help="optimiser steps")
    budget.add_argument("--minutes", type=float, help="minutes of training, instead of steps (3)")
    command.add_argument("--seed", type=int, default=0, help="random seed (0)")
    command.add_argument("--batch-size", type=int, default=256, help="pictures a step, over all processes (256)")
    command.add_argument(
        "--out", default="runs/train", help="where checkpoints go; the same command goes on (runs/train)"
    )
    command.add_argument("--tensorboard", action="store_true", help="also write what TensorBoard shows")
    command.set_defaults(command=train)

    command = commands.add_parser("race", help="all methods, the same encoder, the same minutes, several seeds")
    command.add_argument("methods", nargs="*", help="which methods (all)")
    command.add_argument("--data", nargs="*", help="data sets (shapes emoji fashion)")
    command.add_argument("--seeds", type=int, default=3, help="seeds per method (3)")
    budget = command.add_mutually_exclusive_group()
    budget.add_argument("--minutes", type=float, help="minutes of training per row (2 on shapes, 1 on the others)")
    budget.add_argument("--steps", type=int, help="optimiser steps per row, instead of minutes")
    command.add_argument(
        "--out", default="runs/race", help="where the records go; the same command goes on (runs/race)"
    )
    command.set_defaults(command=race)

    command = commands.add_parser("doctor", help="what this machine can do, and how long things take on it")
    command.set_defaults(command=examine)

    command = commands.add_parser("lab", help="open the notebooks in JupyterLab")
    command.set_defaults(command=lab)
    return parser

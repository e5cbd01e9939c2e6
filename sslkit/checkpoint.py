"""Files that hold a run: written whole or not at all, read without running anything that is inside them."""

from __future__ import annotations

import json
import math
import os
import pickle
import tempfile
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch

from sslkit import distributed
from sslkit.datasets import Stream

FORMAT = 1  # raised when the meaning of the stored values changes
FILE = "checkpoint.pt"
SECONDS_BETWEEN = 60


def write(path: str | Path, state: dict) -> None:
    """Write a dictionary of tensors and plain values to `path`. Raises OSError with one sentence, see `write_file`."""
    write_file(path, lambda file: torch.save({"format": FORMAT, **state}, file))


def write_file(path: str | Path, save: Callable[[BinaryIO], object]) -> None:
    """Let `save` fill a file that appears at `path` only when it is complete.

    A full disk or a crash leaves an earlier file as it was. Raises OSError with one sentence when it cannot be written.
    """
    path = Path(path).expanduser()
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "wb") as file:
            save(file)
        os.replace(temporary, path)
    except BaseException as error:
        with suppress(OSError):
            temporary.unlink()
        if not isinstance(error, OSError | RuntimeError):  # PyTorch's zip writer turns a full disk into a RuntimeError
            raise
        reason = _first_line(error) if isinstance(error, OSError) else "the disk seems to be full"
        raise OSError(
            f"Could not write {path} ({reason}). Free some space or choose another folder; "
            "what was saved before is untouched."
        ) from error


def read(path: str | Path) -> dict:
    """The state that `write` stored, from a checkpoint or the folder that holds one. Nothing inside the file can run.

    Raises FileNotFoundError, or ValueError with one sentence for a file that is cut short, foreign or of another format.
    """
    path = Path(path).expanduser()
    path = path / FILE if path.is_dir() else path
    if not path.is_file():
        raise FileNotFoundError(f"There is no checkpoint at {path}. Give the folder of a run, or its {FILE}.")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ValueError(
            f"{path} was not opened: it is not a checkpoint, or it holds more than tensors and plain values. "
            "Such a file could run code, so it is never trusted. Train again or ask for a clean copy."
        ) from error
    except (RuntimeError, EOFError, OSError, KeyError, ValueError) as error:
        raise ValueError(
            f"{path} is cut short or damaged ({_first_line(error)}). Use another copy or train again."
        ) from error
    found = state.get("format") if isinstance(state, dict) else None
    if found != FORMAT:
        raise ValueError(f"{path} has checkpoint format {found}; this sslkit reads format {FORMAT}. Train again.")
    return state


def check_writable(folder: str | Path) -> Path:
    """Make sure before any work is done that `folder` can be written, without making it yet.

    Raises OSError with one sentence.
    """
    folder = Path(folder).expanduser()
    existing = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    try:
        with tempfile.TemporaryFile(dir=existing):
            return folder
    except OSError as error:
        raise OSError(
            f"The run folder {folder} cannot be written ({_first_line(error)}). Choose another folder."
        ) from error


def check_free(folder: str | Path) -> Path:
    """`check_writable`, and nothing in it that somebody may still want to continue.

    Raises OSError or ValueError with one sentence.
    """
    folder = check_writable(folder)
    if (folder / FILE).exists():
        state = read(folder)
        done, steps = state["history"]["step"], state["config"]["steps"]
        if state["optimiser"] is not None and done < steps:
            raise ValueError(
                f"{folder} holds a training that stopped at step {done:,} of {steps:,} and can be continued. Choose another "
                "folder, or finish it first."
            )
    return folder


def exists(folder: str | Path) -> bool:
    """Whether a run folder holds a checkpoint. Raises ValueError if it does for some processes only."""
    found = (Path(folder).expanduser() / FILE).exists()
    if found != distributed.agree(found):
        raise ValueError(f"Not all processes see the same files in {folder}. Choose a folder that all machines share.")
    return found


def settle(config, stored: dict):
    """The configuration with what it leaves open ("auto", None) as a checkpoint has it."""
    return replace(config, **{name: stored[name] for name, value in asdict(config).items() if value in ("auto", None)})


def put_weights(state: dict, method, place: str | Path) -> None:
    """Give a method the weights of a checkpoint. Raises ValueError if they are of another one."""
    try:
        method.load_state_dict(state["weights"])
    except RuntimeError as error:  # networks of one's own have no spec that could be compared
        raise ValueError(
            f"The checkpoint in {place} is of another network ({_first_line(error)}). Choose another folder."
        ) from error


class Keeper:
    """Keeps the checkpoint of one run in its folder. Without a folder it keeps nothing.

    A checkpoint needs no generator states: every permutation and every view is a function of seed and step
    (`sslkit.seeds`), so the step is enough to go on exactly. A stream adds where it is, if it can tell.
    The first checkpoint is written at the first log step, so that a folder that cannot hold it is found early.
    """

    def __init__(self, folder: str | Path | None, method, data):
        self.folder = None if folder is None else check_writable(folder)
        self.method, self.source, self.state, self.saved = method, data, None, -math.inf
        self.data = describe(data) if self.folder else None
        _check_spec("method", method.spec)
        _check_spec("encoder", getattr(method.encoder, "spec", None))
        if self.folder:
            weights = method.encoder.state_dict()
            self.untrained = {name: value.detach().to("cpu", copy=True) for name, value in weights.items()}
        if self.folder and exists(self.folder):
            self.state = read(self.folder)
            self.untrained = self.state.get("untrained") or self.untrained  # what it was before its first step

    def config(self, config):
        """The stored configuration if this folder holds the same run, None if it is empty.

        Raises ValueError naming the first thing that differs.
        """
        if self.state is None:
            return None
        if self.method.spec is None and self.state["method"] is None:
            warnings.warn(
                f"The checkpoint in {self.folder} is of a method of your own: nobody can see whether its loss or its views "
                "have changed since then. If they have, choose another folder.",
                stacklevel=5,
            )
        stored = asdict(type(config)(**self.state["config"]))
        config = settle(config, stored)
        encoder, known = self.method.encoder.spec, self.state["encoder"]
        seen = [(data["fingerprint"], data["name"]) for data in (self.state["data"], self.data)]
        versus = {
            "data": seen if seen[0][0] != seen[1][0] else (None, None),  # a folder may have got another name
            "method": (self.state["method"], self.method.spec),
            # What an older checkpoint does not know of did not exist then.
            "encoder": (known and {**(encoder or {}), **known}, encoder),
            "processes": (self.state["processes"], distributed.world()[1]),
            **{name: (stored[name], value) for name, value in asdict(config).items()},
        }
        for name, pair in versus.items():
            if pair[0] != pair[1]:
                name, *values = _difference(name, *pair)
                before, now = (text if len(text := repr(value)) < 100 else f"{text[:100]}..." for value in values)
                raise ValueError(
                    f"The checkpoint in {self.folder} is of another run: its {name} was {before}, now it is {now}. "
                    "Choose another folder, or ask for the same run again."
                )
        return config

    def restore(self, optimiser, history) -> None:
        """Put method, optimiser and history where the checkpoint left them."""
        if self.state is None:
            return
        if self.state["optimiser"] is None and self.state["history"]["step"] < self.state["config"]["steps"]:
            raise ValueError(
                f"The checkpoint in {self.folder} was saved to be looked at, not to be continued. Choose another folder."
            )
        put_weights(self.state, self.method, self.folder)
        if self.state["optimiser"] is not None:
            optimiser.load_state_dict(self.state["optimiser"])
        for name, value in self.state["history"].items():
            setattr(history, name, value)
        if isinstance(self.source, Stream) and self.state["optimiser"] is not None:
            state = self.state["streams"][distributed.world()[0]]
            if state is None:
                warnings.warn(
                    "Resuming on an iterable without state_dict: it begins anew, so the result will not be exactly that "
                    "of a run that was never stopped.",
                    stacklevel=3,
                )
            else:
                self.source.go_to(state)
        here = {"torch": torch.__version__, "threads": torch.get_num_threads()}
        changed = [f"{name} {self.state[name]} -> {now}" for name, now in here.items() if self.state[name] != now]
        if changed and self.state["optimiser"] is not None:
            warnings.warn(
                f"Resuming on another set-up ({', '.join(changed)}): the result may differ in the last digits.",
                stacklevel=3,
            )

    def save(self, config, optimiser, history, *, now: bool = False) -> None:
        """Write a checkpoint, if `now` or if the last one is a minute old. Weights that are not finite are not written."""
        due = now or time.monotonic() - self.saved > SECONDS_BETWEEN
        if self.folder is None or not distributed.agree(due):
            return
        streams = distributed.collect(self.source.state()) if isinstance(self.source, Stream) else []
        if distributed.world()[0] > 0:
            return
        self.check_finite(config.lr, history.step)
        packed = pack(self.method, self.untrained, self.data, config, history, optimiser)
        write(self.folder / FILE, {**packed, "streams": streams})
        self.saved = time.monotonic()

    def check_finite(self, lr: float, step: int) -> None:
        """Raise FloatingPointError unless all weights are finite."""
        if not all(torch.isfinite(p).all() for p in self.method.parameters()):
            raise FloatingPointError(f"Some weights are no longer finite at step {step}. {self.advice(lr)}")

    def advice(self, lr: float) -> str:
        kept = (
            f"The last finite checkpoint is in {self.folder}. " if self.folder and (self.folder / FILE).exists() else ""
        )
        return kept + slower(lr)


def slower(lr: float) -> str:
    """What to do when numbers are no longer finite."""
    return f"Training diverged; try a learning rate below {lr:.2g}, or a longer warm-up."


def _check_spec(what: str, spec) -> None:
    """What could not be written, or never be read again, is found before the first step."""
    try:
        json.dumps(plain(spec))
    except TypeError as error:
        raise TypeError(
            f"The {what}'s spec holds more than numbers, strings, lists and dictionaries: {spec!r}."
        ) from error


def describe(data) -> dict:
    """What a run remembers of its data: enough to recognise it, and to show new pictures to the encoder."""
    about = {"name": data.name, "fingerprint": data.fingerprint(), "shape": list(data.shape), "names": list(data.names)}
    return plain(about)


def plain(value):
    """Dictionaries and lists of numbers and strings, without what NumPy made of them: a checkpoint cannot hold that."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(map(plain, value))
    return value.item() if isinstance(value, np.generic) else value


def pack(method, untrained: dict | None, data: dict, config, history, optimiser=None) -> dict:
    """Everything a run is, as tensors and plain values. Without the optimiser it can be read, not continued.

    untrained: the weights that the encoder had before the first step, if they are known.
    """
    return {
        "method": plain(method.spec),
        "encoder": plain(method.encoder.spec),
        "weights": method.state_dict(),
        "untrained": untrained,
        "optimiser": None if optimiser is None else optimiser.state_dict(),
        "config": asdict(config),
        "history": dict(vars(history)),
        "data": data,
        "processes": distributed.world()[1],
        "torch": str(torch.__version__),
        "threads": torch.get_num_threads(),
    }


def _difference(name: str, before, now) -> tuple:
    """The name of the first thing that differs, as deep inside as there are dictionaries, and both values."""
    if isinstance(before, dict) and isinstance(now, dict):
        key = next(key for key in {**before, **now} if before.get(key) != now.get(key))
        return _difference(name if key == "name" else key, before.get(key), now.get(key))
    return name, before, now


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:160]

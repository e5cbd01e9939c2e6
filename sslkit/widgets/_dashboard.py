"""The training dashboard: start, stop and resume a training, and watch it while the kernel stays usable."""

from __future__ import annotations

import copy
import tempfile
import threading
from pathlib import Path

from sslkit import checkpoint, datasets, plots
from sslkit.datasets import Images
from sslkit.methods import Method
from sslkit.run import pretrain_in_place, settled
from sslkit.train import TrainConfig
from sslkit.widgets._glance import glance
from sslkit.widgets._job import Job
from sslkit.widgets._lab import alone
from sslkit.widgets._working import WorkingLab

PANELS = {"loss": "loss", "online kNN accuracy": "knn", "pairs found": "pairs_found", "RankMe": "rankme"}


class Dashboard(WorkingLab):
    """Train in the background and watch.

    method: a name or a `Method`. data: a name or `Images`. steps, seed: budget and seed. folder: where the checkpoint
    goes (a temporary folder by default); one that holds a checkpoint of this run can be resumed, also on another day.
    options: fields of `TrainConfig`, or, if `method` is a name, of the method.

    Without a browser: `start()`, `stop()`, `resume()`, `wait()`, `state`, `plot()`. `run` is the `Run`, None before the
    first stop or end; `method` is what is being trained. Resuming goes on bit for bit.
    Raises ValueError or TypeError with one sentence for settings that do not fit.
    """

    NAME = "dashboard"
    USE = (
        "Press Start and use other cells meanwhile; Stop keeps a checkpoint, from which Resume goes on. "
        "Watch whether the loss leaves its dashed lines, and whether the other curves follow."
    )

    def __init__(
        self,
        method: str | Method = "simclr",
        data: str | Images = "shapes",
        *,
        steps: int = 300,
        seed: int = 0,
        folder: str | Path | None = None,
        theme: str = "auto",
        **options,
    ):
        super().__init__(theme=theme)
        self.data = datasets.load(data) if isinstance(data, str) else data
        method, self._settings = settled(method, self.data, seed, options)
        self.config = TrainConfig(steps=steps, seed=seed, **self._settings)
        self._untouched, self.method = method, method  # every start begins with a copy
        self.references = method.reference_values(self.config.batch_size)
        self._given, self._temporary = folder, None
        self.run = None
        self._forget()
        if folder is not None and checkpoint.exists(folder):
            self.rows = checkpoint.read(folder)["history"]["rows"]
        self._job = Job()

    def _forget(self) -> None:
        self.rows, self.spectra = [], {}

    # --- what one can do ------------------------------------------------------------------------------------

    @alone
    def start(self) -> Dashboard:
        """Train from the first step. Returns at once. Raises ValueError if it is running, or if `folder` is not empty."""
        if self._given is not None and checkpoint.exists(self._given):
            raise ValueError(f"{self._given} holds a training already: resume it, or give another folder.")
        if not self._job.running:
            if self._given is None:
                self._temporary = tempfile.TemporaryDirectory(prefix="sslkit-", ignore_cleanup_errors=True)
            self._forget()
        return self._train()

    @alone
    def resume(self) -> Dashboard:
        """Go on from the checkpoint, bit for bit. Returns at once. Raises ValueError if there is nothing to go on from."""
        if not self._job.running and self.phase != "stopped":
            raise ValueError(f"There is nothing to resume: the training is {self.phase}. Start it first.")
        return self._train()

    # --- what one can see -----------------------------------------------------------------------------------

    @property
    def phase(self) -> str:
        """ "ready", "training", "stopping", "stopped", "finished" or "failed"."""
        if self._job.running:
            return "stopping" if self._job.flag.is_set() else "training"
        if self._job.error:
            return "failed"
        step = self._value("step") or 0
        return "finished" if step >= self.config.steps else "stopped" if step else "ready"

    @property
    def state(self) -> dict:
        """Phase, step, the latest numbers, and the seconds that are left at the present speed; plain types."""
        step = self._value("step") or 0
        done = self.config.work(step)
        left = self._value("seconds") * (1 - done) / done if done else None
        latest = {key: self._value(key) for key in (*PANELS.values(), "images_per_second")}
        where = {"phase": self.phase, "step": step, "steps": self.config.steps}
        return where | latest | {"seconds_left": left, "error": self._job.error}

    def plot(self):
        """The curves so far, with this method's own reference values, and the spectrum of the representation."""
        spectra = dict(self.spectra)
        runs = {f"{self._value('step') or 0:,} of {self.config.steps:,} steps": list(self.rows)}
        return plots.training(runs, PANELS, references=self.references, spectra=spectra, theme=self.look)

    def _still(self) -> str:
        return super()._still() if self.rows else ""  # empty axes would tell nothing

    @property
    def summary(self) -> str:
        """What is going on, in a sentence; it changes with the phase only, so that a screen reader is not flooded."""
        return {
            "ready": f"Ready: {self.config.steps:,} steps of {self.config.batch_size} pictures.",
            "training": "Training.",
            "stopping": "Stopping after this step.",
            "stopped": f"Stopped at step {self._value('step') or 0:,}. Resume goes on from here.",
            "finished": f"Finished: {self._value('step') or 0:,} steps.",
            "failed": self._job.error,
        }[self.phase]

    def _value(self, key: str):
        return next((row[key] for row in reversed(self.rows) if key in row), None)

    # --- the thread -----------------------------------------------------------------------------------------

    def _train(self) -> Dashboard:
        def work(stop: threading.Event) -> None:
            # The folder is the thread's own: a second start replaces the temporary one.
            self.run = pretrain_in_place(
                method, self.data, self._settings, steps=self.config.steps, seed=self.config.seed, resume=folder,
                progress=False, watch=self._watch, stop=stop,
            )  # fmt: skip
            self.rows = self.run.history.rows

        if self._job.running:
            raise ValueError("The training is running already: stop it first, or wait.")
        folder = self._given or self._temporary.name
        method = self.method = copy.deepcopy(self._untouched)
        self._job.start(work, self.changed)
        self.changed()
        return self

    def _watch(self, row: dict) -> None:
        """A new row of the history. At the marks, where the loop looks too, what it does not measure is added."""
        if "rankme" in row:
            seen = glance(self.method, self.data, at="h")
            row |= {"pairs_found": seen["pairs_found"]} if "pairs_found" in seen else {}
            name = f"step {row['step']:,}"
            first = dict([*self.spectra.items()][:1]) if row["step"] else {}
            self.spectra = {**first, name: seen["spectrum"]}
        self.rows.append(row)
        self._now_and_then()

    # --- the view -------------------------------------------------------------------------------------------

    def _controls(self) -> dict:
        from ipywidgets import Button

        return {name: Button(description=name.capitalize()) for name in ("start", "stop", "resume")}

    def _progress(self) -> tuple[int, int, str]:
        state = self.state
        said = [f"step {state['step']:,} of {state['steps']:,}"]
        if state["loss"] is not None:
            said += [f"loss {state['loss']:.3f}", f"{state['images_per_second']:,.0f} images/s"]
        if self._job.running and state["seconds_left"] is not None:
            said += [f"about {state['seconds_left']:.0f} s left"]
        return state["step"], state["steps"], " · ".join(said)

    def _possible(self, name: str) -> bool:
        phase = self.phase
        return {"start": not self._job.running, "stop": phase == "training", "resume": phase == "stopped"}[name]

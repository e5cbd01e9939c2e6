"""The collapse switchboard: take the guards of a method away, one by one, and watch what falls together."""

from __future__ import annotations

import threading

from sslkit import losses, plots, recipes
from sslkit.datasets import Images, shapes
from sslkit.errors import unknown
from sslkit.methods import Method
from sslkit.train import TrainConfig, fit
from sslkit.widgets._glance import glance
from sslkit.widgets._job import Job
from sslkit.widgets._lab import alone
from sslkit.widgets._working import WorkingLab

METHODS = {
    "simclr": "SimCLR",
    "barlow_twins": "Barlow Twins",
    "vicreg": "VICReg",
    "simsiam": "SimSiam",
    "byol": "BYOL",
}
GUARDS = {
    "simclr": ("negatives",),
    "barlow_twins": ("covariance",),
    "vicreg": ("variance", "covariance"),
    "simsiam": ("stop_gradient", "predictor"),
    "byol": ("stop_gradient", "predictor"),
}
SWITCHES = {
    "negatives": "negatives",
    "stop_gradient": "stop-gradient",
    "predictor": "predictor",
    "variance": "variance term",
    "covariance": "covariance term",
}
PANELS = {"RankMe of z": "rankme", "spread of z (1: even)": "std", "alignment": "alignment", "uniformity": "uniformity"}
HEAD = (128, 64)
LOOKS = 12  # along a run
SHOWN = 6  # runs in the figure: the latest


class CollapseSwitchboard(WorkingLab):
    """Five methods and their guards against collapse, each of which can be taken away.

    data: small pictures (by default `shapes` of 16 x 16 pixels). steps: of a run, 128 pictures each. seed: of everything.
    Set `method`, and `negatives`, `stop_gradient`, `predictor`, `variance`, `covariance` to True or False; `train()`
    trains in the background. A run with settings that were trained before is shown again at once. All numbers are of the
    projection z of validation pictures, because that is what the loss sees and what collapses first.

    Without a browser: those attributes, `train()`, `stop()`, `clear()`, `wait()`, `state`, `verdict`, `plot()`.
    """

    NAME = "switchboard"
    USE = (
        "Choose a method, take guards away, and press Train; runs stay, so that you can compare. "
        "A collapse shows in the RankMe or in the std of z, and not always in both."
    )

    def __init__(self, data: Images | None = None, *, steps: int = 100, seed: int = 0, theme: str = "auto"):
        super().__init__(theme=theme)
        self._data, self.seed = data, seed
        self._method, self._on, self._steps = "vicreg", dict.fromkeys(SWITCHES, True), 100
        self.runs: dict[tuple, dict] = {}  # settings: {"label", "rows", "spectrum", "verdict", "done"}
        self._shown: tuple | None = None
        self._training: tuple | None = None
        self.steps = steps
        self._job = Job()

    @property
    def data(self) -> Images:
        """The pictures; made when they are first needed, so that showing the lab is quick."""
        if self._data is None:
            self._data = shapes(4000, resolution=16)
        return self._data

    # --- settings -------------------------------------------------------------------------------------------

    @property
    def method(self) -> str:
        """The method that is trained next."""
        return self._method

    @method.setter
    def method(self, name: str) -> None:
        if name not in GUARDS:
            raise unknown("method", name, GUARDS)
        self._method = name
        self.changed()

    @property
    def steps(self) -> int:
        """Steps of the next run, 10 to 1,000."""
        return self._steps

    @steps.setter
    def steps(self, steps: int) -> None:
        if not 10 <= steps <= 1000 or steps != int(steps):
            raise ValueError(f"steps is {steps!r}; it must be a whole number from 10 to 1000.")
        self._steps = int(steps)
        self.changed()

    @property
    def off(self) -> tuple[str, ...]:
        """The guards of the present method that are taken away."""
        return tuple(name for name in GUARDS[self._method] if not self._on[name])

    @property
    def settings(self) -> tuple:
        """What the next run depends on: method, guards taken away, steps, seed."""
        return self._method, self.off, self._steps, self.seed

    # --- what one can do ------------------------------------------------------------------------------------

    @alone
    def train(self) -> CollapseSwitchboard:
        """Train the present settings in the background, or show them at once if they have been trained."""
        key = self.settings
        if self.runs.get(key, {}).get("done"):
            self.runs[key] = self.runs.pop(key)  # the latest in the figure
        else:
            self._training = key
            method = build_method(self.data, *key)  # here and not in the thread: it moves PyTorch's random state
            self._job.start(lambda stop: self._train(key, method, stop), self.changed)
        self._shown = key
        self.changed()
        return self

    @alone
    def clear(self) -> CollapseSwitchboard:
        """Forget all runs but the one that is being trained."""
        self.runs = {key: run for key, run in self.runs.items() if self._job.running and not run["done"]}
        self.changed()
        return self

    # --- what one can see -----------------------------------------------------------------------------------

    @property
    def state(self) -> dict:
        """Settings, what is running, and of every run its latest numbers and its verdict; plain types."""
        told = [
            {"label": run["label"], "done": run["done"], "verdict": run["verdict"], **(run["rows"] or [{}])[-1]}
            for run in list(self.runs.values())
        ]
        return {
            "method": self.method, **{name: getattr(self, name) for name in SWITCHES},
            "steps": self.steps, "seed": self.seed, "off": list(self.off),
            "running": self._job.running, "error": self._job.error, "runs": told,
        }  # fmt: skip

    @property
    def verdict(self) -> str:
        """What the run that is shown has come to, beside the complete method if that has been trained as well."""
        run = self.runs.get(self._shown)
        if run is None or not run["verdict"]:
            return ""
        name, off, steps, seed = self._shown
        whole = self.runs.get((name, (), steps, seed))
        if not off:
            return f"{run['label']}: {run['verdict']}"
        if not (whole and whole["done"]):
            return f"{run['label']}: {run['verdict']} Train it with all its guards to compare."
        # Beside the complete run; its fixed thresholds would make `evaluation.collapse` wait for longer.
        last, full = run["rows"][-1], whole["rows"][-1]
        lost = ["has fallen into fewer directions"] if last["rankme"] < 0.6 * full["rankme"] else []
        lost += ["has shrunk"] if last["std"] < 0.6 * full["std"] else []
        ending = f"it {' and '.join(lost)}" if lost else "no collapse shows"
        numbers = [
            f"std {row['std']:.2f} (1 = even), {row['rankme']:.1f} of {HEAD[1]} directions" for row in (last, full)
        ]
        return f"{run['label']}: {ending} ({numbers[0]}; with all its guards {numbers[1]})."

    @property
    def summary(self) -> str:
        """The verdict, or what is going on."""
        if self._job.error:
            return self._job.error
        if self._job.running:
            return "Training. " + self.verdict if self.runs.get(self._shown, {}).get("done") else "Training."
        return self.verdict or "No run yet."

    def plot(self):
        """The latest runs beside each other: four numbers over the steps, and the spectra."""
        runs = list(self.runs.values())[-SHOWN:]
        rows = {run["label"]: list(run["rows"]) for run in runs}
        spectra = {run["label"]: run["spectrum"] for run in runs if run["spectrum"] is not None}
        return plots.training(rows, PANELS, spectra=spectra, theme=self.look)

    # --- the thread -----------------------------------------------------------------------------------------

    def _train(self, key: tuple, method: Method, stop: threading.Event) -> None:
        _, _, steps, seed = key
        run = {"label": label(*key), "rows": [], "spectrum": None, "verdict": "", "done": False}
        self.runs.pop(key, None)
        self.runs[key] = run
        marks = {round(steps * i / LOOKS) for i in range(LOOKS + 1)}

        def watch(row: dict) -> None:
            if row["step"] in marks or stop.is_set():
                self._look(method, run, row["step"])

        self._look(method, run, 0)
        config = TrainConfig(
            steps, batch_size=min(128, len(self.data.train)), seed=seed, device="cpu", precision="float32",
            channels_last=False, marks=0,
        )  # fmt: skip
        history = fit(method, self.data, config, watch=watch, stop=stop)
        run["done"] = history.step == steps

    def _look(self, method: Method, run: dict, step: int) -> None:
        seen = glance(method, self.data)
        run["spectrum"], run["verdict"] = seen["spectrum"], seen["verdict"]
        row = {"step": step, **{name: seen[name] for name in PANELS.values()}}
        row["std"] *= HEAD[1] ** 0.5
        run["rows"].append(row)
        self._now_and_then()

    # --- the view -------------------------------------------------------------------------------------------

    def _controls(self) -> dict:
        from ipywidgets import BoundedIntText, Button, Checkbox, Dropdown, Layout

        look = lambda width: {
            "style": {"description_width": "initial"}, "layout": Layout(width=width, margin="2px 16px 2px 2px"),
        }  # fmt: skip
        boxes = {
            name: Checkbox(description=title, indent=False, layout=Layout(width="auto", margin="0 12px 0 0"))
            for name, title in SWITCHES.items()
        }
        options = [(title, name) for name, title in METHODS.items()]
        narrow = Layout(width="100px")
        buttons = {name: Button(description=name.capitalize(), layout=narrow) for name in ("train", "stop", "clear")}
        return {
            "method": Dropdown(options=options, description="method", **look("200px")),
            **boxes,
            "steps": BoundedIntText(min=10, max=1000, step=10, description="steps", **look("120px")),
            **buttons,
        }

    def _arrange(self) -> list:
        from ipywidgets import HBox, Layout

        *_, readout = super()._arrange()
        rows = (("method", *SWITCHES), ("steps", "train", "stop", "clear"))
        wrap = Layout(flex_flow="row wrap", overflow="visible")
        return [*(HBox([self.controls[name] for name in row], layout=wrap) for row in rows), readout]

    def _progress(self) -> tuple[int, int, str] | None:
        if not self._job.running or not (run := self.runs.get(self._training)) or not run["rows"]:
            return None
        step, steps = run["rows"][-1]["step"], self._training[2]
        return step, steps, f"step {step} of {steps}"

    def _still(self) -> str:
        return super()._still() if self.runs else ""  # empty axes would tell nothing

    def _possible(self, name: str) -> bool:
        if name in SWITCHES:
            return name in GUARDS[self._method]
        needs = {"train": not self._job.running, "stop": self._job.running, "clear": bool(self.runs)}
        return needs.get(name, True)


def _switch(name: str) -> property:
    def change(self, on: bool) -> None:
        self._on[name] = bool(on)
        self.changed()

    there = lambda self: self._on[name] and name in GUARDS[self._method]
    return property(there, change, doc=f"Whether the method has the {SWITCHES[name]}, and it is switched on.")


for _name in SWITCHES:
    setattr(CollapseSwitchboard, _name, _switch(_name))


def label(name: str, off: tuple[str, ...], steps: int, seed: int) -> str:
    """A run in words: "SimSiam without predictor, 100 steps"."""
    without = f" without {' and '.join(SWITCHES[guard] for guard in off)}" if off else ""
    return f"{METHODS[name]}{without}, {steps} steps"


def build_method(data: Images, name: str, off: tuple[str, ...], steps: int, seed: int) -> Method:
    """The method on a small encoder, without the guards in `off`."""
    options: dict = {"head": HEAD}
    if name == "barlow_twins":  # the authors' 0.0051 is for 8192 dimensions: in 64, the others would not count
        options["lambda_"] = 1e-9 if "covariance" in off else 0.1
    if name == "vicreg":
        options |= {"std_coeff": 0.0} if "variance" in off else {}
        options |= {"cov_coeff": 0.0} if "covariance" in off else {}
    if name in ("simsiam", "byol"):
        options |= {guard: False for guard in off}
    encoder = recipes.encoder(data, seed=seed, widths=(16, 32))
    method = recipes.method(name, data, seed=seed, encoder=encoder, **options)
    if "negatives" in off:  # what is left of NT-Xent: pull
        method.loss = losses.cosine_distance
    return method

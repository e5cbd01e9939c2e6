"""The invariance matrix: which factors of the pictures survive which views? Each row is a small training."""

from __future__ import annotations

import copy
import threading
from collections.abc import Mapping
from dataclasses import replace
from functools import partial

from sslkit import evaluation, plots, recipes
from sslkit.augment import Policy
from sslkit.datasets import Images, shapes
from sslkit.errors import unknown
from sslkit.methods import Method
from sslkit.nets import Encoder
from sslkit.train import TrainConfig, fit
from sslkit.widgets._job import Job
from sslkit.widgets._lab import alone
from sslkit.widgets._working import WorkingLab

CROP = Policy(scale=(0.4, 1.0), flip=0.0, jitter=0.0, gray=0.0)
HUE = replace(CROP, jitter=0.8, brightness=0.0, contrast=0.0, saturation=0.0, hue=0.5)
VIEWS = {
    "crop": CROP,
    "flip": replace(CROP, flip=0.5),
    "blur": replace(CROP, blur=0.5),
    "cutout": replace(CROP, cutout=0.8),
    "gray": replace(CROP, gray=0.5),
    "hue": HUE,
    "hue + flip": replace(HUE, flip=0.5),
    "all": replace(HUE, flip=0.5, gray=0.5, blur=0.5, cutout=0.8, brightness=0.4, contrast=0.4, saturation=0.4),
}
UNTRAINED = "untrained"


class InvarianceMatrix(WorkingLab):
    """Augmentations in rows, factors in columns, and how well a linear probe reads each factor in the cells.

    data: `Images` with factors (by default `shapes` of 16 x 16 pixels). views: {row: Policy}; in `VIEWS` each row crops
    and does one thing more, "hue + flip" does two, and "all" does all. factors: the columns, by default all of the data.
    steps, seed: of each row's SimCLR run of a small network, 128 pictures a step. A row is trained once and kept.

    Without a browser: `measure(row)`, `state`, `encoders`, `plot()`. `begin(row)` and `stop()` do it in the background.
    Raises ValueError for data without factors.
    """

    VIEWS = VIEWS
    NAME = "invariance"
    USE = (
        "Press the button of a row: a small network learns with these views, and the row shows what can be read from it. "
        "Compare each row with crop, and say beforehand which number will fall."
    )

    def __init__(
        self,
        data: Images | None = None,
        *,
        views: Mapping[str, Policy] = VIEWS,
        factors: tuple[str, ...] | None = None,
        steps: int = 120,
        seed: int = 0,
        theme: str = "auto",
    ):
        super().__init__(theme=theme)
        self.data = shapes(8000, resolution=16) if data is None else data
        if not self.data.factors:
            raise ValueError(f"{self.data.name!r} has no known factors, which the columns are; take shapes.")
        for name in factors or ():
            if name not in self.data.factors:
                raise unknown("factor", name, self.data.factors)
        self.factors, self.views, self.seed = tuple(factors or self.data.factors), dict(views), seed
        self.config = TrainConfig(
            steps, batch_size=128, seed=seed, device="cpu", precision="float32", channels_last=False, marks=0
        )
        self.scores: dict[str, dict] = {UNTRAINED: {}} | {row: {} for row in self.views}
        self.encoders: dict[str, Encoder] = {}
        self._row, self._step = None, 0
        self._job = Job()

    # --- what one can do ------------------------------------------------------------------------------------

    def measure(self, row: str) -> dict[str, evaluation.Score]:
        """Train with the views of that row, unless it is done, and tell what can be read: {factor: Score}."""
        if row not in self.scores:
            raise unknown("row", row, self.scores)
        if self._job.running:
            raise ValueError(f"The row {self._row!r} is being trained: wait for it, or stop it.")
        if not self.scores[row]:
            self._measure(row, self._method(row), threading.Event())
            self.changed()
        return self.scores[row]

    @alone
    def begin(self, row: str) -> InvarianceMatrix:
        """Do `measure(row)` in the background. Raises ValueError if a row is being trained."""
        if row not in self.scores:
            raise unknown("row", row, self.scores)
        if not self.scores[row]:
            self._job.start(partial(self._measure, row, self._method(row)), self.changed)
            self._row = row
        self.changed()
        return self

    # --- what one can see -----------------------------------------------------------------------------------

    @property
    def state(self) -> dict:
        """Rows, columns, the numbers that are known, and which row is being trained; plain types."""
        known = {row: {name: float(score) for name, score in s.items()} for row, s in self.scores.items() if s}
        running = self._row if self._job.running else None
        return {
            "rows": list(self.scores), "factors": list(self.factors), "scores": known, "training": running,
            "step": self._step if running else 0, "steps": self.config.steps, "error": self._job.error,
        }  # fmt: skip

    @property
    def summary(self) -> str:
        """Which row is being trained, or how many are known."""
        if self._job.running:
            return f"Training with the views of row {self._row}."
        known = sum(bool(self.scores[row]) for row in self.views)
        if not any(self.scores.values()):
            return self._job.error or "No row is known yet."
        return self._job.error or f"{known} of {len(self.views)} rows are known."

    def plot(self):
        """The matrix as a heat map; rows that are not known are empty."""
        kinds = {name: "accuracy" if not self.data.factors[name].is_floating_point() else "R²" for name in self.factors}
        columns = {name: f"{name.replace('_', ' ')}\n{kind}" for name, kind in kinds.items()}
        figure = plots.factor_matrix(dict(self.scores), columns, theme=self.look)
        figure.caption += " Nothing is left at R² 0, or at an accuracy of 1 / number of classes: "
        figure.caption += f"compare with the row {UNTRAINED!r}."
        return figure

    # --- the work -------------------------------------------------------------------------------------------

    def _method(self, row: str) -> Method:
        """SimCLR with the views of that row, always with the same initial weights."""
        encoder = recipes.encoder(self.data, seed=self.seed, widths=(16, 32))
        policies = (self.views.get(row, CROP),) * 2
        options = {"head": (128, 64), "temperature": 0.2, "policies": policies}
        return recipes.method("simclr", self.data, seed=self.seed, encoder=encoder, **options)

    def _measure(self, row: str, method: Method, stop: threading.Event) -> None:
        def watch(history_row: dict) -> None:
            self._step = history_row["step"]
            if self._step % (self.config.steps // 4 or 1) == 0:
                self._tell()

        self._step = 0
        if not self.scores[UNTRAINED]:
            self.encoders[UNTRAINED] = copy.deepcopy(method.encoder).eval()
            self.scores[UNTRAINED] = self._read(method.encoder)
        if row != UNTRAINED:
            history = fit(method, self.data, self.config, watch=watch, stop=stop)
            if history.step == self.config.steps:
                self.encoders[row] = method.encoder.eval()
                self.scores[row] = self._read(method.encoder)

    def _read(self, encoder: Encoder) -> dict[str, evaluation.Score]:
        train, test = (evaluation.features(encoder, part) for part in (self.data.train, self.data.test))
        known, asked = ({f: part.factors[f] for f in self.factors} for part in (self.data.train, self.data.test))
        return evaluation.factors(train, known, test, asked, seed=self.seed)

    # --- the view -------------------------------------------------------------------------------------------

    def _controls(self) -> dict:
        from ipywidgets import Button, Layout

        narrow = {"width": "auto", "min_width": "84px", "max_width": "300px"}
        rows = {row: Button(description=row, layout=Layout(**narrow)) for row in self.scores}
        return {**rows, "stop": Button(description="Stop", layout=Layout(width="auto", margin="2px 2px 2px 18px"))}

    def _press(self, name: str) -> None:
        self.stop() if name == "stop" else self.begin(name)

    def _progress(self) -> tuple[int, int, str] | None:
        step, steps = self._step, self.config.steps
        return (step, steps, f"step {step} of {steps}") if self._job.running else None

    def _possible(self, name: str) -> bool:
        return self._job.running if name == "stop" else not (self._job.running or self.scores[name])

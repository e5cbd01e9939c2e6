"""The prediction card: predict, then run, then explain."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from math import isfinite
from pathlib import Path

from sslkit import checkpoint, plots
from sslkit.widgets._lab import Lab, alone

_LOG: list[dict] = []  # of this session: all cards write into one log


class Predict(Lab):
    """A question about a measurement that is run only after a prediction was recorded.

    measure: a function without arguments that returns a number, or several (one for each seed); with `choices`, one or
    several of them. unit: what the number is measured in. file: where to keep the calibration log as JSON; without it,
    the log lives in `card.log` until the kernel stops.

        card = Predict("How many of 64 views differ?", lambda: count_views(), unit="views")
        card.predict(10, low=1, high=30)
        card.run()
        card.explain("Every picture gets its own draw.")
    """

    NAME = "predict"

    def __init__(
        self, question: str, measure: Callable, *, choices: Sequence | None = None, unit: str = "",
        file: str | Path | None = None, theme: str = "auto",
    ):  # fmt: skip
        super().__init__(theme=theme)
        if not callable(measure):
            raise ValueError(f"Predict: measure is {measure!r}, but must be a function without arguments.")
        if choices is not None and len(choices) < 2:
            raise ValueError(f"Predict: choices are {choices!r}, but there must be at least two to choose from.")
        self.question, self.measure, self.unit = question, measure, unit
        self.file = None if file is None else Path(file).expanduser()
        self.choices = None if choices is None else list(choices)
        self.USE = f"{question} Record what you expect; then you can run it, and say in one sentence why it came so."
        self.prediction, self.measured, self.explanation = None, [], ""
        self._entry = None
        self.guess = self.low = self.high = self.why = ""  # what is typed, not yet recorded

    @alone
    def predict(self, guess, *, low: float | None = None, high: float | None = None) -> None:
        """Record a prediction: one of the choices, or a number, with the range in which you expect the measurement.

        Raises ValueError if it is neither, or if the measurement has been seen already.
        """
        if self.measured:
            raise ValueError("Predict: the measurement has been seen; a prediction would come too late.")
        if self.choices is not None:
            if guess not in self.choices:
                raise ValueError(f"Predict: {guess!r} is not one of the choices {', '.join(map(str, self.choices))}.")
            self.prediction = {"guess": guess}
        else:
            if (low is None) != (high is None):
                raise ValueError("Predict: a range has two ends: give both low and high, or neither.")
            numbers = {"low": low, "guess": guess, "high": high} if low is not None else {"guess": guess}
            values = [_number(name, value) for name, value in numbers.items()]
            if values != sorted(values):
                raise ValueError(f"Predict: low {low}, guess {guess}, high {high} must be in this order.")
            self.prediction = dict(zip(numbers, values))
        self.changed()

    @alone
    def run(self) -> None:
        """Measure, and write prediction and measurement into the log. Raises ValueError before a prediction."""
        if self.prediction is None:
            raise ValueError("Predict: first record what you expect, then run.")
        if self.measured:
            return
        result = self.measure()
        several = isinstance(result, Sequence) and not isinstance(result, str)
        measured = list(result) if several else [result]
        if self.choices is None:
            measured = [_number("measurement", value) for value in measured]
        elif not set(measured) <= set(self.choices):
            raise ValueError(f"Predict: measured {measured!r}, which is not among the choices {self.choices!r}.")
        self.measured = measured
        self._entry = {"question": self.question, **self.prediction, "measured": measured, "hit": self.hit, "why": ""}
        _LOG.append(self._entry)
        self._keep()
        self.changed()

    @alone
    def explain(self, why: str) -> None:
        """Add your explanation to the log. Raises ValueError before the run, and for an empty sentence."""
        if not self.measured:
            raise ValueError("Predict: run first, then explain what you have seen.")
        if not why.strip():
            raise ValueError("Predict: write one sentence: why did it come so?")
        before = dict(self._entry)
        self.explanation = self.why = self._entry["why"] = why.strip()
        self._keep(before)
        self.changed()

    @property
    def hit(self) -> bool | None:
        """Whether the mean of the measurements lies in the range, or most of them are the choice; None: cannot be said."""
        if not self.measured or (self.choices is None and "low" not in self.prediction):
            return None
        if self.choices is None:
            mean = sum(self.measured) / len(self.measured)
            return self.prediction["low"] <= mean <= self.prediction["high"]
        return 2 * self.measured.count(self.prediction["guess"]) > len(self.measured)

    @property
    def log(self) -> list[dict]:
        """All predictions that were run, plain JSON: those of the file, if there is one, or of this session."""
        return json.loads(self.file.read_text(encoding="utf-8")) if self.file and self.file.exists() else list(_LOG)

    @property
    def state(self) -> dict:
        """Question, prediction, measurements, whether it was a hit, and the explanation."""
        seen = {name: getattr(self, name) for name in ("question", "prediction", "measured", "hit", "explanation")}
        return seen | {"locked": self.prediction is None}

    @property
    def summary(self) -> str:
        """What to do next, or how well the predictions of this log were calibrated."""
        if self.prediction is None:
            return "Run is locked until you record a prediction."
        if not self.measured:
            return "Recorded. Now run it."
        hits = [entry["hit"] for entry in self.log if entry["hit"] is not None]
        came = {None: "Compare", True: "As you expected", False: "Not as you expected"}[self.hit]
        score = f" Your log: {sum(hits)} of {len(hits)} predictions held." if hits else ""
        return f"{came}.{'' if self.explanation else ' Why? Write one sentence.'}{score}"

    def plot(self):
        """The prediction beside the measurements. Raises ValueError if nothing was predicted yet."""
        if self.prediction is None:
            raise ValueError("Predict: there is nothing to draw before a prediction is recorded.")
        return plots.prediction(self.measured, **self.prediction, unit=self.unit, choices=self.choices, theme=self.look)

    def record(self) -> None:
        """Record what was typed into the card."""
        if self.choices is None:
            self.predict(self.guess, low=self.low or None, high=self.high or None)
        else:
            self.predict(self.guess)

    def keep(self) -> None:
        """Keep the explanation that was typed into the card."""
        self.explain(self.why)

    def _keep(self, before: dict | None = None) -> None:
        """Write the entry into the file: in the place of what it was before, or at the end."""
        if self.file is None:
            return
        path = self.file
        kept = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
        if before in kept:
            kept[kept.index(before)] = self._entry
        else:
            kept.append(self._entry)
        text = json.dumps(kept, indent=1, ensure_ascii=False) + "\n"
        checkpoint.write_file(path, lambda file: file.write(text.encode()))

    def _still(self) -> str:
        return "" if self.prediction is None else super()._still()

    def _possible(self, name: str) -> bool:
        if name in ("why", "keep"):
            return bool(self.measured)
        return not self.measured and (name != "run" or self.prediction is not None)

    def _controls(self) -> dict:
        from ipywidgets import Button, Dropdown, Layout, Text

        typed = dict(continuous_update=False, layout=Layout(width="190px"), style={"description_width": "60px"})
        if self.choices is None:
            ask = {name: Text(description=name, **typed) for name in ("guess", "low", "high")}
            ask["guess"].placeholder = self.unit
        else:
            ask = {
                "guess": Dropdown(description="guess", options=[("choose", ""), *((str(c), c) for c in self.choices)])
            }
        why = Text(description="why", continuous_update=False, layout=Layout(width="480px"), style=typed["style"])
        ask |= {"record": Button(description="Record my prediction", layout=Layout(width="auto"))}
        ask |= {"run": Button(description="Run", layout=Layout(width="90px"))}
        return ask | {"why": why, "keep": Button(description="Keep my sentence", layout=Layout(width="auto"))}

    def _arrange(self) -> list:
        from ipywidgets import HBox, Layout

        c, wrap = list(self.controls.values()), Layout(flex_flow="row wrap", overflow="visible")
        return [HBox(c[:-2], layout=wrap), HBox(c[-2:], layout=wrap)]


def _number(name: str, value) -> float:
    try:
        number = float(str(value).replace(",", "."))
    except ValueError:
        number = float("nan")
    if not isfinite(number):
        raise ValueError(f"Predict: {name} is {value!r}, but must be a number, such as 0.5.")
    return number

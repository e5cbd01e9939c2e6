"""The base of the labs that work in the background: stopping, waiting, and showing how far it is."""

from __future__ import annotations

import time

from sslkit.widgets._lab import Lab, alone

PAUSE = 1.0  # seconds between two figures while it works, at least; the numbers are written more often


class WorkingLab(Lab):
    """A lab with a `Job`. The last line of a subclass's `__init__` is `self._job = Job()`."""

    def __init__(self, *, theme: str = "auto"):
        super().__init__(theme=theme)
        self._next_figure = self._next_words = 0.0

    def stop(self):
        """Ask the work to end after its current step. Returns at once."""
        self._job.stop()
        self.changed()
        return self

    def wait(self, timeout: float | None = None):
        """Wait until nothing works in the background. Raises TimeoutError after `timeout` seconds."""
        self._job.wait(timeout)
        return self

    def _progress(self) -> tuple[int, int, str] | None:
        """How much is done, of how much, and that in words; None if there is nothing to tell."""
        raise NotImplementedError

    def _tell(self) -> None:
        """How far it is, beside a bar: cheap, so it is written often."""
        if self._box is not None:
            told = self._progress()
            bar = '<progress aria-label="done" max="{1}" value="{0}"></progress> {2}'
            self._readout.value = bar.format(*told) if told else ""

    def _now_and_then(self) -> None:
        """A new figure, or at least the numbers, if the last are old enough. Drawing takes a sixth of the time at most."""
        now = time.monotonic()
        if now > self._next_figure:
            self.changed()
            self._next_figure = time.monotonic() + max(PAUSE, 5 * (time.monotonic() - now))
        elif now > self._next_words:
            self._tell()
            self._next_words = now + 0.3

    def _arrange(self) -> list:
        from ipywidgets import HTML

        self._readout = HTML()
        return [*super()._arrange(), self._readout]

    @alone
    def _refresh(self, *loop) -> None:
        super()._refresh(*loop)
        self._tell()

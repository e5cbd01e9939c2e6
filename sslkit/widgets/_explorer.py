"""The explorer in a notebook: a scene, the JavaScript that shows it, and what people select in it."""

from __future__ import annotations

import json
import threading
from base64 import b64encode
from collections.abc import Callable
from html import escape
from pathlib import Path

import anywidget
import torch
import traitlets
from torch import Tensor

from sslkit import checkpoint
from sslkit.errors import unknown
from sslkit.widgets._job import Job
from sslkit.widgets._scene import Scene, encode, small

HERE = Path(__file__).parent
LARGEST = 256  # pixels of an enlarged picture


class Explorer(anywidget.AnyWidget):
    """A map of pictures that can be asked: point at one to see it and its true neighbours, draw a lasso to select some.

    `Explorer(features, data)` takes what `Scene` takes. PCA is shown at once; neighbours, clusters, the mistakes of a
    probe and t-SNE maps are computed in the background and appear when they are ready. The first t-SNE is shown when it
    comes, unless you have chosen a map. What is selected in the browser is here:

        explorer.selected             # numbers of the points, in order; can be set, too
        explorer.on_select(show)      # calls show(numbers) after every change
        explorer.save("page.html")    # everything as one page that opens offline

    `state` and `plot()` work without a browser; `wait()` waits for the background.
    """

    _esm, _css = HERE / "explorer.js", HERE / "explorer.css"
    basis = traitlets.Dict().tag(sync=True)
    layouts = traitlets.Dict().tag(sync=True)
    colours = traitlets.Dict().tag(sync=True)
    neighbours = traitlets.Dict().tag(sync=True)
    picture = traitlets.Dict().tag(sync=True)
    map = traitlets.Unicode("PCA").tag(sync=True)
    colour = traitlets.Unicode("none").tag(sync=True)
    epoch = traitlets.Int(0).tag(sync=True)
    hovered = traitlets.Int(-1).tag(sync=True)
    status = traitlets.Unicode("").tag(sync=True)
    # What comes from the browser is a memoryview, which Bytes would reject without a word.
    selected_bytes = traitlets.Bytes(b"").tag(sync=True, from_json=lambda value, _: bytes(value))

    def __init__(self, features: Tensor | Scene, data=None, *, title: str = "Explorer", **options):
        self.title, self._first, self._job = title, threading.Event(), Job(patience=0)  # first: `close` needs it
        self.scene = features if isinstance(features, Scene) else Scene(features, data, **options)
        colour = next(iter(self.scene.colours), "none")
        own = next(iter(self.scene.layouts))  # a map of the user's, if there is one
        super().__init__(
            basis=self.scene.basis(), map=own, colour=colour, epoch=self.scene.epochs - 1, **self.scene.parts()
        )
        self._chosen = own != "PCA"
        self.observe(lambda _: setattr(self, "_chosen", True), "map")
        self.observe(self._enlarge, "hovered")
        self.on_msg(self._answer)
        self._job.start(self._work, self._finish)

    def __repr__(self) -> str:
        return f"Explorer of {self.scene.n:,} points: {', '.join(self.layouts)}"

    def _work(self, stop: threading.Event) -> None:
        jobs = self.scene.jobs()
        for number, (what, job) in enumerate(jobs, 1):
            if stop.is_set():
                return
            self.status = f"Computing {what} ({number} of {len(jobs)}) …"
            job()
            self.set_trait_parts()
            if what.startswith("t-SNE") and not self._first.is_set():
                self._show_first()

    def _finish(self) -> None:  # nobody would see an error in a thread: it is shown, and raised by wait()
        self.status = f"The background stopped: {self._job.failure}" if self._job.failure else ""
        self._first.set()

    def set_trait_parts(self) -> None:
        """Send to the browser what has changed in the scene."""
        for name, part in self.scene.parts().items():
            setattr(self, name, part)

    def _show_first(self) -> None:
        if not self._chosen:
            self.map = next(name for name in self.scene.layouts if name.startswith("t-SNE"))
        self._first.set()

    def wait(self, timeout: float | None = None) -> Explorer:
        """Wait until everything in the background is done. Returns itself; raises what went wrong, or TimeoutError."""
        try:
            self._job.wait(timeout)
        except TimeoutError as late:
            raise TimeoutError(f"{late} {self.status}") from None
        if self._job.failure:
            raise self._job.failure
        return self

    def close(self) -> None:
        """Stop the background and take the widget away."""
        self._job.cut()
        super().close()

    @property
    def selected(self) -> Tensor:
        """The numbers of the selected points, ascending: int64 (M,). Set it with numbers, or with a mask (N,) of bools."""
        return (
            torch.frombuffer(bytearray(self.selected_bytes), dtype=torch.int32).long()
            if self.selected_bytes
            else torch.zeros(0).long()
        )

    @selected.setter
    def selected(self, index) -> None:
        index = torch.as_tensor(index)
        if index.dtype == torch.bool and index.shape == (self.scene.n,):
            index = index.nonzero()
        index = index.flatten().unique()
        if len(index) and (
            index.is_floating_point() or index.dtype == torch.bool or index[0] < 0 or index[-1] >= self.scene.n
        ):
            raise ValueError(
                f"selected has entries from {index[0]} to {index[-1]} ({index.dtype}), but must be whole numbers from 0 to "
                f"{self.scene.n - 1}, or a mask of {self.scene.n} bools."
            )
        self.selected_bytes = index.int().numpy().tobytes()

    def on_select(self, callback: Callable[[Tensor], None]) -> None:
        """Call `callback(numbers)` after every change of the selection, here or in the browser."""
        self.observe(lambda _: callback(self.selected), "selected_bytes")

    @property
    def state(self) -> dict:
        """What is shown, as plain values."""
        return {
            "points": self.scene.n, "layout": self.map, "layouts": list(self.layouts), "colour": self.colour,
            "colours": list(self.scene.colours) + ["trustworthiness"] * bool(self.scene.trust), "epoch": self.epoch,
            "steps": self.scene.steps, "hovered": self.hovered, "selected": self.selected.tolist(),
            "measures": self.scene.measures, "working": self._job.running,
        }  # fmt: skip

    @traitlets.validate("map", "colour", "epoch")
    def _check(self, proposal):
        name, value = proposal["trait"].name, proposal["value"]
        if name == "map" and value not in self.scene.layouts:
            raise unknown("layout", value, self.scene.layouts)
        if name == "colour" and value != "none":
            self.scene.colour(value, self.map)
        return min(max(0, value), self.scene.epochs - 1) if name == "epoch" else value

    def plot(self, layout: str | None = None, *, colour: str | None = None, theme: str = "light"):
        """The map as a figure. By default the one that is shown, after waiting for the first t-SNE if none was chosen."""
        if layout is None and not self._chosen:
            self._first.wait()
        colour = colour or self.colour
        return self.scene.plot(layout or self.map, None if colour == "none" else colour, self.epoch, theme)

    def payload(self) -> str:
        """All of it as JSON that can stand inside a page: bytes as base64, and nothing that could end a script."""
        names = ("basis", "map", "colour", "epoch", "selected_bytes")
        everything = {name: getattr(self, name) for name in names} | self.scene.parts() | {"hovered": -1}
        return json.dumps(everything, default=lambda data: b64encode(data).decode()).replace("<", "\\u003c")

    def save(self, path: str | Path) -> Path:
        """Write one page with everything that is there now. It opens offline, by double-click. Returns its path."""
        path = Path(path).expanduser()
        checkpoint.write_file(path, lambda file: file.write(self.page().encode()))
        return path

    def page(self) -> str:
        """The page that `save` writes."""
        return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(self.title)}</title><style>{PAGE}{style()}</style></head><body><main><h1>{escape(self.title)}</h1>
{inline(self)}{script()}</main></body></html>
"""

    def _answer(self, _, content: dict, buffers) -> None:
        if content.get("what") == "page":
            self.send({"name": "explorer.html"}, buffers=[self.page().encode()])

    def _enlarge(self, change) -> None:
        """Send the picture that is pointed at, if the sheet has it only smaller."""
        i, images = change["new"], self.scene.images
        if images is not None and 0 <= i < self.scene.n and images.shape[-1] > self.basis["sheet"]["side"]:
            data = encode(small(images[i : i + 1], min(LARGEST, images.shape[-1]))[0], "png")
            self.picture = {"index": i, "data": data}


PAGE = (
    ":root { color-scheme: light dark; } h1 { font-size: 1.3rem; } body { font: 1rem/1.5 system-ui, sans-serif; "
    "background: light-dark(#fff, #16181d); color: light-dark(#1f2328, #e8eaed); max-width: 75rem; margin: 1rem auto; "
    "padding: 0 1rem; } "
)


def style() -> str:
    """The style that a page with explorers needs once."""
    return (HERE / "explorer.css").read_text(encoding="utf-8")


def script() -> str:
    """The code that a page with explorers needs once, after them."""
    return f'<script type="module">{(HERE / "explorer.js").read_text(encoding="utf-8")}</script>'


def inline(explorer: Explorer) -> str:
    """An explorer as part of a page; `style()` and `script()` bring it to life."""
    return f'<script type="application/json" data-explorer>{explorer.payload()}</script>'


def link(a: Explorer, b: Explorer) -> Callable[[], None]:
    """Two explorers of the same points as one: what is pointed at, selected, or moved in time in one, is so in the other.

    Returns a function that takes them apart. Raises ValueError if they do not have the same number of points.
    """
    if a.scene.n != b.scene.n:
        raise ValueError(
            f"Explorers of {a.scene.n:,} and {b.scene.n:,} points cannot be linked: give both the same pictures."
        )
    names = ["selected_bytes", "hovered"] + ["epoch"] * (a.scene.epochs == b.scene.epochs)
    links = [traitlets.link((a, name), (b, name)) for name in names]
    return lambda: [one.unlink() for one in links] and None

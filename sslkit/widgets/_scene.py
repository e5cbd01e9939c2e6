"""What the explorer shows, as plain data: points, their maps, their true neighbours, their colours and pictures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from io import BytesIO

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate, normalize, pad

from sslkit import evaluation, maps, plots
from sslkit.datasets import Images
from sslkit.errors import require, unknown

K = 10  # neighbours that measure a map
LINES = 8  # neighbours that are drawn
LARGE = 12_000  # points from which on pictures are 16 pixels wide
SLOW = 20_000  # points from which on nobody waits for a measure of every map


class Scene:
    """Points with their maps, true neighbours, colours and pictures; nothing of it needs a browser.

    features      (N, D), or snapshots during training (S, N, D): then the maps are aligned and time can be travelled.
                  Directions are compared, as kNN and retrieval do.
    data          `Images` of the same N pictures, or None
    labels, names of the points and of their classes, if `data` does not have them
    steps         what the S snapshots are called, as `history.snapshot_steps`
    layouts       maps of your own, {name: (N, 2) or (S, N, 2)}
    predicted     the labels that a probe gives to the points (N,), or a function that computes them; otherwise half
                  of the points is judged by a probe that has learned from the other half
    perplexities, seeds   of the t-SNE maps: every perplexity from the PCA, and the first one from a random start for
                  each seed above 0

    PCA is there at once. `jobs()` are the things that take time; `compute()` does them all.
    Raises ValueError with one sentence if the parts do not fit together.
    """

    def __init__(
        self,
        features: Tensor,
        data: Images | None = None,
        *,
        labels: Tensor | None = None,
        names: Sequence[str] = (),
        steps: Sequence[int] | None = None,
        layouts: Mapping[str, Tensor] | None = None,
        predicted: Tensor | Callable[[], Tensor] | None = None,
        perplexities: Sequence[float] = (30, 10, 100),
        seeds: Sequence[int] = (0, 1),
    ):
        x = maps.stacked(features).detach().cpu().float()
        x = pad(x, (0, 1)) if x.ndim > 1 and x.shape[-1] == 1 else x  # a map needs two axes
        require(
            x.ndim in (2, 3) and x.shape[-2] > 1, f"features has shape {tuple(x.shape)}, but must be (N, D) with N > 1."
        )
        bad = int((~x.isfinite()).sum())
        require(bad == 0, f"features has NaN or infinity in {bad:,} places, which no map can show: drop these rows.")
        self.snapshots = normalize(x if x.ndim == 3 else x[None], dim=2)  # (S, N, D)
        self.x, self.n = self.snapshots[-1], x.shape[-2]
        self.steps = list(range(len(self.snapshots))) if steps is None else [int(step) for step in steps]
        require(
            len(self.steps) == len(self.snapshots), f"steps has {len(self.steps)} entries, features {len(x)} snapshots."
        )
        self.images = None if data is None else data.images
        given = labels if labels is not None or data is None else data.labels
        self.labels = None if given is None else torch.as_tensor(given).cpu().long()
        names = names or (() if data is None else data.names)
        for what, rows in {"data": self.images, "labels": self.labels}.items():
            require(rows is None or len(rows) == self.n, f"{what} has {0 if rows is None else len(rows):,} rows, but there "
                  f"are {self.n:,} points: one for each is needed.")  # fmt: skip
        self.layouts: dict[str, Tensor] = {}
        self.colours: dict[str, dict] = {}
        self.trust: dict[str, Tensor] = {}
        self.measures: dict[str, dict[str, float]] = {}
        self.neighbours: Tensor | None = None
        self._predicted, self._seeds = predicted, list(seeds) or [0]
        limit = (self.n - 1) / 4  # scikit-learn needs less than N / 3
        self._perplexities = list(dict.fromkeys(min(float(p), limit) for p in perplexities)) if limit >= 1 else []
        if self.labels is not None:
            self._classes("label", self.labels, names)
        if data is not None:
            for name, value in data.factors.items():
                self._factor(name, value, data.factor_names.get(name, ()))
        for name, y in (layouts or {}).items():
            self._place(name, y)
        self._place("PCA", maps.aligned(self.snapshots))

    def __repr__(self) -> str:
        return f"Scene({self.n:,} points, {', '.join(self.layouts)})"

    @property
    def epochs(self) -> int:
        """How many moments can be travelled to: the most that any map has."""
        return max(len(y) for y in self.layouts.values())

    @property
    def names(self) -> list[str]:
        """The names of the classes, by label."""
        return self.colours["label"]["names"] if "label" in self.colours else []

    def _place(self, name: str, y: Tensor) -> None:
        y = torch.as_tensor(y).detach().cpu().float()
        y = y[None] if y.ndim == 2 else y
        good = y.ndim == 3 and y.shape[1:] == (self.n, 2) and len(y) in (1, len(self.steps))
        require(good, f"layout {name!r} has shape {tuple(y.shape)}, but must be ({self.n}, 2) or (S, {self.n}, 2) with a "
              f"map for each of the {len(self.steps)} steps.")  # fmt: skip
        require(bool(y.isfinite().all()), f"layout {name!r} has NaN or infinity, which cannot be drawn.")
        self.layouts = {**self.layouts, name: y}  # never changed while another thread reads it

    def _classes(self, name: str, value: Tensor, names: Sequence[str]) -> None:
        """A colouring by class. Labels below 0 are unknown: they stay grey."""
        most = int(value.max()) + 1
        names = [str(n) for n in names] or [str(i) for i in range(most)]
        require(most <= len(names), f"labels go up to {most - 1}, but there are {len(names)} class names.")
        known = value.float().where(value >= 0, torch.nan)
        self.colours = {**self.colours, name: {"kind": "class", "values": known, "names": names}}

    def _factor(self, name: str, value: Tensor, names: Sequence[str]) -> None:
        if not value.is_floating_point():
            return self._classes(name, value, names)
        value = value.reshape(self.n, -1).float()
        known = value[~value.isnan().any(1)]
        if value.shape[1] == 2 and torch.allclose(known.norm(dim=1), torch.ones(len(known)), atol=1e-3):
            value = torch.rad2deg(torch.atan2(value[:, 1], value[:, 0]))[:, None]  # cosine and sine of an angle
        for i, column in enumerate(value.T, 1):
            one = f"{name} {i}" if value.shape[1] > 1 else name
            self.colours = {**self.colours, one: {"kind": "value", "values": column}}

    def jobs(self) -> list[tuple[str, Callable[[], None]]]:
        """What takes time, in the order in which people want it: (what it is, a function without arguments)."""
        work = [("true neighbours", self._find_neighbours)]
        if len(self.snapshots) > 1:
            options = dict(method="tsne", perplexity=self._perplexities[0]) if self._perplexities else None
            work += [
                ("t-SNE of every step", lambda: self._tsne("t-SNE", maps.aligned, self.snapshots, options))
            ] * bool(options)
        else:
            for p in self._perplexities:
                for seed in self._seeds if p == self._perplexities[0] else self._seeds[:1]:
                    name = f"t-SNE, perplexity {p:g}" + f", random start {seed}" * bool(seed)
                    options = dict(perplexity=p) | (dict(seed=seed, init="random") if seed else {})
                    work.append((name, lambda n=name, o=options: self._tsne(n, maps.tsne, self.x, o)))
        work[2:2] = [("clusters", self._find_clusters)] if self.n > 2 else []
        if self.labels is not None and len(self.labels.unique()) > 1:
            work.append(("probe", self._find_mistakes))
        return work

    def compute(self) -> Scene:
        """Do everything that takes time. Returns itself."""
        for _, job in self.jobs():
            job()
        return self

    def _find_neighbours(self) -> None:
        self.neighbours = maps.neighbours(self.x, k=min(K, self.n - 1))
        for name in self.layouts:
            self._measure(name)

    def _tsne(self, name: str, make, x: Tensor, options: dict) -> None:
        self._place(name, maps.remembered(make, x, **options))
        self._measure(name)

    def _measure(self, name: str) -> None:
        """How far the last map of a layout can be trusted: in all, and point by point."""
        k = min(K, (self.n - 1) // 2)
        if 1 <= k and self.n <= SLOW:
            y = self.layouts[name][-1]
            trust, recall = maps.trust(self.x, y, k=k), maps.neighbour_recall(self.x, y, k=k)
            numbers = {"trustworthiness": trust.mean().item(), "neighbours recalled": recall}
            self.trust, self.measures = {**self.trust, name: trust}, {**self.measures, name: numbers}

    def _find_clusters(self) -> None:
        found = len(self.labels.unique()) if self.labels is not None else 10
        cluster = evaluation.k_means(self.x, min(found, self.n))
        self._classes("cluster", cluster, [f"cluster {i + 1}" for i in range(min(found, self.n))])

    def _find_mistakes(self) -> None:
        """Which points a linear probe gets wrong. Without predictions, each half is judged by a probe of the other."""
        predicted = self._predicted() if callable(self._predicted) else self._predicted
        if predicted is None:
            half = torch.arange(self.n) % 2 == 0
            if min(len(self.labels[part].unique()) for part in (half, ~half)) < 2:
                return
            predicted = torch.empty_like(self.labels)
            for part in (half, ~half):
                probe = evaluation.fit_linear(self.x[~part], self.labels[~part], decays=(1e-2,))
                predicted[part] = probe.predict(self.x[part])
        require(len(predicted) == self.n, f"predicted has {len(predicted):,} labels, but there are {self.n:,} points.")
        self._classes("probe", (predicted != self.labels).long(), ["right", "wrong"])

    def colour(self, name: str, layout: str) -> dict:
        """The colouring of this name: {"kind": "class" or "value", "values": (N,), "names": of the classes}."""
        if name == "trustworthiness" and layout in self.trust:
            return {"kind": "value", "values": self.trust[layout]}
        if name not in self.colours:
            raise unknown("colouring", name, [*self.colours, *(["trustworthiness"] if self.trust else [])])
        return self.colours[name]

    def plot(self, layout: str = "PCA", colour: str | None = None, epoch: int = -1, theme: str = "light"):
        """The static figure of one map."""
        if layout not in self.layouts:
            raise unknown("layout", layout, self.layouts)
        y = self.layouts[layout]
        values = names = None
        if colour is not None:
            found = self.colour(colour, layout)
            whole = found["kind"] == "class" and not found["values"].isnan().any()
            values, names = (
                (found["values"].long(), [f"{n:.40}" for n in found["names"]]) if whole else (found["values"], colour)
            )
        numbers = self.measures.get(layout) if epoch in (-1, len(y) - 1) else None
        return plots.map2d(y[min(epoch, len(y) - 1)], values, names=names, images=self.images, measures=numbers,
                           method="t-SNE" if layout.startswith("t-SNE") else layout, theme=theme)  # fmt: skip

    def parts(self) -> dict[str, dict]:
        """What the browser gets, in parts that grow while jobs are done. Numbers are bytes, little-endian."""
        colours = {name: _pack_colour(colour) for name, colour in self.colours.items()}
        trust = {name: _pack_colour({"kind": "value", "values": t}, (0.0, 1.0)) for name, t in self.trust.items()}
        near = self.neighbours
        lines = b"" if near is None else near[:, :LINES].numpy().astype("<u4").tobytes()
        return {
            "layouts": {name: _pack_layout(y, self.measures.get(name, {})) for name, y in self.layouts.items()},
            "colours": {"colours": colours, "trust": trust},
            "neighbours": {"k": 0 if near is None else min(LINES, near.shape[1]), "index": lines},
        }  # fmt: skip

    def basis(self) -> dict:
        """What the browser gets once: how many points, the steps, the palette, and all pictures in one sheet."""
        look = {theme: {"colours": plots.COLOURS[theme], "paper": plots.TONES[theme][0]} for theme in plots.COLOURS}
        sheet = {} if self.images is None else sprite(self.images)
        return {"n": self.n, "steps": self.steps, "look": look, "sheet": sheet}


def sprite(images: Tensor) -> dict:
    """Small pictures of all images in one sheet: {"side", "columns", "type", "data": bytes}.

    32 pixels wide below 12,000 images, otherwise 16. PNG where that is small, otherwise JPEG.
    """
    n, side = len(images), 32 if len(images) < LARGE else 16
    columns = int(np.ceil(np.sqrt(n)))
    sheet = np.zeros((-(-n // columns), columns, side, side, 3), np.uint8)
    for start in range(0, n, 4096):  # in pieces: they may be larger than memory
        part = small(images[start : start + 4096], side)
        sheet.reshape(-1, side, side, 3)[start : start + len(part)] = part
    sheet = sheet.transpose(0, 2, 1, 3, 4).reshape(len(sheet) * side, columns * side, 3)
    data, kind = encode(sheet, "png") if n <= 2000 else b"", "png"
    if not data or len(data) > 1_000_000:
        data, kind = encode(sheet, "jpeg"), "jpeg"
    return {"side": side, "columns": columns, "type": f"image/{kind}", "data": data}


def small(images: Tensor, side: int) -> np.ndarray:
    """Pictures (N, C, H, W) as (N, side, side, 3) uint8; enlarged without blur, reduced smoothly; transparent is grey."""
    x = torch.as_tensor(images).float() / 255
    if x.shape[1] == 4:
        x = x[:, :3] * x[:, 3:] + 0.85 * (1 - x[:, 3:])
    if x.shape[-1] > side:
        x = interpolate(x, (side, side), mode="bilinear", antialias=True)
    elif x.shape[-2:] != (side, side):
        x = interpolate(x, (side, side), mode="nearest")
    return (x.clamp(0, 1) * 255).round().byte().expand(-1, 3, -1, -1).permute(0, 2, 3, 1).numpy()


def encode(picture: np.ndarray, kind: str) -> bytes:
    """A picture (H, W, 3) uint8 as the bytes of a PNG or JPEG file."""
    from PIL import Image

    file = BytesIO()
    Image.fromarray(picture).save(file, kind, **({"quality": 85} if kind == "jpeg" else {}))
    return file.getvalue()


def _pack_layout(y: Tensor, measures: dict) -> dict:
    """(S, N, 2) as uint16 on one scale over all epochs and both axes, y down; and the box that all of it fills."""
    low, high = y.amin((0, 1)), y.amax((0, 1))
    size = (high - low).max().clamp(min=1e-12)
    unit = 0.5 + (y - (low + high) / 2) / size * torch.tensor([1.0, -1.0])
    box = ((high - low) / size).clamp(min=0.05).tolist()
    xy = (unit * 65535).round().numpy().astype("<u2").tobytes()
    return {"epochs": len(y), "box": box, "xy": xy, "measures": measures}


def _pack_colour(colour: dict, limits: tuple[float, float] | None = None) -> dict:
    """Classes as numbers, values as sixteen bits between their limits; 65535 is "unknown"."""
    values, unknown = colour["values"], colour["values"].isnan()
    if colour["kind"] == "class":
        packed, extra = values, {"names": colour["names"]}
    else:
        known = values[~unknown]
        low, high = limits or ((float(known.min()), float(known.max())) if len(known) else (0.0, 1.0))
        packed, extra = (values - low) / max(high - low, 1e-12) * 65534, {"low": low, "high": high}
    data = packed.where(~unknown, 65535).round().numpy().astype("<u2").tobytes()
    return {"kind": colour["kind"], "values": data, **extra}

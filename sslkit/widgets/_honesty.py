"""The honesty panel: maps of the same features, of noise, and what each of them keeps."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import torch

from sslkit import maps, plots
from sslkit.widgets._job import Job, cell
from sslkit.widgets._working import WorkingLab

COLOURS = ("labels", "shuffled labels", "none")
SHOWN = ("one map and its noise twin", "all seeds and perplexities")


def _choice(name: str) -> property:
    return property(lambda self: self._chosen[name], lambda self, value: self._choose(name, value))


class HonestyPanel(WorkingLab):
    """t-SNE maps of the same features under several seeds and perplexities, beside the map of their noise twin.

    features: (N, D). labels: (N,) whole numbers, `names` what they mean. images: (N, C, H, W), to show neighbours.
    Of more than `most` points, only every n-th is taken, so that a map takes about a second. Each map is computed when
    it is first asked for, from a random start, and kept; a notebook shows PCA until it is there. k: how many neighbours
    are compared.
    """

    NAME = "honesty-panel"
    USE = "Change seed, perplexity and colours, and ask of what you see: does it stay, and does noise show it too?"

    def __init__(
        self, features, labels=None, images=None, *, names: Sequence[str] | None = None, seeds: Sequence[int] = (0, 1),
        perplexities: Sequence[float] | None = None, k: int = 10, most: int = 400, theme: str = "auto",
    ):  # fmt: skip
        super().__init__(theme=theme)
        x = torch.as_tensor(features).detach().cpu().float()
        if x.ndim != 2 or not x.isfinite().all():
            raise ValueError(
                f"HonestyPanel: features have shape {tuple(x.shape)}, but must be (N, D) of finite numbers."
            )
        for name, given in {"labels": labels, "images": images}.items():
            if given is not None and len(given) != len(x):
                raise ValueError(
                    f"HonestyPanel: there are {len(given)} {name}, but {len(x)} features: one each is needed."
                )
        kept = torch.arange(len(x))[:: -(-len(x) // most)]
        if not 1 <= k < len(kept) / 2:
            raise ValueError(
                f"HonestyPanel: k is {k}, but {len(kept)} points allow 1 to {(len(kept) - 1) // 2} neighbours."
            )
        if perplexities is None:
            perplexities = [p for p in (5, 30, 80) if p < len(kept) / 3]
        if not perplexities or not 1 <= min(perplexities) <= max(perplexities) < len(kept) / 3:
            raise ValueError(
                f"HonestyPanel: perplexities are {perplexities}, but with {len(kept)} points each must be from 1 to below "
                f"{len(kept) / 3:.0f}: leave out the large ones, or give more points."
            )
        self.x, self.names, self.k = x[kept], names, k
        self.labels = None if labels is None else torch.as_tensor(labels).cpu()[kept]
        self.images = None if images is None else torch.as_tensor(images)[kept]
        self.seeds, self.perplexities = tuple(seeds), tuple(perplexities)
        self.colours = COLOURS if labels is not None else COLOURS[2:]
        self._chosen = {
            "seed": self.seeds[0], "perplexity": self.perplexities[len(self.perplexities) // 2], "colour": self.colours[0],
            "show": SHOWN[0], "point": 0,
        }  # fmt: skip
        self._maps: dict[tuple, torch.Tensor] = {}  # (twin, seed, perplexity): (N, 2)
        self._making = threading.Lock()
        self._job = Job(patience=0)

    seed, perplexity, colour, show, point = map(_choice, ("seed", "perplexity", "colour", "show", "point"))

    def _choose(self, name: str, value) -> None:
        lists = {"seed": self.seeds, "perplexity": self.perplexities, "colour": self.colours, "show": SHOWN}
        known = lists.get(name) or range(len(self.x))
        if value not in known:
            listed = f"0 to {len(known) - 1}" if isinstance(known, range) else ", ".join(map(str, known))
            raise ValueError(f"HonestyPanel: {name} is {value!r}, but must be one of {listed}.")
        self._chosen[name] = int(value) if name == "point" else value
        self.changed()

    def map(self, *, twin: bool = False, seed: int | None = None, perplexity: float | None = None) -> torch.Tensor:
        """The map (N, 2) of the features or of their noise twin; by default with the seed and perplexity chosen."""
        seed, perplexity = (self.seed if seed is None else seed), (perplexity or self.perplexity)
        which = twin, seed, perplexity
        if which not in self._maps:
            with self._making:  # the background may be at it: then it is remembered
                x, options = self._points(twin), {"perplexity": perplexity, "seed": seed, "init": "random"}
                self._maps[which] = maps.remembered(maps.tsne, x, **options)
        return self._maps[which]

    def measures(self, y: torch.Tensor, *, twin: bool = False) -> dict[str, float]:
        """How far the map y can be trusted, and, with labels, how often k neighbours vote right, on it and in space."""
        x = self._points(twin)
        found = {
            "trustworthiness": maps.trustworthiness(x, y, k=self.k), "recall": maps.neighbour_recall(x, y, k=self.k),
        }  # fmt: skip
        if self.labels is not None and not twin:
            found |= {"kNN on the map": self._vote(y), "kNN in space": self._vote(x)}
        return found

    @property
    def neighbours(self) -> dict[str, list[int]]:
        """The k nearest neighbours of the chosen point: "true" ones in the features, and "seen" ones on the map."""
        of = torch.tensor([self.point])
        true, seen = (maps.neighbours(points, k=self.k, of=of)[0].tolist() for points in (self.x, self.map()))
        return {"true": true, "seen": seen}

    @property
    def state(self) -> dict:
        """What is chosen, the measures of the map and of its twin, and the neighbours of the chosen point."""
        measured = {"features": self.measures(self.map()), "noise twin": self.measures(self.map(twin=True), twin=True)}
        return self._chosen | {"measures": measured, "neighbours": self.neighbours}

    @property
    def summary(self) -> str:
        """How many true neighbours of the chosen point the map shows."""
        if self._job.running or self._job.error:
            return self._job.error or "Computing t-SNE. PCA stands in the place of what is not there yet."
        near = self.neighbours
        both = len(set(near["true"]) & set(near["seen"]))
        return (
            f"{both} of the {self.k} true neighbours of point {self.point} are among its {self.k} nearest on this map."
        )

    def plot(self):
        """The chosen map beside that of its noise twin, or all maps of the features."""
        look = {"names": self.names, "theme": self.look}
        if self.show == SHOWN[1]:
            each = [(p, s) for p in self.perplexities for s in self.seeds]
            drawn = {f"perplexity {p:g}, seed {s}": self.map(seed=s, perplexity=p) for p, s in each}
            measured = {title: self.measures(y) for title, y in drawn.items()}
            return plots.maps_grid(drawn, self._coloured(), measures=measured, **look)
        near = {name: torch.tensor(which) for name, which in self.neighbours.items()}
        return plots.honest_map(
            self.map(), self._coloured(), twin=self.map(twin=True), measures=self.state["measures"], point=self.point,
            images=self.images, **near, **look,
        )  # fmt: skip

    def _points(self, twin: bool) -> torch.Tensor:
        return maps.noise_twin(self.x) if twin else self.x

    def _coloured(self):
        if self.colour != COLOURS[1]:
            return self.labels if self.colour == COLOURS[0] else None
        return self.labels[torch.randperm(len(self.labels), generator=torch.Generator().manual_seed(0))]

    def _vote(self, points) -> float:
        near = maps.neighbours(points, k=self.k)
        return (self.labels[near].mode(1).values == self.labels).double().mean().item()

    # --- the background -------------------------------------------------------------------------------------

    def _wanted(self) -> list[tuple]:
        """The maps that the figure shows."""
        if self.show == SHOWN[1]:
            return [(False, seed, p) for p in self.perplexities for seed in self.seeds]
        return [(twin, self.seed, self.perplexity) for twin in (False, True)]

    def _missing(self) -> list[tuple]:
        return [which for which in self._wanted() if which not in self._maps]

    def _compute(self, stop: threading.Event) -> None:
        while (missing := self._missing()) and not stop.is_set():
            twin, seed, perplexity = missing[0]
            self.map(twin=twin, seed=seed, perplexity=perplexity)
            self.changed()

    def _still(self) -> str:
        # Where nobody waits, as when a notebook is executed to be read, the figure is the final one.
        if not self._missing() or "id" not in cell():
            return super()._still()
        if not self._job.running and not self._job.error:
            self._job.start(self._compute, self.changed)
        drawn, measured, coloured = {}, {}, {}
        for twin, seed, p in self._wanted():
            y, x = self._maps.get((twin, seed, p)), self._points(twin)
            title = "noise twin" if twin else f"perplexity {p:g}, seed {seed}"
            title, y = (f"{title}: still PCA", maps.pca(x)) if y is None else (title, y)
            drawn[title], measured[title] = y, self.measures(y, twin=twin)
            coloured |= {} if twin or self._coloured() is None else {title: self._coloured()}
        return plots.html(plots.maps_grid(drawn, coloured, measures=measured, names=self.names, theme=self.look))

    def _progress(self) -> tuple[int, int, str] | None:
        missing, wanted = len(self._missing()), len(self._wanted())
        return (wanted - missing, wanted, f"{missing} t-SNE to come") if self._job.running else None

    # --- the view -------------------------------------------------------------------------------------------

    def _controls(self) -> dict:
        from ipywidgets import Dropdown, Layout

        from sslkit.widgets._slider import Slider

        lists = {"perplexity": self.perplexities, "seed": self.seeds, "colour": self.colours, "show": SHOWN}
        made = {name: Dropdown(description=name, options=options) for name, options in lists.items()}
        made["show"].layout = Layout(width="340px")
        return made | {"point": Slider(description="point", max=len(self.x) - 1.0, step=1.0)}

"""The honesty panel: maps of the same features, of noise, and what each of them keeps."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import torch

from sslkit import maps, plots
from sslkit.widgets._lab import Lab

COLOURS = ("labels", "shuffled labels", "none")
SHOWN = ("one map and its noise twin", "all seeds and perplexities")


class HonestyPanel(Lab):
    """t-SNE maps of the same features under several seeds and perplexities, beside the map of their noise twin.

    features: (N, D). labels: (N,) whole numbers, `names` what they mean. images: (N, C, H, W), to show neighbours.
    Of more than `most` points, every so-manieth is taken, so that a map takes about a second. Each map is computed when
    it is first shown, from a random start, and kept. k: how many neighbours are compared.
    """

    NAME = "honesty-panel"
    USE = "Change seed, perplexity and colours, and ask of what you see: does it stay, and does noise show it too?"

    def __init__(
        self, features, labels=None, images=None, *, names: Sequence[str] | None = None, seeds: Sequence[int] = (0, 1),
        perplexities: Sequence[float] | None = None, k: int = 10, most: int = 400, theme: str = "light",
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

    seed = property(lambda self: self._chosen["seed"], lambda self, value: self._choose("seed", value, self.seeds))
    perplexity = property(
        lambda self: self._chosen["perplexity"],
        lambda self, value: self._choose("perplexity", value, self.perplexities),
    )
    colour = property(
        lambda self: self._chosen["colour"], lambda self, value: self._choose("colour", value, self.colours)
    )
    show = property(lambda self: self._chosen["show"], lambda self, value: self._choose("show", value, SHOWN))
    point = property(
        lambda self: self._chosen["point"], lambda self, value: self._choose("point", value, range(len(self.x)))
    )

    def _choose(self, name: str, value, known) -> None:
        if value not in known:
            listed = f"0 to {len(known) - 1}" if isinstance(known, range) else ", ".join(map(str, known))
            raise ValueError(f"HonestyPanel: {name} is {value!r}, but must be one of {listed}.")
        self._chosen[name] = int(value) if name == "point" else value
        self.changed()

    def map(self, *, twin: bool = False, seed: int | None = None, perplexity: float | None = None) -> torch.Tensor:
        """The map (N, 2) of the features or of their noise twin; by default with the seed and perplexity chosen."""
        seed, perplexity = (self.seed if seed is None else seed), (perplexity or self.perplexity)
        return _tsne(self._points(twin).numpy().tobytes(), self.x.shape[1], perplexity, seed)

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
        of = lambda points: maps.neighbours(points, k=self.k)[self.point].tolist()
        return {"true": of(self.x), "seen": of(self.map())}

    @property
    def state(self) -> dict:
        """What is chosen, the measures of the map and of its twin, and the neighbours of the chosen point."""
        measured = {"features": self.measures(self.map()), "noise twin": self.measures(self.map(twin=True), twin=True)}
        return self._chosen | {"measures": measured, "neighbours": self.neighbours}

    @property
    def summary(self) -> str:
        """How many true neighbours of the chosen point the map shows."""
        near = self.neighbours
        both = len(set(near["true"]) & set(near["seen"]))
        return (
            f"{both} of the {self.k} true neighbours of point {self.point} are among its {self.k} nearest on this map."
        )

    def plot(self):
        """The chosen map beside that of its noise twin, or all maps of the features."""
        look = {"names": self.names, "theme": self.theme}
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

    def _controls(self) -> dict:
        from ipywidgets import Dropdown, Layout

        from sslkit.widgets._slider import Slider

        lists = {"perplexity": self.perplexities, "seed": self.seeds, "colour": self.colours, "show": SHOWN}
        made = {name: Dropdown(description=name, options=options) for name, options in lists.items()}
        made["show"].layout = Layout(width="340px")
        return made | {"point": Slider(description="point", max=len(self.x) - 1.0, step=1.0)}


@lru_cache(maxsize=64)
def _tsne(content: bytes, dim: int, perplexity: float, seed: int) -> torch.Tensor:
    points = torch.frombuffer(bytearray(content), dtype=torch.float32).view(-1, dim)
    return maps.tsne(points, perplexity=perplexity, seed=seed, init="random")

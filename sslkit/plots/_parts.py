"""Parts of figures: pages, colours, labels at the ends of lines, legends, numbers in words, and what may be drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import count

import numpy as np
import torch

from sslkit.errors import require
from sslkit.plots._style import MARKERS

BASELINES = {"random encoder": 1, "untrained": 1, "raw pixels": 2, "PCA": 3}  # their colours and marks
MEANINGS = {
    "collapsed": "all embeddings equal",
    "orthogonal": "pairs equal, others orthogonal",
    "gaussian": "pairs equal, embeddings like normal noise",
    "unrelated": "views have nothing in common",
    "undecided": "the judge gives every pair a half",
    "bound": "the minimum",
    "all outputs equal": "one of two ways to collapse",
}


def page(width: float, height: float, n: int = 1, columns: int = 1, **options):
    """A figure with n axes, so many in a row; width of the page and height of a row in inches."""
    from matplotlib.figure import Figure

    require(n > 0, "there is nothing to draw: give a dictionary with at least one entry.")
    rows = -(-n // columns)
    fig = Figure(figsize=(width, height * rows), layout="constrained")
    fig.get_layout_engine().set(w_pad=0.08)  # inches: the longest label of an axis does not touch the edge
    axes = fig.subplots(rows, columns, squeeze=False, **options).flat
    for ax in axes[n:]:
        ax.remove()
    return fig, axes[:n]


def tone(which):
    """A colour of the style in force: of series or class 0, 1, ..., or "ink", "grey" or "paper"."""
    from matplotlib import rcParams

    keys = {"ink": "text.color", "grey": "xtick.color", "paper": "axes.facecolor"}
    return rcParams[keys[which]] if which in keys else rcParams["axes.prop_cycle"].by_key()["color"][which % 10]


def places(names: Sequence[str]) -> list[int]:
    """The number of each series: baselines have theirs in every figure, the others take what is left, in order."""
    mine = {name: BASELINES[name] for name in names if name in BASELINES}
    mine = {name: i for name, i in mine.items() if list(mine.values()).count(i) == 1}
    left = (i for i in count() if i not in mine.values())
    return [mine[name] if name in mine else next(left) for name in names]


def series(i: int) -> dict:
    """How the line or the dots of series i look."""
    return dict(color=tone(i), marker=MARKERS[i % 4], markersize=4.5, clip_on=False)


def label_ends(ax, title: str, references: Mapping[str, float]):
    """The title, dashed references, and right of every line its label, moved up where it would cover another."""
    ax.set_title(title)
    drawn: dict[float, list[str]] = {}  # references that would be one line are one line
    for name, value in references.items():
        same = next((other for other in drawn if abs(other - value) <= 0.02 * abs(value)), value)
        drawn.setdefault(same, []).append(name)
    for value, names in drawn.items():
        ax.axhline(value, label=f"{' ≈ '.join(names)} {value:.3g}", color=tone("grey"), linewidth=0.8, linestyle="--")
    lines, texts = ax.get_legend_handles_labels()
    if not texts:
        return
    lines = [getattr(line, "lines", [line])[0] for line in lines]  # of an error bar, the line
    ax.autoscale_view()
    height = ax.get_position().height * ax.figure.get_figheight() * 72  # in points, as the size of letters
    gap, place = 12 * (1 + max(text.count("\n") for text in texts)) / height, -np.inf
    legible = [tone(which) for which in (0, 1, 2, 3, "grey")]
    ends = [(line.get_ydata()[-1], line.get_color(), text) for line, text in zip(lines, texts)]
    for value, colour, text in sorted(end for end in ends if np.isfinite(end[0])):
        y = (ax.transData + ax.transAxes.inverted()).transform((1, value))[1]
        place = np.fmax(y, place + gap)
        lead = dict(arrowstyle="-", color=colour, linewidth=0.6, shrinkA=0, shrinkB=0, relpos=(0, 0.5))
        text_colour = colour if colour in legible else tone("ink")
        ax.annotate(text, (1, y), (1.03, place), "axes fraction", va="center", color=text_colour, arrowprops=lead)


def dashed(references: Mapping[str, float]) -> str:
    """What the dashed lines are, as the end of a caption."""
    lines = [
        f"{name} {value:.3g}" + f" ({MEANINGS.get(name)})" * (name in MEANINGS) for name, value in references.items()
    ]
    return f" Dashed: {', '.join(lines)}." * bool(lines)


def class_legend(fig, classes: Mapping[int, str], **where) -> None:
    """A mark and a name for each class, unless there are more classes than marks."""
    from matplotlib.lines import Line2D

    if len(classes) <= 40:
        marks = [Line2D([], [], linestyle="", color=tone(c), marker=MARKERS[c // 10 % 4]) for c in classes]
        where["ncols"] = max(1, min(where["ncols"], 100 // (4 + max(map(len, classes.values())))))  # as many as fit
        fig.legend(marks, classes.values(), handletextpad=0.2, **where)


def short(given) -> str:
    """A name that somebody else has given, as it stands in a figure: short, and no formula."""
    readable = str(given).encode("utf-8", "replace").decode()  # names of old archives may be no text at all
    return f"{readable:.40}".replace("$", r"\$")


def bounds(scores):
    """Values (n,) of Scores or plain numbers, and how far their intervals reach down and up, (2, n)."""
    bounds = [(float(s), getattr(s, "low", float(s)), getattr(s, "high", float(s))) for s in scores]
    value, low, high = np.array(bounds).T
    return value, np.clip([value - low, high - value], 0, None)


def listed(numbers: Mapping) -> str:
    """Named numbers, as they stand in a caption."""
    return ", ".join(f"{name} {float(number):z.2f}" for name, number in numbers.items())


def to_pictures(x):
    """(N, C, H, W) to (N, H, W, 3) in [0, 1]. One channel is gray; what is transparent shows light grey."""
    x = torch.as_tensor(x)
    require(
        x.ndim == 4 and x.shape[1] in (1, 3, 4), f"pictures are (N, C, H, W) with C 1, 3 or 4, not {tuple(x.shape)}."
    )
    x = np.moveaxis(to_array("pictures", x / 255 if x.dtype == torch.uint8 else x.clip(0, 1), 4), 1, 3)
    if x.shape[3] == 4:
        x = x[..., :3] * x[..., 3:] + 0.85 * (1 - x[..., 3:])
    return np.broadcast_to(x, (*x.shape[:3], 3))


def to_array(name: str, x, ndim: int):
    """An array of float64. Raises ValueError for what cannot be drawn; `name` is what it is called there."""
    x = torch.as_tensor(x).detach().cpu().double().numpy()
    good = x.ndim == ndim and x.size > 0 and np.isfinite(x).all()
    require(good, f"{name} must hold finite numbers in {ndim} dimension{'s' * (ndim > 1)}, but has shape {x.shape}.")
    return x

"""Figures: arrays and plain objects in, a matplotlib `Figure` out that carries its own caption and alt text.

`figure.caption` says what to look at, with the numbers; `figure.alt` says what is drawn, to those who cannot see it. A
notebook shows picture, caption and alt text; so does `html(figure)`. Every function takes `theme="light"` or "dark".

Pictures are (N, C, H, W), uint8 or float in [0, 1]. A score is an `evaluation.Score`, or a number without an interval.
Nothing here touches pyplot, and the user's rcParams neither change nor matter: each figure is made in its own style.
"""

from __future__ import annotations

import warnings
from base64 import b64encode
from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from functools import partial, wraps
from html import escape
from io import BytesIO
from itertools import combinations
from threading import RLock

import numpy as np
import torch
from torch.nn.functional import normalize

from sslkit.errors import require, unknown

# Ten colours per theme that people with any kind of colour vision can tell apart (the tests measure it); the first four
# have the contrast that text needs. From the eleventh class on, the marker changes. Tones: paper, ink, grey for what
# matters less, and the colour map of what can be positive or negative.
COLOURS = {
    "light": "#6569c5 #bc4705 #098763 #6e2e8b #e8ac22 #55b4ea #c572a1 #515458 #989752 #7d0137".split(),
    "dark": "#4c7fff #ef753c #42b47e #aa91c4 #fddc0e #8fd8ff #ffa5bf #7f8c90 #c4db91 #b0556c".split(),
}
TONES = {"light": ("#ffffff", "#1f2328", "#646b75", "RdBu_r"), "dark": ("#16181d", "#e8eaed", "#9aa2ad", "berlin")}
MARKERS = "o^sD"
DRAWING = RLock()  # matplotlib's style is global, and labs draw in threads of their own
GAP = 0.25  # between a picture and what belongs to it, in pictures
MEANINGS = {
    "collapsed": "all embeddings equal",
    "orthogonal": "pairs equal, others orthogonal",
    "gaussian": "pairs equal, embeddings like normal noise",
    "unrelated": "views have nothing in common",
    "undecided": "the judge gives every pair a half",
    "bound": "the minimum",
}


def html(figure, *, dpi: int = 110) -> str:
    """The figure as one self-contained `<figure>`: the picture with its alt text, and the caption below."""
    from PIL import Image

    drawn, png = BytesIO(), BytesIO()
    figure.savefig(drawn, format="png", dpi=dpi)
    Image.open(drawn).convert("RGB").quantize(256).save(png, format="png", optimize=True)  # a third of the size
    source = f"data:image/png;base64,{b64encode(png.getvalue()).decode()}"
    image = f'<img style="width: 100%" alt="{escape(figure.alt)}" src="{source}">'
    caption = f'<figcaption style="overflow-wrap: anywhere">{escape(figure.caption)}</figcaption>'
    return f'<figure style="margin: 0; max-width: {figure.get_figwidth():.2f}in">{image}{caption}</figure>'


@contextmanager
def _style(*looks):
    """Only one figure is drawn at a time, in this style. A letter that the font does not have becomes a box, in silence."""
    from matplotlib import style

    with DRAWING, style.context(["default", *looks]), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from")
        yield


def _save(savefig, *args, **options) -> None:
    with _style():
        savefig(*args, **options)


def _display(figure) -> None:
    from IPython.display import display

    # Said once and for all: left to itself, Jupyter would store the bare picture as well.
    display({"text/html": html(figure), "text/plain": figure.caption}, raw=True)


def _figure(draw):
    """Make of a function that returns (figure, caption, alt) one that works in our style and returns the figure."""

    @wraps(draw)
    def styled(*args, theme: str = "light", **options):
        from matplotlib import cycler

        if theme not in TONES:
            raise unknown("theme", theme, TONES)
        paper, ink, grey, shades = TONES[theme]
        look = {
            "figure.facecolor": paper, "axes.facecolor": paper, "text.color": ink, "axes.labelcolor": grey,
            "axes.edgecolor": grey, "xtick.color": grey, "ytick.color": grey, "figure.dpi": 144,
            "font.family": "DejaVu Sans", "font.size": 9, "axes.titlesize": 9, "axes.titlelocation": "left",
            "axes.spines.top": False, "axes.spines.right": False, "axes.linewidth": 0.6, "lines.linewidth": 1.6,
            "lines.dashed_pattern": (5, 3.5), "legend.frameon": False, "axes.prop_cycle": cycler(color=COLOURS[theme]),
            "image.cmap": shades, "image.interpolation": "nearest",
        }  # fmt: skip
        with _style(look):
            figure, figure.caption, figure.alt = draw(*args, **options)
            figure.draw_without_rendering()  # ticks and places are made at the last moment: now, and for good
            figure.set_layout_engine("none")
        figure.savefig = partial(_save, figure.savefig)
        figure._repr_html_, figure._ipython_display_ = partial(html, figure), partial(_display, figure)
        return figure

    return styled


@_figure
def views_grid(images, views: Sequence):
    """Pictures (N, C, H, W) on the left, and to the right of each its views: V sets of N pictures."""
    n, v = len(images), len(views)
    fig, _ = _draw_shelf(images, views, [f"view {i + 1}" for i in range(v)])
    caption = f"{n} pictures (left) and {v} random views of each. The encoder is shown nothing but views."
    return fig, caption, f"Grid of {n} rows: a picture, then {v} augmented views of it."


@_figure
def repainted(images, pictures: Mapping):
    """Pictures (N, C, H, W) on the left, and to the right what was made of them, {title: N pictures}."""
    fig, _ = _draw_shelf(images, list(pictures.values()), list(pictures))
    made = ", ".join(pictures)
    caption = f"{len(images)} pictures (left), and of each: {made}."
    return fig, caption, f"Grid of {len(images)} rows: a picture, then {made}."


@_figure
def neighbours(queries, found, hits=None):
    """Pictures (Q, C, H, W) on the left, and to the right of each the k most similar ones: (Q, k, C, H, W).

    hits: (Q, k), true where a neighbour is right, which is marked below it.
    """
    found, hits = torch.as_tensor(found), np.zeros((0, 0)) if hits is None else np.asarray(hits, dtype=bool)
    q, k = found.shape[:2]
    require(hits.shape in [(0, 0), (q, k)], f"hits must have shape ({q}, {k}), one mark for each neighbour.")
    pitch = 1.22 if hits.size else 1.0
    fig, ax = _draw_shelf(queries, found.unbind(1), range(1, k + 1), pitch)
    for (i, j), hit in np.ndenumerate(hits):
        look = dict(color=_colour("grey")) if hit else dict(color=_colour(1), size=11, weight="bold")
        ax.text(j + 1.5 + GAP, i * pitch + 1.06, "✓" if hit else "✗", ha="center", va="center", **look)
    caption = f"{q} pictures (left) and the {k} most similar to each in the representation, nearest first."
    caption += f" {hits.sum()} of {hits.size} ({hits.mean():.0%}) are right (✓)." if hits.size else ""
    return fig, caption, f"Grid of {q} rows: a picture, then its {k} nearest neighbours."


@_figure
def loss_curve(rows: Sequence[Mapping], references: Mapping[str, float] | None = None):
    """The loss during training with the reference values of its method, and below it the online kNN and the rank.

    rows: "step", "loss" and now and then "knn" and "rankme", as in `history.rows`. references: {name: value}, as from
    `method.reference_values(batch_size)`; no other line is drawn. The thick line is the mean of the latest 2 % of rows.
    """
    references, tracks, said = references or {}, {}, []
    for name, key in {"loss": "loss", "online kNN accuracy": "knn", "RankMe": "rankme"}.items():
        if points := [(row["step"], row[key]) for row in rows if np.isfinite(row.get(key, np.nan))]:
            tracks[name] = np.array(points, dtype=float).T
    require("loss" in tracks, 'rows has no finite "loss": give the history.rows of a run with at least one step.')
    n, last = len(tracks), tracks["loss"][0, -1]
    fig, axes = _page(7, 1.1 + 2 / n, n, sharex=True, height_ratios=[2.7, 1, 1][:n])
    for i, (ax, (name, (x, y))) in enumerate(zip(axes, tracks.items())):
        look, window = _series(2 * min(i, 1)), 1 + len(y) // 50
        recent = np.convolve(y, np.ones(window) / window, "valid")
        ax.plot(x, y, color=look["color"], linewidth=0.6, alpha=0.4)
        ax.plot(x[window - 1 :], recent, label=f"{recent[-1]:.3g}", markevery=1 if len(y) < 50 else [], **look)
        _label_ends(ax, name, {} if i else references)
        said.append(f"{name} {y[0]:.3g} to {recent[-1]:.3g}")
    axes[-1].set(xlabel="step", xlim=(0, max(1, last)))
    caption = f"In {last:,.0f} steps: {', '.join(said)}." + _dashed(references)
    return fig, caption, f"Line plots over the steps of training: {', '.join(tracks)}."


@_figure
def training(
    runs: Mapping[str, Sequence[Mapping]],
    panels: Mapping[str, str],
    *,
    references: Mapping[str, float] | None = None,
    spectra: Mapping[str, torch.Tensor] | None = None,
):
    """Numbers over the steps of one or more runs, {name: rows}, and the spectra of their features in the last panel.

    panels: {title: key of the rows}. references: {name: value}, drawn in the first panel. A run may have no rows yet.
    """
    fig, axes = _page(9.6, 2.3 if len(runs) == 1 else 2.5, len(panels) + (spectra is not None), 3)
    tracks, said = {}, {name: [] for name in runs}
    for title, key in panels.items():
        for i, (name, rows) in enumerate(runs.items()):
            if points := [(row["step"], row[key]) for row in rows if np.isfinite(row.get(key, np.nan))]:
                x, y = zip(*points)
                tracks[title, i] = x, y
                change = f"{y[0]:.3g} to {y[-1]:.3g}" if len(runs) == 1 else f"{y[-1]:.3g}"
                said[name] += [f"{title} {change}"]
    last = max([x[-1] for x, _ in tracks.values()], default=1)
    for number, (ax, title) in enumerate(zip(axes, panels)):
        heading = title
        for (_, i), (x, y) in ((which, track) for which, track in tracks.items() if which[0] == title):
            at_the_end = x[-1] == last or len(runs) > 1  # a label stands at the right edge
            heading = title if at_the_end else f"{title}: {y[-1]:.3g}"
            label = f"{y[-1]:.3g}" if at_the_end else ""
            ax.plot(x, y, label=label, markevery=1 if len(y) < 20 else [-1], **_series(i))
        ax.set(xlabel="step", xlim=(0, max(1, last)))
        _label_ends(ax, heading, {} if number else references or {})
        if not tracks:  # scales of nothing would mean nothing
            ax.set(xticks=[], yticks=ax.get_yticks()[1:-1] if ax.lines else [])
    if spectra is not None:
        ax, length = axes[-1], 2
        for i, (name, s) in enumerate(spectra.items()):
            s = np.sort(_array(name, s, 1))[::-1]
            length, shown = max(length, len(s)), (s / s[0].clip(1e-30)).clip(1e-7)
            ax.plot(
                np.arange(1, len(s) + 1), shown, label=name if len(spectra) < 3 else "", **_series(i) | {"marker": ""}
            )
        ax.set(xlabel="direction", xlim=(1, length))
        if spectra:
            ax.set(yscale="log", ylim=(None, 1))
            ax.yaxis.set_major_formatter("{x:g}")
        else:
            ax.set(xticks=[], yticks=[])
        _label_ends(ax, "spectrum: singular value / largest", {})
    if len(runs) > 1:
        from matplotlib.lines import Line2D

        marks = [Line2D([], [], **_series(i)) for i in range(len(runs))]
        fig.legend(marks, list(runs), loc="outside upper center", ncols=3 if max(map(len, runs)) < 36 else 2)
    words = [f"{name}: {', '.join(words)}." for name, words in said.items() if words]
    caption = (" ".join(words) or "No step is done yet.") + _dashed(references or {})
    drawn = f"over the steps of training: {', '.join(panels)}" + ", and spectra" * (spectra is not None)
    return fig, caption, f"Line plots {drawn}." if tracks else f"Empty plots, {drawn}: nothing was trained yet."


@_figure
def factor_matrix(matrix: Mapping[str, Mapping], columns: Mapping[str, str]):
    """What survives: a number in each cell, {row: {factor: Score}}; a row without scores stays empty.

    columns: {factor: its title}. Scores are R2 or accuracy, from 0 (dark) to 1 (bright).
    """
    values = np.array([[float(scores.get(f, np.nan)) for f in columns] for scores in matrix.values()])
    fig, [ax] = _page(8, 0.9 + 0.36 * len(matrix), min(1, values.size))
    drawn = ax.imshow(values.clip(0, 1), cmap="cividis", vmin=0, vmax=1, aspect="auto")
    bar = fig.colorbar(drawn, ax=ax, pad=0.02, ticks=[0, 1], aspect=12)
    bar.ax.set_yticklabels(["0: lost", "1: kept"])
    bar.outline.set_visible(False)
    for (row, column), value in np.ndenumerate(values):
        known = np.isfinite(value)
        red, green, blue, _ = drawn.cmap(drawn.norm(np.clip(np.nan_to_num(value), 0, 1)))
        luminance = np.dot([0.2126, 0.7152, 0.0722], np.power([red, green, blue], 2.2))
        colour = ("black" if luminance > 0.18 else "white") if known else _colour("grey")
        ax.text(column, row, f"{value:z.2f}" if known else "·", ha="center", va="center", color=colour)
    ax.set_xticks(range(len(columns)), map(_name, columns.values()))
    ax.set_yticks(range(len(matrix)), map(_name, matrix))
    ax.tick_params(length=0, top=True, labeltop=True, bottom=False, labelbottom=False)
    ax.tick_params(axis="y", colors=_colour("ink"))
    ax.spines[:].set_visible(False)
    said = [
        f"{name}: {_list({f: scores[f] for f in columns if f in scores})}." for name, scores in matrix.items() if scores
    ]
    caption = "How well each factor can be read from the representation by a linear probe. " + " ".join(said)
    return (
        fig,
        caption.strip(),
        f"Heat map of {len(matrix)} sets of views by {len(columns)} factors, a number in each cell.",
    )


@_figure
def spectrum(spectra: Mapping[str, torch.Tensor]):
    """Singular values of features, {name: (D,)}, of a result and its baselines. A cliff is a collapse."""
    return _draw_spectra(spectra, spectra)


@_figure
def collapse(reports: Mapping[str, Mapping]):
    """The spectrum and the numbers that betray a collapse: {name: `evaluation.collapse(features)`}."""
    labels = [f"{name}\nstd {r['std']:.3f}, RankMe {r['rankme']:.1f}" for name, r in reports.items()]
    fig, caption, alt = _draw_spectra({name: r["spectrum"] for name, r in reports.items()}, labels)
    return fig, " ".join([*(f"{name} is {r['verdict']}" for name, r in reports.items()), caption]), alt


@_figure
def similarity_matrix(z1, z2=None):
    """Cosines of the embeddings (B, D) of first and second views, or their matrix (B, B). The diagonal: pairs."""
    s = _array("z1", z1, 2)
    if z2 is not None:
        z2 = _array("z2", z2, 2)
        require(
            s.shape == z2.shape, f"z1 has shape {s.shape} and z2 {z2.shape}, but row i of both must show picture i."
        )
        s = (normalize(torch.tensor(s)) @ normalize(torch.tensor(z2)).T).numpy()
    n, pairs = len(s), np.diag(s)
    require(s.shape == (n, n) and n > 1, f"the matrix of cosines has shape {s.shape}, but must be (B, B) with B > 1.")
    fig, [ax] = _page(4.8, 4)
    fig.colorbar(ax.imshow(s, vmin=-1, vmax=1), shrink=0.6, ticks=[-1, 0, 1], label="cosine").outline.set_visible(False)
    ax.set(xlabel="second views", ylabel="first views", xticks=[], yticks=[])
    others, first = (s.sum() - pairs.sum()) / (n * n - n), (s.argmax(1) == np.arange(n)).mean()
    caption = f"The {n} pairs, on the diagonal, have a mean cosine of {pairs.mean():z.2f}, all others {others:z.2f}. "
    return fig, f"{caption}In {first:.0%} of the rows the pair is the most similar.", f"Heat map of {n} by {n} cosines."


@_figure
def few_label(curves: Mapping[str, Mapping], *, chance: float | None = None):
    """Accuracy against labels per class, {name: {budget: Score}}; the budget None is all labels."""
    budgets = sorted({b for curve in curves.values() for b in curve if b is not None})
    place = {b: np.log(b) for b in budgets}
    if any(None in curve for curve in curves.values()):
        place[None] = np.log(4 * max(budgets, default=1))
    return _draw_scores(curves, place, "labels per class", chance)


@_figure
def difficulty(curves: Mapping[str, Mapping], *, knob: str = "difficulty", chance: float | None = None):
    """Accuracy as the data get harder, {name: {level: Score}}; knob: what the levels are levels of."""
    return _draw_scores(curves, {level: level for curve in curves.values() for level in curve}, knob, chance)


@_figure
def growth(curves: Mapping[str, Mapping], *, xlabel: str, ylabel: str):
    """How a cost grows, {name: {size: cost}}: on logarithmic axes, where a power of the size is a straight line."""
    fig, [ax] = _page(7, 3.2, min(1, len(curves)))
    for i, (name, curve) in enumerate(curves.items()):
        ax.plot(list(curve), list(curve.values()), label=name, **_series(i))
    sizes = sorted({size for curve in curves.values() for size in curve})
    ax.set(xscale="log", yscale="log", xlabel=xlabel)
    ax.set_xticks(sizes, [f"{size:,}" for size in sizes], minor=False)
    ax.minorticks_off()
    ax.yaxis.set_major_formatter("{x:,g}")
    _label_ends(ax, ylabel, {})
    last = {name: curve[max(curve)] for name, curve in curves.items()}
    caption = f"{ylabel[0].upper()}{ylabel[1:]}, {xlabel} {sizes[0]:,} to {sizes[-1]:,}. At the end: {_list(last)}."
    return fig, caption, f"Line plot on logarithmic axes: {ylabel} by {xlabel}, for {', '.join(curves)}."


@_figure
def compare(table: Mapping[str, Mapping], *, chance: float | None = None):
    """A result beside its baselines, {name: {measure: Score}}, the result first."""
    return _draw_dots(table, chance)


@_figure
def race(
    scores: Mapping[str, Sequence], *, baselines: Mapping[str, float] | None = None, measure: str = "linear probe"
):
    """Methods at one budget, best first, {name: a score per seed}, beside what any result must beat, {name: score}."""
    values = {name: _array(name, [float(s) for s in seeds], 1) for name, seeds in scores.items()}
    ranked = sorted(values, key=lambda name: -values[name].mean())
    fig, [ax] = _page(7, 0.9 + 0.22 * len(ranked), min(1, len(ranked)))
    for row, name in enumerate(ranked):
        ax.plot([0, values[name].mean()], [row, row], color=_colour("grey"), linewidth=0.6)
        ax.plot(values[name], [row] * len(values[name]), "o", color=_colour(0), markersize=4, alpha=0.6, clip_on=False)
        if len(values[name]) > 1:
            ax.plot(values[name].mean(), row, "|", color=_colour("ink"), markersize=11, mew=1.6, clip_on=False)
    for i, (name, value) in enumerate((baselines or {}).items()):
        label, style = f"{name} {float(value):.2f}", ("--", ":", "-.", (0, (1, 4)))[i % 4]
        ax.axvline(float(value), label=label, color=_colour((1, 2, 3, 7)[i % 4]), linewidth=1.2, linestyle=style)
    ax.set(yticks=range(len(ranked)), yticklabels=ranked, ylim=(len(ranked) - 0.5, -0.5), xlabel=measure)
    ax.set_xlim(0, min(1, 1.05 * max(ax.get_xlim()[1], 0.1)))
    ax.tick_params(axis="y", length=0)
    if baselines:
        fig.legend(loc="outside upper center", ncols=4)
    caption = (
        "Dots are seeds, a bar is their mean. Who is clear of the lines, and by more than the dots of a row are apart?"
    )
    means = {name: values[name].mean() for name in ranked}
    return fig, f"{caption} To be beaten: {_list(baselines)}." if baselines else caption, f"Best first: {_list(means)}."


@_figure
def factors(matrix: Mapping[str, Mapping]):
    """How much of each factor can be read from each representation, {name: {factor: Score}}: R2 or accuracy, 0 to 1."""
    return _draw_dots(matrix, None)


@_figure
def map2d(y, labels=None, *, names=None, images=None, measures: Mapping[str, float] | None = None, method: str = "Map"):
    """A map (N, 2), coloured by class (whole numbers) or by value (floats); with images, some points are pictures.

    names: of the classes, indexed by label; or what the values are. measures: {name: number}, say its trustworthiness.
    """
    fig, [ax] = _page(7, 5.2)
    y, classes = _draw_map(ax, y, labels, names, alpha=0.85 if images is None else 0.3)
    caption = f"{method} of {len(y):,} pictures{': ' * bool(measures)}{_list(measures or {})}."
    if "sne" in method.lower():
        caption += " Only neighbourhoods mean something: sizes of clusters and distances between them do not."
    if classes:
        caption += f" Colour: {len(classes)} classes, of which the map knows nothing."
        if images is not None or not _name_clusters(ax, y, labels, classes):
            _legend(fig, classes, loc="outside right center", ncols=1 + len(classes) // 20)
    if images is not None:
        caption += f" {_draw_pictures(ax, y, images, labels if classes else None)} points are shown as pictures."
    return fig, caption, f"Scatter plot of {len(y):,} points."


@_figure
def maps_grid(maps: Mapping, labels=None, *, names=None, measures: Mapping[str, Mapping] | None = None):
    """Maps side by side, {title: (N, 2)}: seeds, perplexities, encoders, a noise twin.

    labels: one set, or {title: labels} where they differ (a noise twin has none). measures: {title: {name: number}}.
    """
    legend, measures, columns = {}, measures or {}, min(3, len(maps))
    fig, axes = _page(7, 0.35 + 6.5 / max(1, columns), len(maps), columns)
    for ax, (title, y) in zip(axes, maps.items()):
        legend |= _draw_map(ax, y, labels.get(title) if isinstance(labels, Mapping) else labels, names)[1]
        ax.set_title(title, loc="center")
        ax.set_xlabel(_list(measures.get(title, {})).replace(", ", "\n"))
    if legend:
        _legend(fig, legend, loc="outside lower center", ncols=5)
    caption = f"{len(maps)} maps. Compare who is whose neighbour, not where: places and sizes change from map to map."
    caption += "".join(f" {title}: {_list(numbers)}." for title, numbers in measures.items())
    return fig, caption, f"{len(maps)} scatter plots: {', '.join(maps)}."


@_figure
def view_by_hand(image, view, rows, columns, colour=None):
    """One picture (C, H, W), one view of it (C, h, w), and the matrices that made it, as from `augment.matrices`.

    rows: (h, H), columns: (w, W), colour: (C, C) or None, which stands for "as it was".
    """
    rows, columns = _array("rows", rows, 2), _array("columns", columns, 2)
    colour = np.eye(len(view)) if colour is None else _array("colour", colour, 2)
    require(rows.shape[1] == image.shape[1], f"rows {rows.shape} must have as many columns as the picture has rows.")
    fig, axes = _page(7, 1.75, 5, 5)
    for ax, picture, title in zip(axes, (image, view), ("picture", "view")):
        ax.imshow(_pictures(picture[None])[0])
        ax.set_title(title)
    for ax, matrix, title in zip(axes[2:], (rows, columns, colour), ("rows", "columns", "colour")):
        _draw_matrix(ax, matrix, title)
    for ax in axes:
        ax.set(xticks=[], yticks=[])
    caption = (
        "The matrix of rows says which rows of the picture each row of the view is made of, that of columns the same"
    )
    caption += " for columns, that of colour which of red, green and blue. "
    used = "{} of {} rows and {} of {} columns are looked at."
    seen = [n for m in (rows, columns) for n in ((np.abs(m) > 1e-4).any(0).sum(), m.shape[1])]
    return (
        fig,
        caption + used.format(*seen),
        "A picture, a view of it, and three heat maps of the matrices that made it.",
    )


@_figure
def loss_on_circle(z1, z2, arrows, answers, *, anchor: int, history: Sequence[float], references: Mapping[str, float]):
    """A contrastive loss in the plane: first views z1 and second views z2 (N, 2) of N pictures, of length 1.

    arrows: (2N, 2) where each point wants to go. answers: (2N,) the probabilities of the anchor's answers, 0 for the
    anchor itself. history: the loss, oldest first. references: {name: value} of the loss.
    """
    z, arrows, answers = (
        _array("z1, z2", torch.cat([z1, z2]), 2),
        _array("arrows", arrows, 2),
        _array("answers", answers, 1),
    )
    n, partner = len(z) // 2, (anchor + len(z) // 2) % len(z)
    require(z.shape == arrows.shape == (len(answers), 2), f"arrows must have shape {z.shape}, and answers ({len(z)},).")
    names = [f"{i % n + 1}{'ab'[i // n]}" for i in range(2 * n)]
    fig, (circle, cosines, bars, loss) = _page(7, 3, 4, 2, width_ratios=(1.15, 1))
    fig.get_layout_engine().set(rect=(0, 0, 0.97, 1))  # room for the labels of the loss
    turn = np.linspace(0, 2 * np.pi, 200)
    circle.plot(np.cos(turn), np.sin(turn), color=_colour("grey"), linewidth=0.6)
    for i in set(range(2 * n)) - {anchor}:
        style = dict(linestyle=":", color=_colour("ink")) if i == partner else dict(color=_colour(i % n), alpha=0.6)
        circle.plot(*z[[anchor, i]].T, linewidth=5 * (1 - answers[i] if i == partner else answers[i]), **style)
    size = np.linalg.norm(arrows, axis=1)
    scale = 0.45 / max(size.max(), 0.01)  # near the end, where no arrow is left to see, they may vanish
    for i, (point, arrow) in enumerate(zip(z, arrows)):
        circle.plot(*point, color=_colour(i % n), marker=MARKERS[i // n], markersize=8 if i == anchor else 5.5)
        circle.annotate("", point + scale * arrow, point, arrowprops=dict(arrowstyle="->", color=_colour("ink")))
        circle.text(
            *(1.17 if i < n else 0.82) * point,
            names[i],
            ha="center",
            va="center",
            weight="bold" if i == anchor else None,
        )
    circle.set(xlim=(-1.45, 1.45), ylim=(-1.3, 1.3), aspect="equal", title=f"anchor {names[anchor]}")
    circle.axis("off")
    cosines.imshow(z @ z.T, vmin=-1, vmax=1)
    halves = dict(ticks=[(n - 1) / 2, n + (n - 1) / 2], labels=["first views", "second views"])
    cosines.set_title("cosines (red 1, blue -1)")
    cosines.set_xticks(**halves)
    cosines.set_yticks(**halves, rotation=90, va="center")
    cosines.tick_params(length=0)
    others = [i for i in range(2 * n) if i != anchor]
    bars.bar([names[i] for i in others], answers[others], color=[_colour(i % n) for i in others])
    bars.set(ylim=(0, 1), title=f"who is the partner of {names[anchor]}? ({names[partner]})", ylabel="probability")
    loss.plot(range(len(history)), history, label=f"{history[-1]:.3g}", markevery=[-1], **_series(2))
    loss.set(xlabel="step", xlim=(0, max(1, len(history) - 1)))
    loss.xaxis.get_major_locator().set_params(integer=True)
    _label_ends(loss, "loss", references)
    hardest = max(set(others) - {partner}, key=lambda i: answers[i])
    caption = (
        f"Arrows: where each view wants to go; the longest has length {size.max():.2g}. Lines: how hard each negative"
    )
    caption += (
        f" pushes anchor {names[anchor]} ({names[hardest]} hardest, {answers[hardest]:.2f}), and, dotted, how hard"
    )
    caption += f" its partner pulls ({1 - answers[partner]:.2f}). Loss {history[-1]:.3f}; dashed: its references."
    return fig, caption, f"{2 * n} points with arrows on a circle, their cosines, the anchor's answers, and the loss."


@_figure
def honest_map(
    y, labels=None, *, twin, names=None, measures: Mapping[str, Mapping], point: int, true, seen, images=None
):
    """A map y (N, 2) beside the map of its noise twin (N, 2), with one point's true neighbours and those on the map.

    true, seen: (k,) numbers of points. measures: {"features" or "noise twin": {name: number}}. images: (N, C, H, W).
    """
    count = 2 if images is None else 4
    fig, axes = _page(7, 3.3 if count == 2 else 2.9, count, 2, **({} if count == 2 else {"height_ratios": (3.3, 0.9)}))
    legend = {}
    for ax, (title, places) in zip(axes, {"features": y, "noise twin": twin}.items()):
        drawn, found = _draw_map(ax, places, labels if title == "features" else None, names, alpha=0.7)
        legend |= found
        ax.set_title(title)
        ax.set_xlabel(_list(measures.get(title, {})).replace(", ", "\n"))
        if title == "features":
            for i in true.tolist():
                ax.plot(*drawn[[point, i]].T, color=_colour("ink"), linewidth=0.9)
            ax.scatter(*drawn[seen].T, s=60, facecolors="none", edgecolors=_colour("ink"), linewidths=0.9)
            ax.plot(*drawn[point], color=_colour("ink"), marker="X", markersize=7)
    both = len(set(true.tolist()) & set(seen.tolist()))
    for ax, (title, which) in zip(axes[2:], {"true neighbours": true, "neighbours on the map": seen}.items()):
        strip = np.concatenate(_pictures(torch.as_tensor(images)[[point, *which.tolist()[:6]]]), axis=1)
        ax.imshow(strip)
        ax.axvline(strip.shape[1] / (1 + len(which[:6])) - 0.5, color=_colour("paper"), linewidth=4)
        ax.set_title(f"point {point}, and its {title}", fontsize=8)
        ax.axis("off")
    if legend:
        _legend(fig, legend, loc="outside lower center", ncols=5)
    caption = f"Point {point} (✕): lines lead to its {len(true)} true nearest neighbours, rings are those on the map;"
    caption += (
        f" {both} of {len(true)} are both. The twin is noise of the same covariance: what you see in it means nothing."
    )
    caption += "".join(f" {title}: {_list(numbers)}." for title, numbers in measures.items())
    return fig, caption, f"Scatter plots of {len(y)} points and of as many of a noise twin."


@_figure
def prediction(
    measured: Sequence, *, guess, low: float | None = None, high: float | None = None, unit: str = "", choices=None
):
    """A prediction beside what was measured, none, one or several times: numbers, or some of the `choices`."""
    measured = list(measured)
    fig, [ax] = _page(7, 1.4 if choices is None else 0.8 + 0.28 * len(choices))
    expected = dict(color=_colour(1), marker="D", markersize=8, linestyle="")
    if choices is None:
        ax.plot([guess], [0], **expected)
        ax.plot(
            [guess if low is None else low, guess if high is None else high],
            [0, 0],
            color=_colour(1),
            linewidth=4,
            alpha=0.4,
        )
        ax.plot(measured, [1] * len(measured), color=_colour(2), marker="o", linestyle="", alpha=0.7)
        ax.set(yticks=[0, 1], yticklabels=["predicted", "measured"], ylim=(1.6, -0.6), xlabel=_name(unit))
        said = (
            f"{min(measured):.4g} to {max(measured):.4g}"
            if len(set(measured)) > 1
            else "".join(f"{m:.4g}" for m in measured[:1])
        )
        guess = f"{guess:.4g}" + (f" ({low:.4g} to {high:.4g})" if low is not None else "")
    else:
        rows, times = [str(c) for c in choices], [measured.count(c) for c in choices]
        ax.barh(range(len(rows)), times, color=_colour(2), height=0.5)
        place = list(choices).index(guess)
        ax.plot([times[place] + 0.04 * max(1, len(measured))], [place], **expected)
        ax.set(yticks=range(len(rows)), yticklabels=map(_name, rows), ylim=(len(rows) - 0.5, -0.5))
        ax.set_xlim(0, 1.08 * max(1, len(measured)))
        ax.set_xticks(range(max(1, len(measured)) + 1))
        ax.set_xlabel("times measured")
        said, guess = ", ".join(r for r, t in zip(rows, times) if t), str(guess)
    ax.tick_params(axis="y", length=0)
    unit = f" {unit}" * bool(unit)
    caption = f"Predicted (◆): {guess}{unit}. " + (f"Measured: {said}{unit}." if measured else "Not measured yet.")
    return fig, caption, "A prediction, and beside it what was measured."


def _page(width: float, height: float, n: int = 1, columns: int = 1, **options):
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


def _colour(which):
    """A colour of the style in force: of series or class 0, 1, ..., or "ink", "grey" or "paper"."""
    from matplotlib import rcParams

    keys = {"ink": "text.color", "grey": "xtick.color", "paper": "axes.facecolor"}
    return rcParams[keys[which]] if which in keys else rcParams["axes.prop_cycle"].by_key()["color"][which % 10]


def _series(i: int) -> dict:
    return dict(color=_colour(i), marker=MARKERS[i % 4], markersize=4.5, clip_on=False)


def _draw_shelf(firsts, rests, titles, pitch: float = 1.0):
    """Rows of pictures: the first, a gap, and the rest. A picture is one unit wide, the rows are `pitch` apart."""
    sets = [_pictures(pictures) for pictures in (firsts, *rests)]
    require(len(sets) > 1 and len(set(map(len, sets))) == 1, f"next to {len(sets[0])} pictures must stand as many.")
    width, height = len(sets) + GAP, len(sets[0]) * pitch + 0.3
    inch = min(0.95, 7 / width)
    fig, [ax] = _page(width * inch, height * inch)
    for column, (pictures, title) in enumerate(zip(sets, ["picture", *titles])):
        x = column + GAP * (column > 0)
        ax.text(x + 0.5, -0.08, title, ha="center", va="bottom", color=_colour("grey"))
        for row, picture in enumerate(pictures):
            ax.imshow(picture, extent=(x + 0.03, x + 0.97, row * pitch + 0.94, row * pitch))
    ax.set(xlim=(0, width), ylim=(height - 0.3, -0.3))
    ax.axis("off")
    return fig, ax


def _label_ends(ax, title: str, references: Mapping[str, float]):
    """The title, dashed references, and right of every line its label, moved up where it would cover another."""
    ax.set_title(title)
    for name, value in references.items():
        ax.axhline(value, label=f"{name} {value:.3g}", color=_colour("grey"), linewidth=0.8, linestyle="--")
    lines, texts = ax.get_legend_handles_labels()
    if not texts:
        return
    lines = [getattr(line, "lines", [line])[0] for line in lines]  # of an error bar, the line
    ax.autoscale_view()
    height = ax.get_position().height * ax.figure.get_figheight() * 72  # in points, as the size of letters
    gap, place = 12 * (1 + max(text.count("\n") for text in texts)) / height, -np.inf
    legible = [_colour(which) for which in (0, 1, 2, 3, "grey")]
    ends = [(line.get_ydata()[-1], line.get_color(), text) for line, text in zip(lines, texts)]
    for value, colour, text in sorted(end for end in ends if np.isfinite(end[0])):
        y = (ax.transData + ax.transAxes.inverted()).transform((1, value))[1]
        place = np.fmax(y, place + gap)
        lead = dict(arrowstyle="-", color=colour, linewidth=0.6, shrinkA=0, shrinkB=0, relpos=(0, 0.5))
        text_colour = colour if colour in legible else _colour("ink")
        ax.annotate(text, (1, y), (1.03, place), "axes fraction", va="center", color=text_colour, arrowprops=lead)


def _dashed(references):
    lines = [
        f"{name} {value:.3g}" + f" ({MEANINGS.get(name)})" * (name in MEANINGS) for name, value in references.items()
    ]
    return f" Dashed: {', '.join(lines)}." * bool(lines)


def _draw_spectra(spectra, labels):
    fig, [ax] = _page(7, 3.4, min(1, len(spectra)))
    said = []
    for i, ((name, s), label) in enumerate(zip(spectra.items(), labels)):
        s = np.sort(_array(name, s, 1))[::-1]
        most = int((np.cumsum(s**2) < 0.99 * (s**2).sum()).sum())
        shown = (s / s[0].clip(1e-30)).clip(1e-7)
        ax.plot(np.arange(1, len(s) + 1), shown, label=label, markevery=[most], **_series(i))
        said.append(f"{most + 1} of {len(s)} ({name})")
    ax.set(yscale="log", xlim=(1, max(2, len(s))), xlabel="direction")
    ax.yaxis.set_major_formatter("{x:g}")
    _label_ends(ax, "singular value / largest", {})
    caption = f"99 % of the sum of squares lie in the directions up to the mark: {', '.join(said)}."
    return fig, caption, f"Line plot, logarithmic, of the singular values of {', '.join(spectra)}."


def _draw_scores(curves, place, xlabel, chance):
    """Lines with intervals from {name: {where: Score}} and {where: its x}."""
    fig, [ax] = _page(7, 3.6, min(1, len(place)))
    caption = "Accuracy on the test pictures, bars are 95 % intervals."
    for i, (name, curve) in enumerate(curves.items()):
        value, bars = _bounds(curve.values())
        beside = 0.008 * (max(place.values()) - min(place.values())) * (i - (len(curves) - 1) / 2)
        ax.errorbar([place[at] + beside for at in curve], value, bars, label=name, elinewidth=1, **_series(i))
    for at in (min(place, key=place.get), max(place, key=place.get)):
        here = _list({name: curve[at] for name, curve in curves.items() if at in curve})
        caption += f" {xlabel.capitalize()} {'all' if at is None else at}: {here}."
    ax.set_xlabel(xlabel)
    ax.set_xticks(list(place.values()), ["all" if at is None else at for at in place])
    _label_ends(ax, "accuracy", {} if chance is None else {"chance": chance})
    return fig, caption, f"Line plot: accuracy by {xlabel}, for {', '.join(curves)}."


def _draw_dots(table, chance):
    """Dots with intervals from {name: {row: Score}}, each row a little apart for each name."""
    rows = list(dict.fromkeys(row for scores in table.values() for row in scores))
    fig, [ax] = _page(7, 0.9 + (0.16 + 0.13 * len(table)) * len(rows), min(1, len(rows)))
    for i, (name, scores) in enumerate(table.items()):
        value, bars = _bounds(scores.values())
        places = [rows.index(row) + 0.55 * ((i + 0.5) / len(table) - 0.5) for row in scores]
        ax.errorbar(value, places, xerr=bars, label=name, linestyle="", elinewidth=1.2, **_series(i))
    if chance is not None:
        ax.axvline(chance, label=f"chance {chance:.3g}", color=_colour("grey"), linewidth=0.8, linestyle="--")
    ax.set(yticks=range(len(rows)), yticklabels=rows, ylim=(len(rows) - 0.5, -0.5), xlim=(min(0, ax.get_xlim()[0]), 1))
    ax.tick_params(axis="y", length=0)
    fig.legend(loc="outside upper center", ncols=3, handlelength=1.2)
    caption = "Bars are 95 % intervals." + "".join(f" {name}: {_list(row)}." for name, row in list(table.items())[:2])
    spoken = "".join(f" {name}: {_list(row)}." for name, row in table.items())
    return fig, caption, f"Dots with intervals.{spoken}"


def _draw_map(ax, y, labels, names, alpha: float = 0.85):
    """Points without axes, which would mean nothing. Returns the points and {class: name}, empty if there are none."""
    y, labels = _array("a map", y, 2), np.zeros(0) if labels is None else torch.as_tensor(labels).cpu().numpy()
    require(y.shape[1] == 2, f"a map has positions (N, 2), this one has shape {y.shape}.")
    require(len(labels) in (0, len(y)), f"labels has {len(labels)} entries, but the map has {len(y)} points.")
    ax.set(xticks=[], yticks=[], aspect="equal", adjustable="datalim")
    ax.spines[:].set_visible(False)
    dots = dict(s=float(np.clip(9000 / len(y), 3, 22)), alpha=alpha, linewidths=0)
    if not len(labels):
        ax.scatter(*y.T, color=_colour(7), **dots)
    elif labels.dtype.kind == "f":
        drawn = ax.scatter(*y.T, c=labels, cmap="viridis", **dots)
        ax.figure.colorbar(drawn, ax=ax, shrink=0.5, label=names).outline.set_visible(False)
    else:
        mixed = np.random.default_rng(0).permutation(len(y))  # else the last class would cover the others
        for m, marker in enumerate(MARKERS):
            of = mixed[labels[mixed] // 10 % 4 == m]
            ax.scatter(*y[of].T, c=[_colour(int(c)) for c in labels[of]], marker=marker, **dots)
        return y, {int(c): _name(c if names is None else names[c]) for c in np.unique(labels)}
    return y, {}


def _draw_pictures(ax, y, images, labels) -> int:
    """Draw pictures in the place of points, as many as fit without overlap."""
    from matplotlib.offsetbox import AnnotationBbox, OffsetImage

    images, taken = _pictures(images), []
    require(len(images) == len(y), f"images has {len(images)} pictures, but the map has {len(y)} points.")
    apart = 0.33 * (np.ptp(y, axis=0) / (6.4, 4.7)).max()  # 0.33 inches, in units of the map
    for i in np.random.default_rng(0).permutation(len(y)):
        if not taken or np.abs(y[taken] - y[i]).max(1).min() > apart:
            taken.append(i)
            frame = dict(edgecolor=_colour("grey" if labels is None else int(labels[i])), linewidth=1.3)
            picture = OffsetImage(images[i], zoom=18 / images.shape[1], interpolation="nearest")
            ax.add_artist(AnnotationBbox(picture, y[i], pad=0.1, bboxprops=frame)).set_in_layout(False)
    return len(taken)


def _name_clusters(ax, y, labels, classes) -> bool:
    """Write the name of each class in the middle of its points, unless names would overlap."""
    from matplotlib.patheffects import withStroke

    middles = [np.median(y[np.asarray(labels) == c], axis=0) for c in classes]
    room = np.array([0.09 * max(map(len, classes.values())), 0.18]) * np.ptp(y, axis=0).max() / 4.8  # of a name, inches
    fits = not any((np.abs(a - b) < room).all() for a, b in combinations(middles, 2))
    halo = [withStroke(linewidth=3, foreground=_colour("paper"))]
    for middle, name in zip(middles if fits else [], classes.values()):
        ax.text(*middle, name, ha="center", va="center", weight="bold", path_effects=halo)
    return fits


def _draw_matrix(ax, matrix, title: str):
    """A small heat map; if its numbers are few they are written into it, in colours pale enough to read them."""
    few = matrix if matrix.size <= 9 else np.zeros((0, 0))
    limit = np.abs(matrix).max() * (1.7 if few.size else 1)
    ax.imshow(matrix, vmin=-limit, vmax=limit, aspect="equal")
    ax.set_title(title)
    for (i, j), value in np.ndenumerate(few):
        ax.text(j, i, f"{value:z.2f}", ha="center", va="center", size=8, color=_colour("ink"))


def _legend(fig, classes, **where):
    from matplotlib.lines import Line2D

    if len(classes) <= 40:  # as many as there are marks that differ
        marks = [Line2D([], [], linestyle="", color=_colour(c), marker=MARKERS[c // 10 % 4]) for c in classes]
        where["ncols"] = max(1, min(where["ncols"], 100 // (4 + max(map(len, classes.values())))))  # as many as fit
        fig.legend(marks, classes.values(), handletextpad=0.2, **where)


def _name(given) -> str:
    """A name that somebody else has given, as it stands in a figure: short, and no formula."""
    return f"{given!s:.40}".replace("$", r"\$")


def _bounds(scores):
    """Values (n,) of Scores or plain numbers, and how far their intervals reach down and up, (2, n)."""
    bounds = [(float(s), getattr(s, "low", float(s)), getattr(s, "high", float(s))) for s in scores]
    value, low, high = np.array(bounds).T
    return value, np.clip([value - low, high - value], 0, None)


def _list(numbers: Mapping) -> str:
    return ", ".join(f"{name} {float(number):z.2f}" for name, number in numbers.items())


def _pictures(x):
    """(N, C, H, W) to (N, H, W, 3) in [0, 1]. One channel is gray; what is transparent shows light grey."""
    x = torch.as_tensor(x)
    require(
        x.ndim == 4 and x.shape[1] in (1, 3, 4), f"pictures are (N, C, H, W) with C 1, 3 or 4, not {tuple(x.shape)}."
    )
    x = np.moveaxis(_array("pictures", x / 255 if x.dtype == torch.uint8 else x.clip(0, 1), 4), 1, 3)
    if x.shape[3] == 4:
        x = x[..., :3] * x[..., 3:] + 0.85 * (1 - x[..., 3:])
    return np.broadcast_to(x, (*x.shape[:3], 3))


def _array(name, x, ndim: int):
    x = torch.as_tensor(x).detach().cpu().double().numpy()
    good = x.ndim == ndim and x.size > 0 and np.isfinite(x).all()
    require(good, f"{name} must hold finite numbers in {ndim} dimension{'s' * (ndim > 1)}, but has shape {x.shape}.")
    return x

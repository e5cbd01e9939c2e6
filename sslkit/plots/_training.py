"""Numbers over the steps of a training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from sslkit.errors import require
from sslkit.plots._parts import dashed, label_ends, page, series, to_array
from sslkit.plots._style import in_style


@in_style
def loss_curve(rows: Sequence[Mapping], references: Mapping[str, float] | None = None, *, finished: bool = False):
    """The loss during training with the reference values of its method, and below it the online kNN and the rank.

    rows: "step", "loss" and now and then "knn" and "rankme", as in `history.rows`. references: {name: value}, as from
    `method.reference_values(batch_size)`; no other line is drawn. The thick line is the mean of the latest 2 % of rows.
    finished: the last look was taken of an encoder to which something was added after training; it stands apart.
    """
    references, tracks, said = references or {}, {}, []
    for name, key in {"loss": "loss", "online kNN accuracy": "knn", "RankMe": "rankme"}.items():
        if points := [(row["step"], row[key]) for row in rows if np.isfinite(row.get(key, np.nan))]:
            tracks[name] = np.array(points, dtype=float).T
    require("loss" in tracks, 'rows has no finite "loss": give the history.rows of a run with at least one step.')
    n, last = len(tracks), tracks["loss"][0, -1]
    fig, axes = page(7, 1.1 + 2 / n, n, sharex=True, height_ratios=[2.7, 1, 1][:n])
    for i, (ax, (name, (x, y))) in enumerate(zip(axes, tracks.items())):
        look, window = series(2 * min(i, 1)), 1 + len(y) // 50
        recent = np.convolve(y, np.ones(window) / window, "valid")
        ax.plot(x, y, color=look["color"], linewidth=0.6, alpha=0.0 if finished and i else 0.4)
        marks = dict(label=f"{recent[-1]:.3g}", markevery=1 if len(y) < 50 else [])
        if finished and i and len(y) > 1:
            ax.plot(x[:-1], y[:-1], **look)
            ax.plot(x[-1:], y[-1:], **look | {"markerfacecolor": "none", "linestyle": "", "markersize": 7}, **marks)
        else:
            ax.plot(x[window - 1 :], recent, **marks, **look)
        if name == "online kNN accuracy":
            ax.set_ylim(bottom=0)
        label_ends(ax, name, {} if i else references)
        said.append(f"{name} {y[0]:.3g} to {recent[-1]:.3g}")
    axes[-1].set(xlabel="step", xlim=(0, max(1, last)))
    caption = f"In {last:,.0f} steps: {', '.join(said)}." + dashed(references)
    return fig, caption, f"Line plots over the steps of training: {', '.join(tracks)}."


@in_style
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
    fig, axes = page(9.6, 2.3 if len(runs) == 1 else 2.5, len(panels) + (spectra is not None), 3)
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
            ax.plot(x, y, label=label, markevery=1 if len(y) < 20 else [-1], **series(i))
        ax.set(xlabel="step", xlim=(0, max(1, last)))
        if panels[title] in ("knn", "pairs_found"):  # shares: noise is not blown up
            ax.set_ylim(bottom=0)
        label_ends(ax, heading, {} if number else references or {})
        if not tracks:  # scales of nothing would mean nothing
            ax.set(xticks=[], yticks=ax.get_yticks()[1:-1] if ax.lines else [])
    if spectra is not None:
        ax, length = axes[-1], 2
        for i, (name, s) in enumerate(spectra.items()):
            s = np.sort(to_array(name, s, 1))[::-1]
            length, shown = max(length, len(s)), (s / s[0].clip(1e-30)).clip(1e-7)
            ax.plot(
                np.arange(1, len(s) + 1), shown, label=name if len(spectra) < 3 else "", **series(i) | {"marker": ""}
            )
        ax.set(xlabel="direction", xlim=(1, length))
        if spectra:
            ax.set(yscale="log", ylim=(None, 1))
            ax.yaxis.set_major_formatter("{x:g}")
        else:
            ax.set(xticks=[], yticks=[])
        label_ends(ax, "spectrum: singular value / largest", {})
    if len(runs) > 1:
        from matplotlib.lines import Line2D

        marks = [Line2D([], [], **series(i)) for i in range(len(runs))]
        fig.legend(marks, list(runs), loc="outside upper center", ncols=3 if max(map(len, runs)) < 36 else 2)
    words = [f"{name}: {', '.join(words)}." for name, words in said.items() if words]
    caption = (" ".join(words) or "No step is done yet.") + dashed(references or {})
    drawn = f"over the steps of training: {', '.join(panels)}" + ", and spectra" * (spectra is not None)
    return fig, caption, f"Line plots {drawn}." if tracks else f"Empty plots, {drawn}: nothing was trained yet."

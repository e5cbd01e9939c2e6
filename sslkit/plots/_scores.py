"""Scores with their intervals: as lines, dots and cells, in a race, beside a prediction; and costs that grow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from sslkit.plots._parts import bounds, label_ends, listed, page, places, series, short, to_array, tone
from sslkit.plots._style import in_style


@in_style
def few_label(curves: Mapping[str, Mapping], *, chance: float | None = None):
    """Accuracy against labels per class, {name: {budget: Score}}; the budget None is all labels."""
    budgets = sorted({b for curve in curves.values() for b in curve if b is not None})
    place = {b: np.log(b) for b in budgets}
    if any(None in curve for curve in curves.values()):
        place[None] = np.log(4 * max(budgets, default=1))
    return _draw_scores(curves, place, "labels per class", chance)


@in_style
def difficulty(curves: Mapping[str, Mapping], *, knob: str = "difficulty", chance: float | None = None):
    """Accuracy as the data get harder, {name: {level: Score}}; knob: what the levels are levels of."""
    return _draw_scores(curves, {level: level for curve in curves.values() for level in curve}, knob, chance)


@in_style
def growth(curves: Mapping[str, Mapping], *, xlabel: str, ylabel: str):
    """How a cost grows, {name: {size: cost}}: on logarithmic axes, where a power of the size is a straight line."""
    fig, [ax] = page(7, 3.2, min(1, len(curves)))
    for i, (name, curve) in enumerate(curves.items()):
        ax.plot(list(curve), list(curve.values()), label=name, **series(i))
    sizes = sorted({size for curve in curves.values() for size in curve})
    ax.set(xscale="log", yscale="log", xlabel=xlabel)
    ax.set_xticks(sizes, [f"{size:,}" for size in sizes], minor=False)
    ax.minorticks_off()
    ax.yaxis.set_major_formatter("{x:,g}")
    label_ends(ax, ylabel, {})
    last = {name: curve[max(curve)] for name, curve in curves.items()}
    caption = f"{ylabel[0].upper()}{ylabel[1:]}, {xlabel} {sizes[0]:,} to {sizes[-1]:,}. At the end: {listed(last)}."
    return fig, caption, f"Line plot on logarithmic axes: {ylabel} by {xlabel}, for {', '.join(curves)}."


@in_style
def compare(table: Mapping[str, Mapping], *, chance: float | None = None):
    """A result beside its baselines, {name: {measure: Score}}, the result first."""
    return _draw_dots(table, chance, "accuracy")


@in_style
def factors(matrix: Mapping[str, Mapping]):
    """How much of each factor can be read from each representation, {name: {factor: Score}}: R2 or accuracy, 0 to 1."""
    return _draw_dots(matrix, None, "R², or accuracy where the factor is a class")


@in_style
def factor_matrix(matrix: Mapping[str, Mapping], columns: Mapping[str, str]):
    """What survives: a number in each cell, {row: {factor: Score}}; a row without scores stays empty.

    columns: {factor: its title}. Scores are R2 or accuracy, from 0 (dark) to 1 (bright).
    """
    values = np.array([[float(scores.get(f, np.nan)) for f in columns] for scores in matrix.values()])
    fig, [ax] = page(8, 0.9 + 0.36 * len(matrix), min(1, values.size))
    drawn = ax.imshow(values.clip(0, 1), cmap="cividis", vmin=0, vmax=1, aspect="auto")
    bar = fig.colorbar(drawn, ax=ax, pad=0.02, ticks=[0, 1], aspect=12)
    bar.ax.set_yticklabels(["0: lost", "1: kept"])
    bar.outline.set_visible(False)
    for (row, column), value in np.ndenumerate(values):
        known = np.isfinite(value)
        red, green, blue, _ = drawn.cmap(drawn.norm(np.clip(np.nan_to_num(value), 0, 1)))
        luminance = np.dot([0.2126, 0.7152, 0.0722], np.power([red, green, blue], 2.2))
        colour = ("black" if luminance > 0.18 else "white") if known else tone("grey")
        ax.text(column, row, f"{value:z.2f}" if known else "·", ha="center", va="center", color=colour)
    ax.set_xticks(range(len(columns)), map(short, columns.values()))
    ax.set_yticks(range(len(matrix)), map(short, matrix))
    ax.tick_params(length=0, top=True, labeltop=True, bottom=False, labelbottom=False)
    ax.tick_params(axis="y", colors=tone("ink"))
    ax.spines[:].set_visible(False)
    said = [
        f"{name}: {listed({f: scores[f] for f in columns if f in scores})}."
        for name, scores in matrix.items()
        if scores
    ]
    caption = (
        "How well a linear probe reads each factor from the representation. Go down a column: some rows have lost it."
    )
    alt = f"Heat map of {len(matrix)} sets of views by {len(columns)} factors, a number in each cell. " + " ".join(said)
    return fig, caption, alt.strip()


@in_style
def race(
    scores: Mapping[str, Sequence], *, baselines: Mapping[str, float] | None = None, measure: str = "linear probe"
):
    """Methods at one budget, best first, {name: a score per seed}, beside what any result must beat, {name: score}."""
    values = {name: to_array(name, [float(s) for s in seeds], 1) for name, seeds in scores.items()}
    ranked = sorted(values, key=lambda name: -values[name].mean())
    fig, [ax] = page(7, 0.9 + 0.22 * len(ranked), min(1, len(ranked)))
    for row, name in enumerate(ranked):
        ax.plot(values[name], [row] * len(values[name]), "o", color=tone(0), markersize=4, alpha=0.6, clip_on=False)
        if len(values[name]) > 1:
            ax.plot(values[name].mean(), row, "|", color=tone("ink"), markersize=11, mew=1.6, clip_on=False)
    others = {name: float(value) for name, value in (baselines or {}).items() if name != "chance"}
    for i, (which, (name, value)) in enumerate(zip(places(["the methods", *others])[1:], others.items())):
        label, style = f"{name} {value:.2f}", ("--", ":", "-.", (0, (1, 4)))[i % 4]
        ax.axvline(value, label=label, color=tone(which), linewidth=1.2, linestyle=style)
    ax.set(yticks=range(len(ranked)), yticklabels=ranked, ylim=(len(ranked) - 0.5, -0.5), xlabel=measure)
    ax.grid(axis="y", linewidth=0.3)
    ax.set_axisbelow(True)
    ax.tick_params(axis="y", length=0)
    if others:
        fig.legend(loc="outside upper center", ncols=4)
    caption = (
        "Dots are seeds, a bar is their mean. Who is clear of the lines, and by more than the dots of a row are apart?"
    )
    means = {name: values[name].mean() for name in ranked}
    return (
        fig,
        f"{caption} To be beaten: {listed(baselines)}." if baselines else caption,
        f"Best first: {listed(means)}.",
    )


@in_style
def prediction(
    measured: Sequence, *, guess, low: float | None = None, high: float | None = None, unit: str = "", choices=None
):
    """A prediction beside what was measured, none, one or several times: numbers, or some of the `choices`."""
    measured = list(measured)
    fig, [ax] = page(7, 1.4 if choices is None else 0.8 + 0.28 * len(choices))
    expected = dict(color=tone(1), marker="D", markersize=8, linestyle="")
    if choices is None:
        ax.plot([guess], [0], **expected)
        ax.plot(
            [guess if low is None else low, guess if high is None else high],
            [0, 0],
            color=tone(1),
            linewidth=4,
            alpha=0.4,
        )
        ax.plot(measured, [1] * len(measured), color=tone(2), marker="o", linestyle="", alpha=0.7)
        ax.set(yticks=[0, 1], yticklabels=["predicted", "measured"], ylim=(1.6, -0.6), xlabel=short(unit))
        said = (
            f"{min(measured):.4g} to {max(measured):.4g}"
            if len(set(measured)) > 1
            else "".join(f"{m:.4g}" for m in measured[:1])
        )
        guess = f"{guess:.4g}" + (f" ({low:.4g} to {high:.4g})" if low is not None else "")
    else:
        rows, times = [str(c) for c in choices], [measured.count(c) for c in choices]
        ax.barh(range(len(rows)), times, color=tone(2), height=0.5)
        place = list(choices).index(guess)
        ax.plot([times[place] + 0.04 * max(1, len(measured))], [place], **expected)
        ax.set(yticks=range(len(rows)), yticklabels=map(short, rows), ylim=(len(rows) - 0.5, -0.5))
        ax.set_xlim(0, 1.08 * max(1, len(measured)))
        ax.set_xticks(range(max(1, len(measured)) + 1))
        ax.set_xlabel("times measured")
        said, guess = ", ".join(r for r, t in zip(rows, times) if t), str(guess)
    ax.tick_params(axis="y", length=0)
    unit = f" {unit}" * bool(unit)
    caption = f"Predicted (◆): {guess}{unit}. " + (f"Measured: {said}{unit}." if measured else "Not measured yet.")
    return fig, caption, "A prediction, and beside it what was measured."


def _draw_scores(curves, place, xlabel, chance):
    """Lines with intervals from {name: {where: Score}} and {where: its x}."""
    fig, [ax] = page(7, 3.6, min(1, len(place)))
    caption = "Accuracy on the test pictures, bars are 95 % intervals."
    for i, (which, (name, curve)) in enumerate(zip(places(list(curves)), curves.items())):
        value, bars = bounds(curve.values())
        beside = 0.008 * (max(place.values()) - min(place.values())) * (i - (len(curves) - 1) / 2)
        x, look = [place[at] + beside for at in curve], series(which)
        true = len(x) - 1 if None in curve else len(x)  # "all" has no place on the axis: the way there is dashed
        ax.errorbar(x, value, bars, label=name, elinewidth=1, **look | {"linestyle": ""})
        ax.plot(x[:true], value[:true], color=look["color"])
        ax.plot(x[true - 1 :], value[true - 1 :], color=look["color"], linestyle=(0, (1, 2)))
    for at in (min(place, key=place.get), max(place, key=place.get)):
        here = listed({name: curve[at] for name, curve in curves.items() if at in curve})
        caption += f" {xlabel.capitalize()} {'all' if at is None else at}: {here}."
    ax.set_xlabel(xlabel)
    ax.set_xticks(list(place.values()), ["all" if at is None else at for at in place])
    label_ends(ax, "accuracy", {} if chance is None else {"chance": chance})
    return fig, caption, f"Line plot: accuracy by {xlabel}, for {', '.join(curves)}."


def _draw_dots(table, chance, xlabel):
    """Dots with intervals from {name: {row: Score}}, each row a little apart for each name. A single row needs no legend:
    then the names stand beside their dots."""
    rows = list(dict.fromkeys(row for scores in table.values() for row in scores))
    if single := len(rows) == 1:
        ticks, height, title = list(table), 0.3 * len(table), f"{rows[0]}, {xlabel}"
        place = lambda i, row: i
    else:
        ticks, height, title = rows, (0.16 + 0.13 * len(table)) * len(rows), xlabel
        place = lambda i, row: rows.index(row) + 0.55 * ((i + 0.5) / len(table) - 0.5)
    fig, [ax] = page(7, 0.9 + height, min(1, len(rows)))
    for i, (which, (name, scores)) in enumerate(zip(places(list(table)), table.items())):
        value, bars = bounds(scores.values())
        at = [place(i, row) for row in scores]
        ax.errorbar(value, at, xerr=bars, label=name, linestyle="", elinewidth=1.2, **series(which))
    if chance is not None:
        ax.axvline(chance, label=f"chance {chance:.3g}", color=tone("grey"), linewidth=0.8, linestyle="--", zorder=0)
    ax.set(yticks=range(len(ticks)), yticklabels=ticks, ylim=(len(ticks) - 0.5, -0.5))
    ax.set(xlim=(min(0, ax.get_xlim()[0]), 1), xlabel=title)
    ax.tick_params(axis="y", length=0)
    if single and chance is not None:
        ax.annotate(f"chance {chance:.3g}", (chance, 1), (3, 2), ("data", "axes fraction"), "offset points", size=8)
    elif not single:
        lines, names = ax.get_legend_handles_labels()
        order = sorted(range(len(names)), key=lambda i: names[i].startswith("chance"))  # chance last
        look = dict(loc="outside upper center", ncols=3, handlelength=1.2)
        fig.legend([lines[i] for i in order], [names[i] for i in order], **look)
    spoken = "".join(f" {name}: {listed(row)}." for name, row in table.items())
    return fig, f"Bars are 95 % intervals.{_best(table, rows[0])}", f"Dots with intervals.{spoken}"


def _best(table, row) -> str:
    """By the first row: the first of a table, and the best of the others."""
    scores = {name: float(scores[row]) for name, scores in table.items() if row in scores}
    if len(scores) < 2 or next(iter(table)) not in scores:
        return ""
    first, *others = scores
    rival = max(others, key=scores.get)
    return f" By {row}: {first} {scores[first]:z.2f}; the best of the others is {rival}, {scores[rival]:z.2f}."

"""Maps of features: one, several side by side, and one beside its noise twin."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations

import numpy as np
import torch

from sslkit.errors import require
from sslkit.plots._parts import class_legend, listed, page, short, to_array, to_pictures, tone
from sslkit.plots._style import MARKERS, in_style, settle


@in_style
def map2d(y, labels=None, *, names=None, images=None, measures: Mapping[str, float] | None = None, method: str = "Map"):
    """A map (N, 2), coloured by class (whole numbers) or by value (floats); with images, some points are pictures.

    names: of the classes, indexed by label; or what the values are. measures: {name: number}, say its trustworthiness.
    """
    fig, [ax] = page(7, 5.2)
    y, classes = _draw_map(ax, y, labels, names, alpha=0.85 if images is None else 0.6)
    caption = f"{method} of {len(y):,} pictures{': ' * bool(measures)}{listed(measures or {})}."
    if "sne" in method.lower():
        caption += " Only neighbourhoods mean something: sizes of clusters and distances between them do not."
    if classes:
        caption += f" Colour: {len(classes)} classes, of which the map knows nothing."
        if images is not None or not _name_clusters(ax, y, labels, classes):
            class_legend(fig, classes, loc="outside right center", ncols=1 + len(classes) // 20)
    if images is not None:
        caption += f" {_draw_pictures(ax, y, images, labels if classes else None)} points are shown as pictures."
    kinds = f" in {len(classes)} classes: {', '.join(classes.values())}" if classes else ""
    return fig, caption, f"{method}, a scatter plot of {len(y):,} points{kinds}."


@in_style
def maps_grid(maps: Mapping, labels=None, *, names=None, measures: Mapping[str, Mapping] | None = None):
    """Maps side by side, {title: (N, 2)}: seeds, perplexities, encoders, a noise twin.

    labels: one set, or {title: labels} where they differ (a noise twin has none). measures: {title: {name: number}}.
    """
    legend, measures, columns = {}, measures or {}, min(3, len(maps))
    fig, axes = page(7, 0.35 + 6.5 / max(1, columns), len(maps), columns)
    fig.get_layout_engine().set(h_pad=0.12)  # inches: numbers below a map keep away from the title of the next one
    for ax, (title, y) in zip(axes, maps.items()):
        legend |= _draw_map(ax, y, labels.get(title) if isinstance(labels, Mapping) else labels, names)[1]
        ax.set_title(title, loc="center")
        ax.set_xlabel(listed(measures.get(title, {})).replace(", ", "\n"))
    if legend:
        class_legend(fig, legend, loc="outside lower center", ncols=5)
    caption = f"{len(maps)} maps. Compare who is whose neighbour, not where: places and sizes change from map to map."
    said = "".join(f" {title}: {listed(numbers)}." for title, numbers in measures.items())
    return fig, caption, f"{len(maps)} scatter plots: {', '.join(maps)}.{said}"


@in_style
def honest_map(
    y, labels=None, *, twin, names=None, measures: Mapping[str, Mapping], point: int, true, seen, images=None
):
    """A map y (N, 2) beside the map of its noise twin (N, 2), with one point's true neighbours and those on the map.

    true, seen: (k,) numbers of points. measures: {"features" or "noise twin": {name: number}}. images: (N, C, H, W).
    """
    count = 2 if images is None else 4
    fig, axes = page(7, 3.3 if count == 2 else 2.9, count, 2, **({} if count == 2 else {"height_ratios": (3.3, 0.9)}))
    legend = {}
    for ax, (title, places) in zip(axes, {"features": y, "noise twin": twin}.items()):
        drawn, found = _draw_map(ax, places, labels if title == "features" else None, names, alpha=0.7)
        legend |= found
        ax.set_title(title)
        ax.set_xlabel(listed(measures.get(title, {})).replace(", ", "\n"))
        if title == "features":
            for i in true.tolist():
                ax.plot(*drawn[[point, i]].T, color=tone("ink"), linewidth=0.9)
            ax.scatter(*drawn[seen].T, s=60, facecolors="none", edgecolors=tone("ink"), linewidths=0.9)
            ax.plot(*drawn[point], color=tone("ink"), marker="X", markersize=7)
    both = len(set(true.tolist()) & set(seen.tolist()))
    for ax, (title, which) in zip(axes[2:], {"true neighbours": true, "neighbours on the map": seen}.items()):
        strip = np.concatenate(to_pictures(torch.as_tensor(images)[[point, *which.tolist()[:6]]]), axis=1)
        ax.imshow(strip)
        ax.axvline(strip.shape[1] / (1 + len(which[:6])) - 0.5, color=tone("paper"), linewidth=4)
        ax.set_title(f"point {point}, and its {title}", fontsize=8)
        ax.axis("off")
    if legend:
        class_legend(fig, legend, loc="outside lower center", ncols=5)
    caption = f"Point {point} (✕): lines lead to its {len(true)} true nearest neighbours, rings are those on the map;"
    caption += (
        f" {both} of {len(true)} are both. The twin is noise of the same covariance: what you see in it means nothing."
    )
    caption += "".join(f" {title}: {listed(numbers)}." for title, numbers in measures.items())
    return fig, caption, f"Scatter plots of {len(y)} points and of as many of a noise twin."


def _draw_map(ax, y, labels, names, alpha: float = 0.85):
    """Points without axes, which would mean nothing. Returns the points and {class: name}, empty if there are none."""
    y, labels = to_array("a map", y, 2), np.zeros(0) if labels is None else torch.as_tensor(labels).cpu().numpy()
    require(y.shape[1] == 2, f"a map has positions (N, 2), this one has shape {y.shape}.")
    require(len(labels) in (0, len(y)), f"labels has {len(labels)} entries, but the map has {len(y)} points.")
    ax.set(xticks=[], yticks=[], aspect="equal", adjustable="datalim")
    ax.spines[:].set_visible(False)
    dots = dict(s=float(np.clip(9000 / len(y), 6, 22)), alpha=alpha, linewidths=0)
    if not len(labels):
        ax.scatter(*y.T, color=tone(7), **dots)
    elif labels.dtype.kind == "f":
        drawn = ax.scatter(*y.T, c=labels, cmap="viridis", **dots)
        ax.figure.colorbar(drawn, ax=ax, shrink=0.5, label=names).outline.set_visible(False)
    else:
        mixed = np.random.default_rng(0).permutation(len(y))  # else the last class would cover the others
        for m, marker in enumerate(MARKERS):
            of = mixed[labels[mixed] // 10 % 4 == m]
            ax.scatter(*y[of].T, c=[tone(int(c)) for c in labels[of]], marker=marker, **dots)
        known = lambda c: names is not None and 0 <= c < len(names)
        return y, {int(c): short(names[c] if known(c) else c) for c in np.unique(labels)}
    return y, {}


def _draw_pictures(ax, y, images, labels) -> int:
    """Draw pictures in the place of points, as many as fit without overlap."""
    from matplotlib.offsetbox import AnnotationBbox, OffsetImage

    images, taken = to_pictures(images), []
    require(len(images) == len(y), f"images has {len(images)} pictures, but the map has {len(y)} points.")
    settle(ax.figure)  # now the legend has taken its room, and places are known
    inches = ax.transData.transform(y) / ax.figure.dpi
    for i in np.random.default_rng(0).permutation(len(y)):
        if not taken or np.abs(inches[taken] - inches[i]).max(1).min() > 0.34:
            taken.append(i)
            frame = dict(edgecolor=tone("grey" if labels is None else int(labels[i])), linewidth=1.3)
            picture = OffsetImage(images[i], zoom=18 / images.shape[1], interpolation="nearest")
            ax.add_artist(AnnotationBbox(picture, y[i], pad=0.1, bboxprops=frame)).set_in_layout(False)
    return len(taken)


def _name_clusters(ax, y, labels, classes) -> bool:
    """Write the name of each class in the middle of its points, unless names would overlap."""
    from matplotlib.patheffects import withStroke

    middles = [np.median(y[np.asarray(labels) == c], axis=0) for c in classes]
    room = np.array([0.09 * max(map(len, classes.values())), 0.18]) * np.ptp(y, axis=0).max() / 4.8  # of a name, inches
    fits = not any((np.abs(a - b) < room).all() for a, b in combinations(middles, 2))
    halo = [withStroke(linewidth=3, foreground=tone("paper"))]
    for middle, name in zip(middles if fits else [], classes.values()):
        ax.text(*middle, name, ha="center", va="center", weight="bold", path_effects=halo)
    return fits

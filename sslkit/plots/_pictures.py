"""Pictures beside pictures: views, what was made of them, neighbours, and the matrices of one view."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from sslkit.errors import require
from sslkit.plots._parts import page, to_array, to_pictures, tone
from sslkit.plots._style import in_style

GAP = 0.25  # between a picture and what belongs to it, in pictures


@in_style
def views_grid(images, views: Sequence):
    """Pictures (N, C, H, W) on the left, and to the right of each its views: V sets of N pictures."""
    n, v = len(images), len(views)
    fig, _ = _draw_shelf(images, views, [f"view {i + 1}" for i in range(v)])
    caption = f"{n} pictures (left) and {v} random views of each. The encoder is shown nothing but views."
    return fig, caption, f"Grid of {n} rows: a picture, then {v} augmented views of it."


@in_style
def repainted(images, pictures: Mapping, *, first: str = "picture"):
    """Pictures (N, C, H, W) on the left, and to the right what was made of them, {title: N pictures}. first: its title."""
    fig, _ = _draw_shelf(images, list(pictures.values()), list(pictures), first=first)
    made = ", ".join(pictures)
    caption = f"{len(images)} pictures (left), and of each: {made}."
    return fig, caption, f"Grid of {len(images)} rows: {first}, then {made}."


@in_style
def neighbours(queries, found, hits=None, *, overall: float | None = None):
    """Pictures (Q, C, H, W) on the left, and to the right of each the k most similar ones: (Q, k, C, H, W).

    hits: (Q, k), true where a neighbour is right, which is marked below it. overall: the same share, of many more pictures.
    """
    found, hits = torch.as_tensor(found), np.zeros((0, 0)) if hits is None else np.asarray(hits, dtype=bool)
    q, k = found.shape[:2]
    require(hits.shape in [(0, 0), (q, k)], f"hits must have shape ({q}, {k}), one mark for each neighbour.")
    pitch = 1.22 if hits.size else 1.0
    fig, ax = _draw_shelf(queries, found.unbind(1), range(1, k + 1), pitch)
    for (i, j), hit in np.ndenumerate(hits):
        look = dict(color=tone("grey")) if hit else dict(color=tone(1), size=11, weight="bold")
        ax.text(j + 1.5 + GAP, i * pitch + 1.06, "✓" if hit else "✗", ha="center", va="center", **look)
    caption = f"{q} pictures (left) and the {k} most similar to each in the representation, nearest first."
    caption += f" {hits.sum()} of {hits.size} ({hits.mean():.0%}) are right (✓)." if hits.size else ""
    caption += (
        ""
        if overall is None
        else f" These rows were drawn at random; of the neighbours of all test pictures {overall:.0%} are right."
    )
    return fig, caption, f"Grid of {q} rows: a picture, then its {k} nearest neighbours."


@in_style
def view_by_hand(image, view, rows, columns, colour=None):
    """One picture (C, H, W), one view of it (C, h, w), and the matrices that made it, as from `augment.matrices`.

    rows: (h, H), columns: (w, W), colour: (C, C) or None, which stands for "as it was".
    """
    rows, columns = to_array("rows", rows, 2), to_array("columns", columns, 2)
    colour = np.eye(len(view)) if colour is None else to_array("colour", colour, 2)
    require(rows.shape[1] == image.shape[1], f"rows {rows.shape} must have as many columns as the picture has rows.")
    fig, axes = page(7, 1.75, 5, 5)
    for ax, picture, title in zip(axes, (image, view), ("picture", "view")):
        ax.imshow(to_pictures(picture[None])[0])
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


def _draw_shelf(firsts, rests, titles, pitch: float = 1.0, *, first: str = "picture"):
    """Rows of pictures: the first, a gap, and the rest. A picture is one unit wide, the rows are `pitch` apart."""
    sets = [to_pictures(pictures) for pictures in (firsts, *rests)]
    require(len(sets) > 1 and len(set(map(len, sets))) == 1, f"next to {len(sets[0])} pictures must stand as many.")
    width, height = len(sets) + GAP, len(sets[0]) * pitch + 0.3
    inch = min(0.95, 7 / width)
    fig, [ax] = page(width * inch, height * inch)
    for column, (pictures, title) in enumerate(zip(sets, [first, *titles])):
        x = column + GAP * (column > 0)
        ax.text(x + 0.5, -0.08, title, ha="center", va="bottom", color=tone("grey"))
        for row, picture in enumerate(pictures):
            ax.imshow(picture, extent=(x + 0.03, x + 0.97, row * pitch + 0.94, row * pitch))
    ax.set(xlim=(0, width), ylim=(height - 0.3, -0.3))
    ax.axis("off")
    return fig, ax


def _draw_matrix(ax, matrix, title: str):
    """A small heat map; if its numbers are few they are written into it, in colours pale enough to read them."""
    few = matrix if matrix.size <= 9 else np.zeros((0, 0))
    limit = np.abs(matrix).max() * (1.7 if few.size else 1)
    ax.imshow(matrix, vmin=-limit, vmax=limit, aspect="equal")
    ax.set_title(title)
    for (i, j), value in np.ndenumerate(few):
        ax.text(j, i, f"{value:z.2f}", ha="center", va="center", size=8, color=tone("ink"))

"""Cosines of embeddings: their matrix, and a contrastive loss on the circle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch.nn.functional import normalize

from sslkit.errors import require
from sslkit.plots._parts import label_ends, page, series, to_array, tone
from sslkit.plots._style import MARKERS, in_style


@in_style
def similarity_matrix(z1, z2=None):
    """Cosines of the embeddings (B, D) of first and second views, or their matrix (B, B). The diagonal: pairs."""
    s = to_array("z1", z1, 2)
    if z2 is not None:
        z2 = to_array("z2", z2, 2)
        require(
            s.shape == z2.shape, f"z1 has shape {s.shape} and z2 {z2.shape}, but row i of both must show picture i."
        )
        s = (normalize(torch.tensor(s)) @ normalize(torch.tensor(z2)).T).numpy()
    n, pairs = len(s), np.diag(s)
    require(s.shape == (n, n) and n > 1, f"the matrix of cosines has shape {s.shape}, but must be (B, B) with B > 1.")
    fig, [ax] = page(4.8, 4)
    fig.colorbar(ax.imshow(s, vmin=-1, vmax=1), shrink=0.6, ticks=[-1, 0, 1], label="cosine").outline.set_visible(False)
    ax.set(xlabel="second views", ylabel="first views", xticks=[], yticks=[])
    others, first = (s.sum() - pairs.sum()) / (n * n - n), (s.argmax(1) == np.arange(n)).mean()
    caption = f"The {n} pairs, on the diagonal, have a mean cosine of {pairs.mean():z.2f}, all others {others:z.2f}. "
    return fig, f"{caption}In {first:.0%} of the rows the pair is the most similar.", f"Heat map of {n} by {n} cosines."


@in_style
def loss_on_circle(z1, z2, arrows, answers, *, anchor: int, history: Sequence[float], references: Mapping[str, float]):
    """A contrastive loss in the plane: first views z1 and second views z2 (N, 2) of N pictures, of length 1.

    arrows: (2N, 2) where each point wants to go. answers: (2N,) the probabilities of the anchor's answers, 0 for the
    anchor itself. history: the loss, oldest first. references: {name: value} of the loss.
    """
    z, arrows, answers = (
        to_array("z1, z2", torch.cat([z1, z2]), 2),
        to_array("arrows", arrows, 2),
        to_array("answers", answers, 1),
    )
    n, partner = len(z) // 2, (anchor + len(z) // 2) % len(z)
    require(z.shape == arrows.shape == (len(answers), 2), f"arrows must have shape {z.shape}, and answers ({len(z)},).")
    names = [f"{i % n + 1}{'ab'[i // n]}" for i in range(2 * n)]
    fig, (circle, cosines, bars, loss) = page(7, 3.2, 4, 2, width_ratios=(1.3, 1))
    fig.get_layout_engine().set(rect=(0, 0, 0.97, 1))  # room for the labels of the loss
    turn = np.linspace(0, 2 * np.pi, 200)
    circle.plot(np.cos(turn), np.sin(turn), color=tone("grey"), linewidth=0.6)
    for i in set(range(2 * n)) - {anchor}:
        style = dict(linestyle=":", color=tone("ink")) if i == partner else dict(color=tone(i % n), alpha=0.6)
        circle.plot(*z[[anchor, i]].T, linewidth=5 * (1 - answers[i] if i == partner else answers[i]), **style)
    size = np.linalg.norm(arrows, axis=1)
    scale = 0.45 / max(size.max(), 0.01)  # near the end, where no arrow is left to see, they may vanish
    for i, (point, arrow) in enumerate(zip(z, arrows)):
        circle.plot(*point, color=tone(i % n), marker=MARKERS[i // n], markersize=8 if i == anchor else 5.5)
        circle.annotate("", point + scale * arrow, point, arrowprops=dict(arrowstyle="->", color=tone("ink")))
        circle.text(
            *(1.17 if i < n else 0.82) * point,
            names[i],
            ha="center",
            va="center",
            weight="bold" if i == anchor else None,
        )
    circle.set(xlim=(-1.25, 1.25), ylim=(-1.25, 1.25), aspect="equal", title=f"anchor {names[anchor]}")
    circle.axis("off")
    beside = cosines.inset_axes([1.05, 0, 0.05, 1])
    fig.colorbar(cosines.imshow(z @ z.T, vmin=-1, vmax=1), cax=beside, ticks=[-1, 0, 1]).outline.set_visible(False)
    halves = dict(ticks=[(n - 1) / 2, n + (n - 1) / 2], labels=["first views", "second views"])
    cosines.set_title("cosines")
    cosines.set_xticks(**halves)
    cosines.set_yticks(**halves, rotation=90, va="center")
    cosines.tick_params(length=0)
    others = [i for i in range(2 * n) if i != anchor]
    bars.bar([names[i] for i in others], answers[others], color=[tone(i % n) for i in others])
    bars.set(ylim=(0, 1), title=f"who is the partner of {names[anchor]}? ({names[partner]})", ylabel="probability")
    loss.plot(range(len(history)), history, label=f"{history[-1]:.3g}", markevery=[-1], **series(2))
    loss.set(xlabel="step", xlim=(0, max(1, len(history) - 1)))
    loss.xaxis.get_major_locator().set_params(integer=True)
    label_ends(loss, "loss", references)
    hardest = max(set(others) - {partner}, key=lambda i: answers[i])
    caption = (
        f"Arrows: where each view wants to go; the longest has length {size.max():.2g}. Lines: how hard each negative"
    )
    caption += (
        f" pushes anchor {names[anchor]} ({names[hardest]} hardest, {answers[hardest]:.2f}), and, dotted, how hard"
    )
    caption += f" its partner pulls ({1 - answers[partner]:.2f}). Loss {history[-1]:.3f}; dashed: its references."
    return fig, caption, f"{2 * n} points with arrows on a circle, their cosines, the anchor's answers, and the loss."

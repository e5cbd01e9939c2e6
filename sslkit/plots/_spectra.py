"""Singular values of features: a cliff is a collapse."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from sslkit.plots._parts import label_ends, page, places, series, to_array
from sslkit.plots._style import in_style


@in_style
def spectrum(spectra: Mapping[str, torch.Tensor]):
    """Singular values of features, {name: (D,)}, of a result and its baselines. A cliff is a collapse."""
    return _draw_spectra(spectra, spectra)


@in_style
def collapse(reports: Mapping[str, Mapping]):
    """The spectrum and the numbers that betray a collapse: {name: `evaluation.collapse(features)`}."""
    labels = [f"{name}\nstd {r['std']:.3f}, RankMe {r['rankme']:.1f}" for name, r in reports.items()]
    fig, caption, alt = _draw_spectra({name: r["spectrum"] for name, r in reports.items()}, labels)
    return fig, " ".join([*(f"{name} is {r['verdict']}" for name, r in reports.items()), caption]), alt


def _draw_spectra(spectra, labels):
    fig, [ax] = page(7, 3.4, min(1, len(spectra)))
    said = []
    for i, (name, s), label in zip(places(list(spectra)), spectra.items(), labels):
        s = np.sort(to_array(name, s, 1))[::-1]
        most = int((np.cumsum(s**2) < 0.99 * (s**2).sum()).sum())
        shown = (s / s[0].clip(1e-30)).clip(1e-7)
        ax.plot(np.arange(1, len(s) + 1), shown, label=label, markevery=[most], **series(i))
        said.append(f"{most + 1} of {len(s)} ({name})")
    ax.set(yscale="log", xlim=(1, max(2, len(s))), xlabel="direction")
    ax.yaxis.set_major_formatter("{x:g}")
    label_ends(ax, "singular value / largest", {})
    caption = f"99 % of the sum of squares lie in the directions up to the mark: {', '.join(said)}."
    return fig, caption, f"Line plot, logarithmic, of the singular values of {', '.join(spectra)}."

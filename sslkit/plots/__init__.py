"""Figures: arrays and plain objects in, a matplotlib `Figure` out that carries its own caption and alt text.

`figure.caption` says what to look at, with the numbers; `figure.alt` says what is drawn, to those who cannot see it. A
notebook shows picture, caption and alt text; so does `html(figure)`. Every function takes `theme="light"` or "dark".

Pictures are (N, C, H, W), uint8 or float in [0, 1]. A score is an `evaluation.Score`, or a number without an interval.
Nothing here touches pyplot, and the user's rcParams neither change nor matter: each figure is made in its own style.
"""

# ruff: noqa: F401 (this file is the list of what is public)
from sslkit.plots._cosines import loss_on_circle, similarity_matrix
from sslkit.plots._maps import honest_map, map2d, maps_grid
from sslkit.plots._pictures import neighbours, repainted, view_by_hand, views_grid
from sslkit.plots._scores import compare, difficulty, factor_matrix, factors, few_label, growth, prediction, race
from sslkit.plots._spectra import collapse, spectrum
from sslkit.plots._style import COLOURS, TONES, html
from sslkit.plots._training import loss_curve, training

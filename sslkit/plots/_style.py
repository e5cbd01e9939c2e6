"""Our own style, light and dark, and what makes a matplotlib figure one that tells its caption and alt text."""

from __future__ import annotations

import warnings
from base64 import b64encode
from contextlib import contextmanager
from functools import partial, wraps
from html import escape
from io import BytesIO
from threading import RLock

from sslkit.errors import unknown

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


def html(figure, *, dpi: int = 144) -> str:
    """The figure as one self-contained `<figure>`: the picture with its alt text, and the caption below."""
    from PIL import Image

    drawn, png = BytesIO(), BytesIO()
    figure.savefig(drawn, format="png", dpi=dpi)
    Image.open(drawn).convert("RGB").quantize(256).save(png, format="png", optimize=True)  # a third of the size
    source = f"data:image/png;base64,{b64encode(png.getvalue()).decode()}"
    image = f'<img style="width: 100%; border-radius: 6px" alt="{escape(figure.alt)}" src="{source}">'
    caption = f'<figcaption style="overflow-wrap: anywhere; line-height: 1.45">{escape(figure.caption)}</figcaption>'
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


def settle(figure) -> None:
    """Give everything its place. A map was made for another place than the layout found for it: it is fitted anew."""
    figure.draw_without_rendering()
    if maps := [ax for ax in figure.axes if ax.get_adjustable() == "datalim"]:
        for ax in maps:
            ax.autoscale()
        figure.draw_without_rendering()


def in_style(draw):
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
            settle(figure)  # ticks and places are made at the last moment: now, and for good
            figure.set_layout_engine("none")
        figure.savefig = partial(_save, figure.savefig)
        figure._repr_html_, figure._ipython_display_ = partial(html, figure), partial(_display, figure)
        return figure

    return styled

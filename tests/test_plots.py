"""Figures: words carry the numbers, letters can be read, colours can be told apart, and nobody is disturbed."""

import base64
import io
import json
import subprocess
import sys
from html.parser import HTMLParser
from itertools import combinations

import matplotlib
import matplotlib.style
import numpy as np
import pytest
import torch
from matplotlib import colors
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from matplotlib.offsetbox import AnnotationBbox
from matplotlib.text import Text
from PIL import Image

from sslkit import plots
from sslkit.evaluation import Score, collapse

RNG = np.random.default_rng(0)
PICTURES = torch.randint(0, 256, (24, 3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
HITS = np.arange(12).reshape(3, 4) % 3 != 1  # 8 of 12
ROWS = [{"step": step, "loss": 4.5 + 1.7 * 0.99**step} for step in range(0, 501, 5)]
ROWS[0] |= {"knn": 0.41, "rankme": 3.2}
ROWS[-1] |= {"knn": 0.73, "rankme": 38.4}
REFERENCES = {"collapsed": 6.236, "orthogonal": 4.249, "bound": 4.241}
SPECTRA = {"trained": torch.tensor([1.0, 1.0, 1e-3, 1e-4]), "untrained": torch.tensor([3.0, 1e-3, 1e-3, 1e-4])}
GROUPS = np.arange(240) % 12
ANGLES = torch.tensor([0.3, 2.0, 4.2, 1.0, 2.9, 5.2]).double()
ANGLES = torch.stack([ANGLES.cos(), ANGLES.sin()], 1)  # six points on a circle
CLUSTERS = 40 * np.stack([GROUPS % 4, GROUPS // 4], 1) + RNG.normal(size=(240, 2))  # far apart
HEAP = RNG.normal(size=(240, 2))  # all classes on one heap
NAMES = [f"class {i}" for i in range(12)]


def score(value, reach=0.02):
    return Score(value, value - reach, value + reach, 2000)


CURVES = {
    name: {1: score(value), 10: score(value + 0.1), None: score(value + 0.11)}
    for name, value in {"result": 0.6, "random encoder": 0.301, "raw pixels": 0.3, "PCA": 0.299, "z": 0.2}.items()
}
LEVELS = {name: {0.0: score(0.9), 0.5: 0.5, 1.0: 0.25} for name in ("result", "raw pixels")}  # plain numbers too
TABLE = {name: {"kNN": curve[10], "linear probe": curve[None]} for name, curve in CURVES.items()}
FACTORS = {
    "result": {"hue": score(0.12), "size": score(0.81)},
    "random encoder": {"hue": score(0.52), "texture": -0.05},
}
PANELS = {"loss": "loss", "online kNN accuracy": "knn", "RankMe": "rankme"}
MATRIX = {
    "crop": {"hue": score(0.5), "ground_hue": score(1.0)},
    "flip": {},
    "hue + flip": {"hue": -0.05, "ground_hue": 0.5},
}
REPORTS = {
    "trained": collapse(torch.randn(200, 16, generator=torch.Generator().manual_seed(0))),
    "collapsed": collapse(torch.ones(200, 16)),
}

COSTS = {"all at once": {64: 2, 256: 32, 1024: 512.0}, "by rows": {64: 2, 256: 6, 1024: 20.0}}

FIGURES = {
    "views_grid": lambda **o: plots.views_grid(PICTURES[:4], [PICTURES[4:8] / 255, PICTURES[8:12] / 255], **o),
    "repainted": lambda **o: plots.repainted(PICTURES[:4], {"seen": PICTURES[4:8], "guessed": PICTURES[8:12]}, **o),
    "neighbours": lambda **o: plots.neighbours(PICTURES[:3], PICTURES[:12].view(3, 4, 3, 16, 16), HITS, **o),
    "loss_curve": lambda **o: plots.loss_curve(ROWS, REFERENCES, **o),
    "loss_curve, loss only": lambda **o: plots.loss_curve([{"step": 1, "loss": 5.0}], **o),
    "training": lambda **o: plots.training(
        {"500 of 900 steps": ROWS}, PANELS, references=REFERENCES, spectra=SPECTRA, **o
    ),
    "training, nothing yet": lambda **o: plots.training({"": []}, PANELS, references=REFERENCES, spectra={}, **o),
    "training, six runs": lambda **o: plots.training(
        {f"BYOL without stop-gradient and predictor, {n}00 steps": ROWS[n:] for n in range(6)},
        PANELS,
        spectra=SPECTRA,
        **o,
    ),
    "factor_matrix": lambda **o: plots.factor_matrix(MATRIX, {"hue": "hue\nR²", "ground_hue": "ground hue\nR²"}, **o),
    "spectrum": lambda **o: plots.spectrum(SPECTRA, **o),
    "collapse": lambda **o: plots.collapse(REPORTS, **o),
    "similarity_matrix": lambda **o: plots.similarity_matrix(torch.eye(6) + 0.1, torch.eye(6), **o),
    "few_label": lambda **o: plots.few_label(CURVES, chance=0.1, **o),
    "difficulty": lambda **o: plots.difficulty(LEVELS, knob="clutter", **o),
    "growth": lambda **o: plots.growth(COSTS, xlabel="pictures", ylabel="MiB", **o),
    "compare": lambda **o: plots.compare(TABLE, chance=0.1, **o),
    "race": lambda **o: plots.race(
        {"slow": [0.2, 0.3], "fast": [score(0.7), 0.72]}, baselines={"raw pixels": 0.4, "chance": 0.1}, **o
    ),
    "factors": lambda **o: plots.factors(FACTORS, **o),
    "map2d": lambda **o: plots.map2d(CLUSTERS, GROUPS, names=NAMES, measures={"trust": 0.987}, method="t-SNE", **o),
    "map2d, crowded": lambda **o: plots.map2d(HEAP, GROUPS, names=NAMES, **o),
    "map2d, values": lambda **o: plots.map2d(HEAP, HEAP[:, 0], names="brightness", **o),
    "map2d, pictures": lambda **o: plots.map2d(HEAP, GROUPS, images=PICTURES.repeat(10, 1, 1, 1), **o),
    "maps_grid": lambda **o: plots.maps_grid(
        {"seed 1": CLUSTERS, "seed 2": -CLUSTERS, "perplexity 5": HEAP, "noise twin": HEAP + 1},
        {"seed 1": GROUPS, "seed 2": GROUPS, "perplexity 5": GROUPS},
        names=NAMES,
        measures={"seed 1": {"trust": 0.98, "recall": 0.55}, "seed 2": {"trust": 0.97, "recall": 0.52}},
        **o,
    ),
    "view_by_hand": lambda **o: plots.view_by_hand(
        PICTURES[0], PICTURES[1] / 255, torch.eye(16)[2:].repeat_interleave(2, 0), torch.eye(16).flip(0), **o
    ),
    "loss_on_circle": lambda **o: plots.loss_on_circle(
        ANGLES[:3], ANGLES[3:], 0.1 * ANGLES.roll(1, 1), torch.tensor([0, 0.1, 0.2, 0.6, 0.07, 0.03]), anchor=0,
        history=[1.5, 1.2], references={"collapsed": 1.61, "orthogonal": 0.43, "bound": 0.2}, **o,
    ),
    "honest_map": lambda **o: plots.honest_map(
        CLUSTERS, GROUPS % 4, twin=HEAP, names=NAMES, measures={"features": {"recall": 0.61}}, point=3,
        true=torch.tensor([5, 9]), seen=torch.tensor([9, 14]), images=PICTURES.repeat(10, 1, 1, 1), **o,
    ),
    "honest_map, no pictures": lambda **o: plots.honest_map(
        CLUSTERS, twin=HEAP, measures={}, point=3, true=torch.tensor([5]), seen=torch.tensor([9]), **o
    ),
    "prediction": lambda **o: plots.prediction([4, 5.5], guess=3, low=1, high=5, unit="views", **o),
    "prediction, not run": lambda **o: plots.prediction([], guess=3, **o),
    "prediction, choices": lambda **o: plots.prediction(["b", "b", "c"], guess="a", choices=["a", "b", "c"], **o),
}  # fmt: skip

NUMBERS = {  # what caption or alt text must say
    "views_grid": ["4 pictures", "2 random views"],
    "repainted": ["4 pictures", "seen, guessed"],
    "neighbours": ["3 pictures", "the 4 most similar", "8 of 12 (67%)"],
    "loss_curve": ["500 steps", "loss 6.2 to 4.51", "0.41 to 0.73", "3.2 to 38.4", "6.24", "4.25", "bound 4.24"],
    "training": ["loss 6.2 to 4.51", "RankMe 3.2 to 38.4", "bound 4.24 (the minimum)"],
    "training, nothing yet": ["No step", "collapsed 6.24"],
    "factor_matrix": ["crop: hue 0.50, ground_hue 1.00", "hue + flip: hue -0.05"],
    "spectrum": ["2 of 4 (trained)", "1 of 4 (untrained)"],
    "collapse": [report["verdict"] for report in REPORTS.values()],
    "similarity_matrix": ["6 pairs", "cosine of 0.98", "all others 0.09", "100% of the rows"],
    "few_label": ["1: result 0.60, random encoder 0.30", "all: result 0.71", "95 %"],
    "growth": ["MiB, pictures 64 to 1,024", "At the end: all at once 512.00, by rows 20.00"],
    "difficulty": ["Clutter 0.0: result 0.90", "Clutter 1.0: result 0.25"],
    "compare": ["By kNN: result 0.70; the best of the others", "result: kNN 0.70, linear probe 0.71"],
    "race": ["Dots are seeds", "To be beaten: raw pixels 0.40, chance 0.10"],
    "factors": ["result: hue 0.12, size 0.81", "random encoder: hue 0.52, texture -0.05"],
    "map2d": ["240 pictures", "trust 0.99", "12 classes", "distances"],
    "view_by_hand": ["14 of 16 rows", "16 of 16 columns"],
    "loss_on_circle": ["length 0.1.", "(3a hardest, 0.20)", "pulls (0.40)", "Loss 1.200"],
    "honest_map": ["Point 3", "2 true", "1 of 2 are both", "recall 0.61"],
    "prediction": ["3 (1 to 5) views", "Measured: 4 to 5.5 views"],
    "prediction, not run": ["3. Not measured yet"],
    "prediction, choices": ["Predicted (◆): a. Measured: b, c."],
    "maps_grid": ["4 maps", "seed 1: trust 0.98, recall 0.55", "seed 2: trust 0.97, recall 0.52"],
}


def drawn(figure):
    """The figure as pixels (H, W, 3)."""
    png = io.BytesIO()
    figure.savefig(png, format="png")
    return np.asarray(Image.open(png).convert("RGB"))


def words(figure):
    """All texts that are shown; matplotlib keeps tick labels beyond the ends of an axis without drawing them."""
    figure.draw_without_rendering()
    unseen = set()
    for axis in (axis for ax in figure.axes for axis in (ax.xaxis, ax.yaxis)):
        low, high = sorted(axis.get_view_interval())
        ticks = [*axis.get_major_ticks(), *axis.get_minor_ticks()]
        unseen |= {t.label1 for t in ticks if not low - 1e-9 <= t.get_loc() <= high + 1e-9 or not axis.get_visible()}
    off = {text for ax in figure.axes if not ax.axison for axis in (ax.xaxis, ax.yaxis) for text in axis.findobj(Text)}
    texts = set(figure.findobj(Text)) - unseen - off
    return [t for t in texts if t.get_visible() and t.get_text().strip() and Text.get_window_extent(t).width > 0]


HOSTILE = ["<script>alert(1)</script>", "x" * 10_000, "שלום", "🦊.png", r"$\frac{1$", "a\nb"]


@pytest.mark.filterwarnings("error")
def test_names_that_others_have_given_are_shown_as_text_and_short():
    y, labels = torch.rand(60, 2), torch.arange(60) % 6
    near = dict(point=0, true=torch.arange(3), seen=torch.arange(3))
    figures = [
        plots.map2d(y, labels, names=HOSTILE), plots.maps_grid({"a": y, "b": y}, labels, names=HOSTILE),
        plots.honest_map(y, labels, twin=y, names=HOSTILE, measures={}, **near),
        plots.prediction([HOSTILE[1]], guess=HOSTILE[3], choices=HOSTILE), plots.prediction([1], guess=2, unit=HOSTILE[4]),
        plots.factor_matrix({name: {"hue": 0.5} for name in HOSTILE}, {"hue": HOSTILE[4]}),
    ]  # fmt: skip
    for figure in figures:
        assert "<script>" not in plots.html(figure)
        assert max(len(text.get_text()) for text in figure.findobj(Text)) < 100


@pytest.mark.parametrize("theme", plots.COLOURS)
@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_can_be_read(name, theme):
    figure = FIGURES[name](theme=theme)
    assert isinstance(figure, Figure)
    paper = np.round(255 * np.array(colors.to_rgb(plots.TONES[theme][0])))
    ink = (drawn(figure) != paper).any(-1)
    assert 0.002 < ink.mean() < 0.95  # not blank, and some paper is left
    texts = words(figure)
    assert all(t.get_fontsize() >= 8 and t.get_fontfamily() == ["DejaVu Sans"] for t in texts)
    cells = [t for ax in figure.axes if "factor_matrix" in name for t in ax.texts]  # they stand on colours, see below
    assert all(contrast(t.get_color(), plots.TONES[theme][0]) >= 4.5 for t in texts if t not in cells)
    boxes = [(t.get_text(), Text.get_window_extent(t)) for t in texts]  # without the leader of a label
    page = figure.bbox.padded(2)
    for text, box in boxes:
        assert page.containsx(box.x0), text
        assert page.containsx(box.x1), text
        assert page.containsy(box.y0), text
        assert page.containsy(box.y1), text
    for (a, box), (b, other) in combinations(boxes, 2):
        shared = box.intersection(box, other)
        assert shared is None or shared.width < 1.5 or shared.height < 1.5, f"{a!r} covers {b!r}"


@pytest.mark.parametrize("name", FIGURES)
def test_caption_and_alt_text_carry_the_numbers(name):
    figure = FIGURES[name]()
    assert figure.caption.endswith(".")
    assert "nan" not in figure.caption
    assert len(figure.alt) > 15
    for number in NUMBERS.get(name, []):
        assert number in f"{figure.caption} {figure.alt}"


def test_numbers_of_a_matrix_can_be_read_on_their_colours():
    scale = {f"row {i}": {"a": i / 40} for i in range(41)}
    ax = plots.factor_matrix(scale, {"a": "a"}).axes[0]
    for text in ax.texts:
        ground = ax.images[0].to_rgba(int(text.get_position()[1]) / 40)
        assert contrast(text.get_color(), ground[:3]) >= 4.5, text


# They disturb nobody

ALONE = """
import json, sys
import sslkit.plots as plots, sslkit.maps
early = sorted(m for m in ("matplotlib", "sklearn", "PIL", "IPython") if m in sys.modules)
import matplotlib
before = dict(matplotlib.rcParams)
figure = plots.spectrum({"a": [2.0, 1.0]})
figure._repr_html_()
changed = [k for k in before if k != "backend" and before[k] != matplotlib.rcParams[k]]
pyplot = "matplotlib.pyplot" in sys.modules

from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
shell = InteractiveShell.instance()
shell.display_formatter.formatters["image/png"].for_type(matplotlib.figure.Figure, lambda f: b"png")  # as pyplot does
with capture_output() as shown:
    returned = shell.display_formatter.format(figure)
outputs = [sorted(o.data) for o in shown.outputs]
print(json.dumps(dict(early=early, changed=changed, pyplot=pyplot, returned=list(returned[0]), outputs=outputs)))
"""


def test_nothing_is_loaded_early_and_a_notebook_gets_the_figure_once():
    result = subprocess.run([sys.executable, "-c", ALONE], capture_output=True, text=True, check=True)
    seen = json.loads(result.stdout.splitlines()[-1])
    assert seen == {
        "early": [],
        "changed": [],
        "pyplot": False,
        "returned": [],
        "outputs": [["text/html", "text/plain"]],
    }


@pytest.mark.parametrize("name", ["few_label", "collapse", "factors", "similarity_matrix", "map2d, crowded"])
def test_the_users_style_neither_changes_nor_matters(name):
    plain = drawn(FIGURES[name]())
    mine = {"font.size": 30, "font.family": "monospace", "lines.linewidth": 9, "figure.dpi": 30, "savefig.dpi": 40}
    loud = {
        "axes.grid": True,
        "grid.color": "red",
        "xtick.major.size": 20,
        "savefig.bbox": "tight",
        "axes.ymargin": 0.4,
    }
    with matplotlib.style.context(["dark_background", mine, loud]):
        before = dict(matplotlib.rcParams)
        figure = FIGURES[name]()
        assert np.array_equal(drawn(figure), plain)
        page = plots.html(figure)
        assert dict(matplotlib.rcParams) == before
    assert page == plots.html(figure)


def test_inputs_stay_untouched():
    rows, pictures = [dict(row) for row in ROWS], PICTURES.clone()
    FIGURES["loss_curve"]()
    FIGURES["map2d, pictures"]()
    assert rows == ROWS
    assert torch.equal(pictures, PICTURES)


# As HTML


class Tags(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.text = [], ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.text += data


@pytest.mark.parametrize("name", ["few_label", "neighbours", "maps_grid"])
def test_html_is_a_figure_with_alt_text_and_caption(name):
    figure = FIGURES[name]()
    figure.caption, figure.alt = 'a < b & "c".', 'x > y & "z"'
    page = Tags(figure._repr_html_())
    assert [tag for tag, _ in page.tags] == ["figure", "img", "figcaption"]
    assert page.text == figure.caption
    image = page.tags[1][1]
    assert image["alt"] == figure.alt
    picture = Image.open(io.BytesIO(base64.b64decode(image["src"].removeprefix("data:image/png;base64,"))))
    assert picture.width == pytest.approx(144 * figure.get_figwidth(), abs=1)


def test_a_heavy_figure_stays_small_in_a_notebook():
    figure = plots.map2d(RNG.normal(size=(5000, 2)), RNG.integers(0, 10, 5000))
    assert len(plots.html(figure)) < 150_000
    noise = torch.from_numpy(RNG.integers(0, 256, (48, 3, 32, 32), dtype=np.uint8))
    assert len(plots.html(plots.neighbours(noise[:6], noise[:42].view(6, 7, 3, 32, 32)))) < 150_000


# Colours

MACHADO = {  # dichromats: Machado, Oliveira and Fernandes 2009, on linear RGB
    "normal": np.eye(3),
    "red-blind": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "green-blind": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "blue-blind": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)


def linear(colours):
    rgb = np.array([colors.to_rgb(c) for c in colours])
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def cielab(colours, sight):
    seen = (linear(colours) @ np.array(MACHADO[sight]).T).clip(0, 1) @ TO_XYZ.T / [0.95047, 1, 1.08883]
    f = np.where(seen > 216 / 24389, np.cbrt(seen), (24389 / 27 * seen + 16) / 116)
    return np.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], 1)


def nearest_pair(colours, sight):
    return min(np.linalg.norm(a - b) for a, b in combinations(cielab(colours, sight), 2))


def contrast(colour, paper):
    light, dark = sorted((linear([colour, paper]) @ TO_XYZ[1]), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("sight", MACHADO)
@pytest.mark.parametrize("theme", plots.COLOURS)
def test_ten_class_colours_can_be_told_apart_with_any_sight(theme, sight):
    assert len(plots.COLOURS[theme]) == 10
    assert nearest_pair(plots.COLOURS[theme], sight) > 14  # 2.3 can just be noticed side by side; points lie apart


def test_the_distance_would_notice_colours_that_cannot_be_told_apart():
    assert nearest_pair(matplotlib.color_sequences["tab10"], "red-blind") < 5
    np.testing.assert_allclose(cielab(["#ff0000"], "normal"), [[53.24, 80.09, 67.20]], atol=0.05)


@pytest.mark.parametrize("theme", plots.COLOURS)
def test_text_has_contrast(theme):
    paper, ink, grey, _ = plots.TONES[theme]
    assert all(contrast(c, paper) >= 4.5 for c in (ink, grey, *plots.COLOURS[theme][:4]))


# What each figure draws


def test_transparent_pictures_lie_on_light_grey_and_one_channel_is_gray():
    clear = torch.zeros(1, 4, 8, 8, dtype=torch.uint8)
    clear[:, 0, :4] = 255  # red above,
    clear[:, 3, :4] = 255  # and there opaque
    shown, gray = [i.get_array() for i in plots.views_grid(clear, [torch.full((1, 1, 8, 8), 0.25)]).axes[0].images]
    assert np.allclose(shown[0, 0], [1, 0, 0])
    assert np.allclose(shown[7, 0], 0.85)
    assert gray.shape == (8, 8, 3)
    assert np.allclose(gray, 0.25)


def test_marks_say_right_and_wrong_without_colour():
    marks = [(t.get_text(), t.get_color()) for t in FIGURES["neighbours"]().axes[0].texts]
    assert (marks.count(("✓", plots.TONES["light"][2])), marks.count(("✗", plots.COLOURS["light"][1]))) == (8, 4)
    without = plots.neighbours(PICTURES[:3], PICTURES[:12].view(3, 4, 3, 16, 16))
    assert not {"✓", "✗"} & {t.get_text() for t in without.axes[0].texts}


@pytest.mark.parametrize("references", [REFERENCES, {"collapsed": 5.0}, {}, None])
def test_the_loss_gets_the_lines_of_its_method_and_no_other(references):
    figure = plots.loss_curve(ROWS, references)
    dashed = [line.get_ydata()[0] for ax in figure.axes for line in ax.lines if line.get_linestyle() == "--"]
    asked = list((references or {}).values())
    assert dashed == (asked[:2] if len(asked) == 3 else asked)  # orthogonal and bound would be one line


def test_references_that_differ_are_two_lines_whatever_the_scale():
    rows = [{"step": 1, "loss": 200.0}, {"step": 2, "loss": 3.0}]
    drawn = [line for line in plots.loss_curve(rows, {"collapsed": 5.5, "bound": 1.2}).axes[0].lines]
    assert [line.get_ydata()[0] for line in drawn if line.get_linestyle() == "--"] == [5.5, 1.2]


def test_the_last_look_at_an_encoder_that_was_finished_stands_apart():
    for finished in (False, True):
        knn = plots.loss_curve(ROWS, finished=finished).axes[1]
        drawn = [line for line in knn.lines if line.get_alpha() is None]
        assert (min(len(line.get_xdata()) for line in drawn) == 1) == finished
        assert sum(len(line.get_xdata()) for line in drawn) == sum("knn" in row for row in ROWS)


def test_a_baseline_has_its_colour_in_every_figure():
    score = {"kNN": 0.5, "linear probe": 0.6}
    names = ["this encoder", "PCA", "another", "raw pixels", "random encoder"]
    legends = []
    for order in (names, names[::-1], ["raw pixels", "x", "PCA"]):
        lines, said = plots.compare(dict.fromkeys(order, score)).axes[0].get_legend_handles_labels()
        legends.append(dict(zip(said, [line.lines[0].get_color() for line in lines])))
    for name in ("PCA", "raw pixels", "random encoder"):
        assert len({found[name] for found in legends if name in found}) == 1
    assert all(len(set(found.values())) == len(found) for found in legends)


def test_the_loss_curve_shows_what_was_measured():
    x, y = FIGURES["loss_curve"]().axes[0].lines[0].get_data()
    assert list(x) == [row["step"] for row in ROWS]
    assert list(y) == [row["loss"] for row in ROWS]
    assert [ax.get_title(loc="left") for ax in FIGURES["loss_curve"]().axes] == [
        "loss",
        "online kNN accuracy",
        "RankMe",
    ]
    assert "Dashed: minimum 1.5." in plots.loss_curve(ROWS, {"minimum": 1.5}).caption
    gaps = plots.loss_curve([{"step": 1, "loss": 3.0}, {"step": 2, "loss": np.nan}, {"step": 3, "loss": 2.0}])
    assert "3 steps: loss 3 to 2" in gaps.caption


def test_few_labels_are_logarithmic_with_all_at_the_end_and_true_intervals():
    ax = FIGURES["few_label"]().axes[0]
    assert [t.get_text() for t in ax.get_xticklabels()] == ["1", "10", "all"]
    one, ten, everything = ax.get_xticks()
    assert ten - one == pytest.approx(np.log(10))
    assert everything > ten
    bars = ax.containers[0][2][0].get_segments()
    np.testing.assert_allclose([bar[:, 1] for bar in bars], [[0.58, 0.62], [0.68, 0.72], [0.69, 0.73]])
    no_all = plots.few_label({"result": {1: 0.2, 5: 0.3, 50: 0.4}}).axes[0]
    np.testing.assert_allclose(no_all.get_xticks(), np.log([1, 5, 50]))


def test_the_dot_plot_puts_each_score_on_its_row():
    ax = FIGURES["factors"]().axes[0]
    assert [t.get_text() for t in ax.get_yticklabels()] == ["hue", "size", "texture"]
    x, y = ax.containers[1][0].get_data()  # the random encoder
    assert list(x) == [0.52, -0.05]
    assert [round(row) for row in y] == [0, 2]


def test_many_lines_that_end_together_are_all_labelled():
    figure = plots.difficulty({f"method {i}": {0: 0.5, 1: 0.8 + i / 1e4} for i in range(9)})
    labels = [t for t in words(figure) if t.get_text().startswith("method")]
    figure.draw_without_rendering()
    heights = sorted(Text.get_window_extent(t).y0 for t in labels)
    assert len(labels) == 9
    assert min(np.diff(heights)) > 9 * figure.dpi / 72  # a line of letters


def dots(figure):
    return [c for c in figure.axes[0].collections if isinstance(c, PathCollection) and len(c.get_offsets())]


def test_a_map_draws_every_point_in_the_colour_of_its_class_and_changes_marker_after_ten():
    ten, two = dots(FIGURES["map2d"]())  # twelve classes
    assert len(ten.get_offsets()) == 200
    assert len(two.get_offsets()) == 40
    assert len(ten.get_paths()[0]) != len(two.get_paths()[0])
    for point, face in zip(ten.get_offsets(), ten.get_facecolors()):
        label = GROUPS[np.abs(CLUSTERS - point).sum(1).argmin()]
        assert np.allclose(face[:3], colors.to_rgb(plots.COLOURS["light"][label]))


def test_names_stand_on_their_clusters_or_else_beside_the_map():
    figure = FIGURES["map2d"]()
    assert not figure.legends
    assert [t.get_text() for t in figure.axes[0].texts] == NAMES
    assert (
        np.abs(
            np.array([t.get_position() for t in figure.axes[0].texts]) / 40 - [[i % 4, i // 4] for i in range(12)]
        ).max()
        < 0.1
    )
    crowded = FIGURES["map2d, crowded"]()
    assert [t.get_text() for t in crowded.legends[0].get_texts()] == NAMES
    assert not crowded.axes[0].texts
    assert not plots.map2d(HEAP, np.arange(240)).legends  # nobody reads 240 names


def test_values_get_a_colour_bar_and_pictures_are_counted():
    assert FIGURES["map2d, values"]().axes[1].get_ylabel() == "brightness"
    figure = FIGURES["map2d, pictures"]()
    boxes = figure.findobj(AnnotationBbox)
    assert len(boxes) > 10
    assert f"{len(boxes)} points are shown as pictures" in figure.caption
    figure.draw_without_rendering()
    shown = [box.get_window_extent() for box in boxes]
    assert not any(a.overlaps(b) for a, b in combinations(shown, 2))


def test_a_grid_of_maps_leaves_no_empty_axes():
    figure = FIGURES["maps_grid"]()
    assert [ax.get_title() for ax in figure.axes] == ["seed 1", "seed 2", "perplexity 5", "noise twin"]
    assert len({tuple(face) for face in figure.axes[3].collections[0].get_facecolors()}) == 1  # the twin has no classes


def test_cosines_are_cosines():
    z1, z2 = torch.randn(5, 3, generator=torch.Generator().manual_seed(0)), torch.randn(5, 3)
    shown = plots.similarity_matrix(z1, 9 * z2).axes[0].images[0].get_array()
    np.testing.assert_allclose(shown, torch.nn.functional.cosine_similarity(z1[:, None], z2[None], dim=2), atol=1e-6)
    np.testing.assert_allclose(plots.similarity_matrix(shown).axes[0].images[0].get_array(), shown)


def test_a_dead_spectrum_can_be_drawn():
    assert "1 of 4 (dead)" in plots.spectrum({"dead": torch.zeros(4)}).caption


# Bad input: one sentence

BAD = {
    "theme": (lambda: plots.spectrum(SPECTRA, theme="drak"), "Did you mean 'dark'"),
    "channels": (
        lambda: plots.views_grid(torch.zeros(2, 5, 8, 8), [torch.zeros(2, 3, 8, 8)]),
        r"C 1, 3 or 4.*\(2, 5, 8, 8\)",
    ),
    "no views": (lambda: plots.views_grid(PICTURES[:2], []), "2 pictures"),
    "other number of views": (lambda: plots.views_grid(PICTURES[:2], [PICTURES[:3]]), "2 pictures"),
    "hits": (lambda: plots.neighbours(PICTURES[:3], PICTURES[:12].view(3, 4, 3, 16, 16), HITS[:2]), r"\(3, 4\)"),
    "no rows": (lambda: plots.loss_curve([]), "history.rows"),
    "no loss": (lambda: plots.loss_curve([{"step": 1, "loss": float("nan")}]), "finite"),
    "no spectrum": (lambda: plots.spectrum({}), "nothing to draw"),
    "spectrum": (lambda: plots.spectrum({"mine": torch.zeros(2, 2)}), r"mine.*1 dimension.*\(2, 2\)"),
    "no report": (lambda: plots.collapse({}), "nothing to draw"),
    "pairs": (lambda: plots.similarity_matrix(torch.zeros(3, 2), torch.zeros(4, 2)), r"\(3, 2\).*\(4, 2\)"),
    "matrix": (lambda: plots.similarity_matrix(torch.zeros(3, 2)), r"\(3, 2\)"),
    "no curves": (lambda: plots.few_label({}), "nothing to draw"),
    "no levels": (lambda: plots.difficulty({"result": {}}), "nothing to draw"),
    "no table": (lambda: plots.compare({}), "nothing to draw"),
    "no runner": (lambda: plots.race({}), "nothing to draw"),
    "no factors": (lambda: plots.factors({"result": {}}), "nothing to draw"),
    "rows of another picture": (
        lambda: plots.view_by_hand(PICTURES[0], PICTURES[1], torch.eye(8), torch.eye(8)),
        "rows",
    ),
    "arrows": (
        lambda: plots.loss_on_circle(
            ANGLES[:3], ANGLES[3:], ANGLES[:4], torch.zeros(6), anchor=0, history=[1.0], references={}
        ),
        r"arrows must have shape \(6, 2\)",
    ),
    "map": (lambda: plots.map2d(torch.zeros(5, 3)), r"\(5, 3\)"),
    "map with nan": (lambda: plots.map2d(torch.full((5, 2), torch.nan)), "finite"),
    "labels": (lambda: plots.map2d(HEAP, GROUPS[:7]), "7 .*240 points"),
    "images": (lambda: plots.map2d(HEAP, images=PICTURES), "24 pictures.*240 points"),
    "no maps": (lambda: plots.maps_grid({}), "nothing to draw"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_explained_in_one_sentence(name):
    call, match = BAD[name]
    with pytest.raises(ValueError, match=match) as error:
        call()
    assert "\n" not in str(error.value)


def test_alt_text_says_that_nothing_was_trained_yet():
    empty = plots.training({"": []}, PANELS, spectra={})
    assert (
        empty.alt
        == f"Empty plots, over the steps of training: {', '.join(PANELS)}, and spectra: nothing was trained yet."
    )
    assert plots.training({"": [{"step": 1, "loss": 2.0}]}, {"loss": "loss"}).alt.startswith("Line plots over")

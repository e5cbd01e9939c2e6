"""The invariance matrix without a browser: rows that are trained once, numbers that mean something."""

import pytest
import torch

from sslkit import datasets, widgets
from sslkit.datasets import shapes
from sslkit.widgets._invariance import VIEWS


@pytest.fixture(scope="module")
def data():
    return shapes(400, resolution=8)


def test_a_row_is_measured_once_and_the_untrained_network_beside_it(data):
    matrix = widgets.InvarianceMatrix(data, steps=2, factors=("hue", "shape"))
    assert matrix.state["scores"] == {}
    assert matrix.plot().caption
    before = torch.random.get_rng_state()
    scores = matrix.measure("hue")
    assert torch.equal(torch.random.get_rng_state(), before)
    assert set(scores) == {"hue", "shape"}
    assert matrix.measure("hue") is scores
    assert set(matrix.state["scores"]) == set(matrix.encoders) == {"untrained", "hue"}
    figure = matrix.plot()
    assert f"hue {scores['hue'].value:z.2f}" in figure.alt
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert len(texts) == 2 * (len(VIEWS) + 1)
    assert texts.count("·") == 2 * (len(VIEWS) - 1)
    again = widgets.InvarianceMatrix(data, steps=2, factors=("hue", "shape"))
    assert again.measure("hue") == scores


def test_rows_differ_in_their_views_only(data):
    matrix = widgets.InvarianceMatrix(data, steps=2)
    a, b = (matrix._method(row) for row in ("crop", "hue"))
    assert a.policies != b.policies
    assert all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values()))


def test_in_the_background_one_row_at_a_time(data):
    matrix = widgets.InvarianceMatrix(data, steps=5000, factors=("hue",))
    matrix.begin("crop")
    assert matrix.state["training"] == "crop"
    for another in (matrix.begin, matrix.measure):
        with pytest.raises(ValueError, match=r"running already|is being trained"):
            another("hue")
    matrix.stop().wait(60)
    assert "crop" not in matrix.state["scores"]  # given up
    assert matrix.state["training"] is None


def test_what_does_not_fit_is_refused(data):
    with pytest.raises(ValueError, match="no known factors"):
        widgets.InvarianceMatrix(datasets.load("digits"))
    with pytest.raises(ValueError, match="Unknown factor"):
        widgets.InvarianceMatrix(data, factors=("hues",))
    with pytest.raises(ValueError, match="Unknown row"):
        widgets.InvarianceMatrix(data).measure("hues")


def test_the_view_has_a_button_for_each_row(data):
    matrix = widgets.InvarianceMatrix(data, steps=2, factors=("hue",))
    assert matrix.box
    assert set(matrix.controls) == {"untrained", *VIEWS, "stop"}
    matrix.controls["crop"].click()
    matrix.wait(60)
    assert matrix.controls["crop"].disabled
    assert not matrix.controls["hue"].disabled
    assert "1 of 8 rows" in matrix._status.value


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])  # notebook 09 has seed 0
def test_views_that_turn_the_hue_destroy_it_and_teach_form(seed):
    matrix = widgets.InvarianceMatrix(seed=seed)
    crop, hue, mirrored = (matrix.measure(row) for row in ("crop", "hue", "hue + flip"))
    assert crop["hue"].value - hue["hue"].value > 0.3
    assert hue["shape"].value - crop["shape"].value > 0.03
    assert hue["x"].value - mirrored["x"].value > 0.03
    assert mirrored["y"].value - mirrored["x"].value > 0.1

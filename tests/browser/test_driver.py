"""The driver itself: both notebook applications run a widget, and the kernel hears of it."""

import pytest
from playwright.sync_api import expect

CELLS = [
    "import ipywidgets\nslider = ipywidgets.IntSlider(value=2, max=10, description='n')\nslider",
    "print(slider.value)",
]


@pytest.mark.parametrize("app", ["lab", "notebook7"])
def test_a_slider_moves_and_the_kernel_hears_of_it(app, request, tab):
    server = request.getfixturevalue(app)
    tab.open(server, server.notebook("slider", CELLS))
    tab.run_all()
    tab.page.locator(".noUi-target").click(position={"x": 100, "y": 3})  # most of the way to the right
    expect(tab.page.locator(".widget-readout")).to_have_text("8")
    assert tab.run_cell(1) == "8"


def test_what_goes_wrong_is_noticed(tab):
    tab.page.set_content("<img src='http://elsewhere.invalid/x.png'><button></button>")
    tab.page.evaluate("() => { console.error('oh') }")
    assert tab.outside == ["http://elsewhere.invalid/x.png"]
    assert "oh" in tab.errors
    assert any(line.startswith("button-name") for line in tab.serious("body"))
    tab.outside.clear()
    tab.errors.clear()

"""The labs that train, in JupyterLab: every control is used, also while another cell is running."""

import json
import time

import pytest
from playwright.sync_api import expect

from sslkit import widgets
from sslkit.widgets._invariance import VIEWS
from sslkit.widgets._switchboard import SWITCHES

CELLS = [
    """
import json, time, torch
torch.set_num_threads(1)
from sslkit import nets, widgets
from sslkit.datasets import shapes
data, pause = shapes(1000, resolution=8), 0
small = dict(encoder=nets.small_resnet(widths=(4, 8)), batch_size=32, precision="float32", channels_last=False)
board = widgets.Dashboard("simclr", data, steps=100_000, marks=4, probe=50, **small)
switches = widgets.CollapseSwitchboard(data, steps=10)
matrix = widgets.InvarianceMatrix(data, steps=4, factors=("hue", "shape"))
long = widgets.InvarianceMatrix(data, steps=100_000, factors=("hue",))
long.NAME = "long"
""",
    "board",
    "switches",
    "matrix",
    "long",
    "end = time.time() + pause\nwhile time.time() < end:\n    time.sleep(0.1)\nprint(board.phase)",
    "print(json.dumps([board.state, switches.state, matrix.state, long.state]))",
    "pause = 20",
]
BUSY, STATES, SLOW = 5, 6, 7
DRIVEN = {
    widgets.Dashboard: {"start", "stop", "resume"},
    widgets.CollapseSwitchboard: {"method", *SWITCHES, "steps", "train", "stop", "clear"},
    widgets.InvarianceMatrix: {"untrained", *VIEWS, "stop"},
}


@pytest.mark.parametrize("lab", DRIVEN, ids=lambda lab: lab.__name__)
def test_no_control_is_without_a_driven_test(lab, tiny_shapes):
    made = lab(data=tiny_shapes)
    assert made.box
    assert set(made.controls) == DRIVEN[lab]


class Place:
    """A lab in the page."""

    def __init__(self, tab, name):
        self.tab, self.name = tab, f".sslkit-{name}"
        self.place = tab.page.locator(self.name)

    def press(self, button):
        found = self.place.get_by_role("button", name=button, exact=True)
        expect(found).to_be_enabled(timeout=60_000)
        found.focus()
        self.tab.page.keyboard.press("Enter")

    def field(self, label):
        return self.place.get_by_label(label, exact=True)

    def says(self, text, timeout=90_000):
        expect(self.place.get_by_role("status")).to_contain_text(text, timeout=timeout)

    def barriers(self):
        return self.tab.serious(self.name)


@pytest.mark.slow
def test_every_control_of_the_labs_that_train(lab, tab):
    tab.open(lab, lab.notebook("training_labs", CELLS))
    tab.run_all()
    states = lambda: json.loads(tab.run_cell(STATES))

    board = Place(tab, "dashboard")
    board.says("Ready")
    assert board.barriers() == []
    board.press("Start")
    board.says("Training")
    assert tab.run_cell(BUSY) == "training"  # the kernel answers meanwhile
    tab.run_cell(SLOW)
    busy = tab.page.locator(".jp-CodeCell").nth(BUSY)
    busy.locator(".cm-content").click()
    tab.page.evaluate("() => { window.jupyterapp.commands.execute('notebook:run-cell') }")  # and does not wait
    expect(busy.locator(".jp-InputPrompt")).to_have_text("[*]:")
    board.press("Stop")
    board.says("Stopped at step")
    assert busy.locator(".jp-InputPrompt").inner_text() == "[*]:"  # stopped while the other cell still runs
    expect(busy.locator(".jp-OutputArea-output")).to_have_text("stopped", timeout=60_000)
    first = states()[0]
    assert first["phase"] == "stopped"
    assert first["step"] > 0
    board.press("Resume")
    board.says("Training")
    board.press("Stop")
    board.says("Stopped at step")
    assert states()[0]["step"] > first["step"]
    expect(board.place.locator("progress")).to_have_attribute("value", str(states()[0]["step"]))
    assert "Line plots" in board.place.locator("img").get_attribute("alt")
    assert board.barriers() == []

    switches = Place(tab, "switchboard")
    assert switches.barriers() == []
    guards = {"simclr": ["negatives"], "vicreg": ["variance", "covariance"], "byol": ["stop_gradient", "predictor"]}
    for method, names in guards.items():
        switches.field("method").select_option({"simclr": "SimCLR", "vicreg": "VICReg", "byol": "BYOL"}[method])
        for name in names:
            box = switches.field(SWITCHES[name])
            expect(box).to_be_enabled()
            box.focus()
            tab.page.keyboard.press("Space")
            expect(box).not_to_be_checked()
        settle(lambda: states()[1]["off"], names)
    expect(switches.field("negatives")).to_be_disabled()
    switches.press("Train")
    switches.says("BYOL without stop-gradient and predictor, 10 steps: ")
    steps = switches.field("steps")
    steps.fill("1000")
    steps.press("Tab")
    settle(lambda: states()[1]["steps"], 1000)
    switches.press("Train")
    switches.says("Training")
    switches.press("Stop")
    switches.says("1000 steps")
    runs = states()[1]["runs"]
    assert [run["done"] for run in runs] == [True, False]
    assert switches.barriers() == []
    switches.press("Clear")
    switches.says("No run yet")

    matrix = Place(tab, "invariance")
    matrix.says("No row is known yet")
    for number, row in enumerate(["untrained", *VIEWS]):
        matrix.press(row)
        matrix.says(f"{number} of 8 rows")
    known = states()[2]["scores"]
    assert set(known) == {"untrained", *VIEWS}
    assert matrix.barriers() == []
    long = Place(tab, "long")
    long.press("hue")
    long.says("Training with the views of row hue")
    long.press("Stop")
    long.says("0 of 8 rows")
    assert states()[3]["training"] is None

    tab.page.evaluate("() => window.jupyterapp.commands.execute('apputils:change-theme', { theme: 'JupyterLab Dark' })")
    tab.page.wait_for_selector("body[data-jp-theme-light=false]", state="attached")
    assert board.barriers() == switches.barriers() == matrix.barriers() == []


def settle(now, wanted):
    """JupyterLab's controls reach the kernel on a way of their own (a subshell), so a cell can be answered before them."""
    deadline = time.time() + 60
    while (found := now()) != wanted:
        assert time.time() < deadline, (found, wanted)
        time.sleep(0.2)


def test_a_kernel_is_restarted_while_it_trains(lab, tab):
    """The thread must not keep the old kernel alive, and the new one works."""
    tab.open(lab, lab.notebook("restart", [CELLS[0], "board.start()\nprint(board.phase)"]))
    tab.run_all()
    restart = """async () => { const { sessionContext } = window.jupyterapp.shell.currentWidget;
        const began = Date.now(); await sessionContext.restartKernel(); return Date.now() - began }"""
    tab.page.set_default_timeout(60_000)
    assert tab.page.evaluate(restart) < 20_000
    assert tab.run_cell(0) == ""
    assert tab.run_cell(1) == "training"

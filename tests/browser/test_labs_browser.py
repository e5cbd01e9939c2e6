"""The labs in JupyterLab: every control is used once, by mouse or keyboard, and the kernel follows."""

import json
import time

import pytest
from playwright.sync_api import expect

from sslkit import widgets

SETUP = """
import json, torch
from sslkit import widgets
g = torch.Generator().manual_seed(0)
group, names = torch.arange(60) % 3, ["<script>alert(1)</script>", "שלום", "b"]
x = torch.randn(60, 5, generator=g) + 4 * torch.eye(5)[group]
images = torch.rand(60, 3, 16, 16, generator=g)
labs = {
    "loss-lab": widgets.LossLab(4),
    "views-playground": widgets.ViewsPlayground(images[:4]),
    "honesty-panel": widgets.HonestyPanel(x, group, images, names=names, perplexities=(5, 15)),
    "predict": widgets.Predict("<img src=x onerror='window.bad=1'> How many?", lambda: [4, 5], unit="views"),
    "choice": widgets.Predict("Which?", lambda: "</option>b", choices=["a", "</option>b"]),
}
labs["choice"].NAME = "choice"
"""
SHOWN = ("loss-lab", "views-playground", "honesty-panel", "predict", "choice")
STATE = "print(json.dumps({name: lab.state for name, lab in labs.items()}))"
# name of the control: (how it is used, what the state holds afterwards); a key is pressed so many times.
LOSS = {
    "picture": ("select", "3", 3),
    "view1": ("keys", "Home", 0),
    "view2": ("drag", None, None),
    "temperature": ("keys", "ArrowRight 5", 0.6),
    "rate": ("keys", "ArrowLeft 3", 0.7),
    "step": ("button", "steps: 1", None),
    "reset": ("button", "steps: 0", None),
}
VIEWS = {
    "picture": ("keys", "ArrowRight 2", 3), "top": ("keys", "ArrowRight 3", 3), "left": ("keys", "ArrowUp 2", 2),
    "height": ("keys", "Home", 1), "width": ("drag", None, None), "flip": ("tick", None, True),
    "blur": ("keys", "End", 4), "brightness": ("keys", "ArrowLeft 2", 0.9), "contrast": ("keys", "Home", 0),
    "saturation": ("keys", "ArrowLeft 4", 0.8), "hue": ("keys", "ArrowRight 9", 0.09), "gray": ("tick", None, True),
    "solarise": ("space", None, True), "noise": ("keys", "ArrowRight 4", 0.04), "cutout": ("keys", "ArrowRight 6", 0.3),
    "cutout_top": ("keys", "ArrowRight 2", 0.35), "cutout_left": ("keys", "ArrowLeft 1", 0.2),
    "least_crop": ("keys", "ArrowRight 2", 0.3), "jitter": ("keys", "End", 2), "blurred": ("keys", "ArrowRight 5", 0.5),
    "many_draws": ("button", "number 1.", None), "one_draw": ("button", "of picture 3;", None),
    "reset": ("button", "nothing else is changed", None),
}  # fmt: skip
HONESTY = {
    "perplexity": ("select", "5", 5), "seed": ("select", "1", 1), "colour": ("select", "shuffled labels", "shuffled labels"),
    "point": ("keys", "ArrowRight 7", 7), "show": ("select", "all seeds and perplexities", "all seeds and perplexities"),
}  # fmt: skip
PREDICT = {
    "guess": ("type", "4,2", None), "low": ("type", "1", None), "high": ("type", "9", None),
    "record": ("button", "Now run it", None), "run": ("button", "As you expected", None),
    "why": ("type", "<b>bold</b>", None), "keep": ("button", "1 of 1 predictions held", None),
}  # fmt: skip
CHOICE = {
    "guess": ("select", "a", None), "record": ("button", "Now run it", None), "run": ("button", "Not as you expected", None),
    "why": ("type", "a guess", None), "keep": ("button", "1 of 2 predictions held", None),
}  # fmt: skip
DRIVEN = dict(zip(SHOWN, (LOSS, VIEWS, HONESTY, PREDICT, CHOICE)))


@pytest.fixture(scope="module")
def labs():
    made = {}
    exec(SETUP, made)
    for one in made["labs"].values():
        one.box  # noqa: B018  (made when it is first asked for)
    return made["labs"]


def test_no_control_is_without_a_driven_test(labs):
    for name, lab in labs.items():
        assert lab.box._dom_classes[-1] == f"sslkit-{name}"
        assert set(DRIVEN[name]) == set(lab.controls), name


def test_every_lab_of_the_package_is_here(labs):
    own = {widgets.LossLab, widgets.ViewsPlayground, widgets.HonestyPanel, widgets.Predict}
    assert {type(lab) for lab in labs.values()} == own


@pytest.mark.parametrize("name", SHOWN)
def test_a_page_without_a_kernel_shows_the_sentence_and_the_figure(labs, name):
    bundle = labs[name]._repr_mimebundle_()
    assert set(bundle) == {"text/plain", "text/html", "application/vnd.jupyter.widget-view+json"}
    assert bundle["text/plain"] == labs[name].USE
    assert "<script>" not in bundle["text/html"]
    assert ("<img" in bundle["text/html"]) == (name not in ("predict", "choice"))


class Box:
    """One lab in the page, and the words that name its controls."""

    def __init__(self, tab, name, lab):
        self.tab, self.page, self.name = tab, tab.page, name
        self.place = tab.page.locator(f".sslkit-{name}")
        self.words = {key: control.description for key, control in lab.controls.items()}

    def control(self, key):
        return self.place.get_by_label(self.words[key], exact=True)

    def button(self, key):
        return self.place.get_by_role("button", name=self.words[key], exact=True)

    def use(self, key, how, what):
        if how == "button":
            self.button(key).click()
            expect(self.place.get_by_role("status")).to_contain_text(what, timeout=30_000)
        elif how == "select":
            self.control(key).select_option(what)
        elif how == "tick":
            self.control(key).click()
        elif how == "space":
            self.control(key).focus()
            self.page.keyboard.press("Space")
        elif how == "type":
            self.control(key).fill(what)
            self.page.keyboard.press("Tab")
        elif how == "keys":
            press, _, times = what.partition(" ")
            self.control(key).focus()
            for _ in range(int(times or 1)):
                self.page.keyboard.press(press)
        elif how == "drag":
            self.control(key).scroll_into_view_if_needed()
            rail = self.control(key).bounding_box()
            y = rail["y"] + rail["height"] / 2
            self.page.mouse.move(rail["x"] + 20, y)
            self.page.mouse.down()
            for x in range(20, 80):
                self.page.mouse.move(rail["x"] + x, y)
            self.page.mouse.up()
            return float(self.control(key).input_value())  # where the slider stands is where the kernel must end


def test_every_control_of_every_lab(lab, tab, labs):
    shown = [f"labs[{name!r}]" for name in SHOWN]
    tab.open(lab, lab.notebook("labs", [SETUP, *shown, STATE]))
    tab.run_all()
    ask = len(shown) + 1

    def settle(name, wanted):
        deadline = time.time() + 60
        while True:
            state = json.loads(tab.run_cell(ask))[name]
            far = {key: (state[key], value) for key, value in wanted.items() if state[key] != pytest.approx(value)}
            if not far:
                return state
            assert time.time() < deadline, far
            tab.page.wait_for_timeout(500)

    boxes = {name: Box(tab, name, labs[name]) for name in SHOWN}
    for name in SHOWN:
        expect(boxes[name].place).to_contain_text(labs[name].USE)
    for name in ("predict", "choice"):
        assert boxes[name].button("run").is_disabled()

    for name in SHOWN:
        wanted = {}
        for key, (how, what, value) in DRIVEN[name].items():
            if how == "button" and wanted:  # buttons may change what was set
                settle(name, wanted)
                wanted = {}
            dragged = boxes[name].use(key, how, what)
            if how == "drag" or value is not None:
                wanted[key] = dragged if how == "drag" else value
            if (name, key) == ("loss-lab", "view2"):
                settle(name, {"angles": angles(labs[name], {2: 0, 6: dragged})})
                wanted = {}
            if (name, key) == ("loss-lab", "view1"):
                del wanted[key]
        settle(name, wanted)

    state = settle("predict", {"measured": [4, 5]})
    assert state["explanation"] == "<b>bold</b>"
    assert not tab.page.evaluate("() => window.bad")
    expect(boxes["predict"].control("guess")).to_be_disabled()
    assert len(boxes["honesty-panel"].place.locator("img[alt]").all()) == 1
    for theme in ("JupyterLab Dark", "JupyterLab Light"):
        tab.page.evaluate("theme => window.jupyterapp.commands.execute('apputils:change-theme', {theme})", theme)
        assert tab.serious(", ".join(f".sslkit-{name}" for name in SHOWN)) == []


def angles(lab, moved):
    return [float(moved.get(i, a)) % 360 for i, a in enumerate(lab.angles)]

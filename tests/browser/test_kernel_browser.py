"""What only a notebook with a kernel shows: a cell that is run again, the notebook's theme, and Notebook 7."""

import json
import os
import time

import pytest
from playwright.sync_api import expect

AGAIN = [
    """
import json, torch
torch.set_num_threads(1)
from sslkit import nets, widgets
from sslkit.datasets import shapes
data, boards = shapes(400, resolution=8), []
small = dict(encoder=nets.small_resnet(widths=(4, 8)), batch_size=32, precision="float32", channels_last=False)
""",
    "board = widgets.Dashboard('simclr', data, steps=100_000, marks=0, **small)\nboards.append(board.start())\nboard",
    "other = widgets.Dashboard('simclr', data, steps=100_000, marks=0, **small)\nboards.append(other.start())\nother",
    "print(json.dumps([board.phase for board in boards]))",
]


def test_a_cell_that_is_run_again_stops_the_training_that_it_had_started(lab, tab):
    tab.open(lab, lab.notebook("again", AGAIN))
    tab.run_all()
    phases = lambda: json.loads(tab.run_cell(3))
    assert phases() == ["training", "training"]  # two cells may train side by side
    tab.run_cell(1)
    settle(phases, ["stopped", "training", "training"])
    tab.run_cell(1)
    settle(phases, ["stopped", "training", "stopped", "training"])


def settle(now, wanted):
    deadline = time.time() + 60
    while (found := now()) != wanted:
        assert time.time() < deadline, (found, wanted)
        time.sleep(0.2)


HOSTILE = """["<script>window.bad = 1</script>", "x" * 10_000, "שלום עולם", "🦊 fox.png", r"$\\frac{1$"]"""
EVERY = [
    f"""
import torch
torch.set_num_threads(1)
from dataclasses import replace
from sslkit import nets, widgets
from sslkit.datasets import shapes
names, data, g = {HOSTILE}, shapes(400, resolution=8), torch.Generator().manual_seed(0)
group = torch.arange(60) % 5
x = torch.randn(60, 6, generator=g) + 4 * torch.eye(6)[group]
named = replace(data, names=tuple(names) + ("a", "b", "c"))
crop = widgets.InvarianceMatrix.VIEWS["crop"]
small = dict(encoder=nets.small_resnet(widths=(4, 8)), batch_size=32, precision="float32", channels_last=False)
""",
    "widgets.ViewsPlayground(data.images[:3])",
    "widgets.LossLab(3)",
    "widgets.Dashboard('simclr', named, steps=4, marks=1, **small)",
    "widgets.HonestyPanel(x, group, torch.rand(60, 3, 8, 8), names=names, perplexities=(5, 15))",
    "widgets.CollapseSwitchboard(named, steps=10)",
    "widgets.InvarianceMatrix(named, views=dict.fromkeys(names, crop), factors=('hue',), steps=2)",
    "widgets.Predict(names[0] + names[1], lambda: names[3], choices=names)",
]
LABS = ("views-playground", "loss-lab", "dashboard", "honesty-panel", "switchboard", "invariance", "predict")


@pytest.mark.slow
@pytest.mark.parametrize("app", ["lab", "notebook7"])
def test_every_lab_with_hostile_names_in_both_notebooks(app, tab, request):
    server = request.getfixturevalue(app)
    tab.open(server, server.notebook("every_lab", EVERY))
    tab.run_all(240_000)
    place = {name: tab.page.locator(f".sslkit-{name}") for name in LABS}
    says = lambda name, text: expect(place[name].get_by_role("status")).to_contain_text(text, timeout=120_000)
    button = lambda name, words: place[name].get_by_role("button", name=words, exact=True).click()
    says("honesty-panel", "true neighbours of point 0")  # t-SNE has arrived from the background
    place["honesty-panel"].get_by_label("seed", exact=True).select_option("1")
    button("views-playground", "Many random draws")
    says("views-playground", "Random draws")
    button("loss-lab", "One step")
    says("loss-lab", "steps: 1;")
    button("dashboard", "Start")
    says("dashboard", "Finished: 4 steps")
    button("switchboard", "Train")
    says("switchboard", "VICReg, 10 steps: ")
    button("invariance", "🦊 fox.png")
    says("invariance", "1 of 5 rows")
    place["predict"].get_by_label("guess", exact=True).select_option("🦊 fox.png")
    button("predict", "Record my prediction")
    says("predict", "Now run it")
    button("predict", "Run")
    says("predict", "As you expected")
    says("honesty-panel", "true neighbours of point 0")
    for theme, bright in {"JupyterLab Dark": False, "JupyterLab Light": True}.items():
        tab.page.evaluate("theme => window.jupyterapp.commands.execute('apputils:change-theme', {theme})", theme)
        for name in LABS:
            settle(lambda name=name: tab.page.evaluate(CORNER, f".sslkit-{name} figure img") > 128, bright)
        assert tab.serious(", ".join(f".sslkit-{name}" for name in LABS)) == []
        if folder := os.environ.get("SSLKIT_PICTURES"):  # to look at
            for name in LABS:
                place[name].screenshot(path=f"{folder}/{app}-{name}-{'light' if bright else 'dark'}.png")
    assert not tab.page.evaluate("() => window.bad")
    wide = "place => Math.max(...[...place.children].map((one) => one.scrollWidth - place.clientWidth))"
    assert all(place[name].evaluate(wide) <= 2 for name in LABS)  # a long name does not push anything out


CORNER = """async (selector) => { const image = document.querySelector(selector);
    await image.decode();
    const context = new OffscreenCanvas(1, 1).getContext("2d");
    context.drawImage(image, 0, 0, 4, 4, 0, 0, 1, 1);
    return context.getImageData(0, 0, 1, 1).data[0]; }"""

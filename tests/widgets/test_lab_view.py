"""The thin view, with real ipywidgets and no front end: controls set the state, and the state sets the controls."""

import asyncio
import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import pytest
import torch

from sslkit import plots
from sslkit.widgets import LossLab, ViewsPlayground
from sslkit.widgets._lab import Lab


@pytest.fixture
def lab():
    one = LossLab(4)
    one.box  # noqa: B018  (made when it is first asked for)
    return one


def test_controls_and_state_follow_each_other(lab):
    lab.controls["temperature"].value = 1.0
    assert lab.temperature == 1.0
    before = lab._figure.value
    lab.controls["step"].click()
    assert lab.state["steps"] == 1
    assert lab._figure.value != before
    assert lab.controls["view1"].value == lab.view1
    lab.picture = 3
    assert lab.controls["picture"].value == 3
    assert lab.controls["view2"].value == lab.view2
    assert lab.summary in lab._status.value


def test_what_the_state_refuses_is_said_and_the_control_goes_back(lab):
    lab.controls["rate"].value = 50.0
    assert "rate is 50.0, but must be from 0 to 10" in lab._status.value
    assert 'role="status"' in lab._status.value
    assert lab.controls["rate"].value == lab.rate == 1.0
    lab.step()
    assert "must be" not in lab._status.value


def test_a_redraw_from_another_thread_does_not_take_back_what_a_person_is_setting(lab):
    with lab.controls["temperature"].hold_trait_notifications():  # as ipywidgets does with what the page tells
        lab.controls["temperature"].value = 2.0
        thread = threading.Thread(target=lab._refresh)
        thread.start()
        thread.join()
    assert lab.temperature == lab.controls["temperature"].value == 2.0


def test_a_control_follows_a_state_that_takes_another_value(lab, monkeypatch):
    rounded = property(lambda self: 0.5, lambda self, value: None)
    monkeypatch.setattr(LossLab, "temperature", rounded)
    lab.controls["temperature"].value = 2.0
    assert lab.controls["temperature"].value == 0.5


def test_many_changes_make_one_redraw_with_the_last_state(lab, monkeypatch):
    drawn = []
    monkeypatch.setattr(LossLab, "_still", lambda self: drawn.append(self.temperature) or str(self.temperature))

    async def move_fast():
        for i in range(1, 51):
            lab.controls["temperature"].value = i / 50
        assert not drawn
        await asyncio.sleep(0.1)

    asyncio.run(move_fast())
    assert drawn == [1.0]
    assert lab._figure.value == "1.0"


def test_a_redraw_that_never_came_does_not_stop_the_next_ones(lab):
    """The loop of a cell that is busy, or of a thread that is gone: each thread draws for itself."""

    async def change(temperature, wait):
        lab.temperature = temperature
        await asyncio.sleep(wait)

    before = lab._figure.value
    asyncio.run(change(1.0, 0))  # the loop ends before it has drawn
    assert lab._figure.value == before
    asyncio.run(change(2.0, 0.1))
    assert lab._figure.value != before


def test_two_threads_that_change_a_lab_never_meet_half_a_change():
    """JupyterLab answers controls in another thread than cells."""
    lab = ViewsPlayground(torch.rand(2, 3, 16, 16))
    lab._box, lab._figure, lab._status, failed = object(), SimpleNamespace(), SimpleNamespace(), []
    lab.controls = {"height": SimpleNamespace(value=1)}
    lab._still = lambda: failed.append(1) if lab.view.isnan().any() else "drawn"

    def move(names):
        try:
            for i in range(150):
                lab._act(names[i % len(names)]) if i % 2 else lab._act("height", 1 + i % 16)
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=move, args=(names,)) for names in (["reset", "one_draw"], ["one_draw"])]
    [thread.start() for thread in threads]
    for i in range(150):
        lab.reset() if i % 2 else lab.one_draw()
    [thread.join() for thread in threads]
    assert not failed


def test_a_change_waits_while_the_figure_is_drawn(lab, monkeypatch):
    order, drawing = [], threading.Event()

    def still():
        order.append("draws")
        drawing.set()
        time.sleep(0.2)
        order.append("has drawn")
        return ""

    monkeypatch.setattr(lab, "_still", still)
    thread = threading.Thread(target=lab._refresh)
    thread.start()
    assert drawing.wait(10)
    lab.reset()
    order.append("changed")
    thread.join()
    assert order[:2] == ["draws", "has drawn"]


def test_the_figure_follows_the_theme_that_the_page_tells(lab, monkeypatch):
    monkeypatch.setattr(Lab, "_dark", False)
    light, theme = lab._figure.value, lab.box.children[-1]
    theme.dark = True
    assert lab.look == "dark"
    assert lab._figure.value != light
    assert lab._figure.value == plots.html(LossLab(4, theme="dark").plot())
    assert LossLab(4).look == "dark"  # known from the start
    fixed = LossLab(4, theme="light")
    assert fixed.box.children[-1] is fixed._figure
    assert fixed.look == "light"
    theme.dark = False
    assert lab._figure.value == light


def test_the_state_model_loads_no_widget_library():
    code = (
        "import sys; from sslkit import widgets; lab = widgets.LossLab(3); lab.step(); lab.state; lab.plot();"
        "print([m for m in ('ipywidgets', 'anywidget', 'traitlets', 'sklearn') if m in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"
    assert said.stderr == ""

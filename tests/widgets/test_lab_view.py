"""The thin view, with real ipywidgets and no front end: controls set the state, and the state sets the controls."""

import asyncio
import subprocess
import sys

import pytest

from sslkit.widgets import LossLab


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


def test_the_state_model_loads_no_widget_library():
    code = (
        "import sys; from sslkit import widgets; lab = widgets.LossLab(3); lab.step(); lab.state; lab.plot();"
        "print([m for m in ('ipywidgets', 'anywidget', 'traitlets', 'sklearn') if m in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"
    assert said.stderr == ""

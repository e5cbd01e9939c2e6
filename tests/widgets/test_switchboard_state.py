"""The collapse switchboard without a browser: guards, runs that stay, and what it says."""

import pytest
import torch

from sslkit import widgets
from sslkit.datasets import shapes
from sslkit.widgets._switchboard import GUARDS, SWITCHES, build_method


@pytest.fixture(scope="module")
def data():
    return shapes(400, resolution=8)


@pytest.mark.parametrize(("name", "guard"), [(name, guard) for name, guards in GUARDS.items() for guard in guards])
def test_every_guard_changes_the_loss_or_its_gradient(data, name, guard):
    torch.manual_seed(3)
    before = torch.random.get_rng_state()
    losses = []
    for off in ((), (guard,)):
        method = build_method(data, name, off, 10, 0).train()
        index = torch.arange(32)
        draw = torch.Generator().manual_seed(0)
        loss = method(method.collect(data.train.images[:32], index, None, draw))["loss"]
        loss.backward()
        losses.append((loss.item(), next(method.encoder.parameters()).grad.norm().item()))
    assert losses[0] != losses[1]
    assert torch.equal(torch.random.get_rng_state(), before)


def test_runs_stay_and_settings_that_were_trained_are_not_trained_again(data):
    board = widgets.CollapseSwitchboard(data, steps=10)
    assert board.state["runs"] == []
    assert board.verdict == ""
    assert "No step" in board.plot().caption
    board.method = "vicreg"
    board.variance = False
    board.negatives = False  # VICReg has none: it does not count
    assert board.off == ("variance",)
    board.train().wait(60)
    assert "without variance term" in board.verdict
    assert "Train it with all its guards" in board.verdict
    [run] = board.state["runs"]
    assert run["done"]
    assert run["step"] == 10
    assert {"rankme", "std", "alignment", "uniformity"} <= run.keys()

    board.variance = True
    board.train().wait(60)
    board.variance = False
    first = next(iter(board.runs.values()))
    board.train()
    assert not board.state["running"]
    assert first is list(board.runs.values())[-1]  # shown again, as the latest
    assert "with all its guards std" in board.verdict
    assert len(board.state["runs"]) == 2
    assert all(run["label"] in board.plot().caption for run in board.state["runs"])
    assert not board.clear().state["runs"]


def test_the_same_settings_give_the_same_numbers(data):
    one, two = (widgets.CollapseSwitchboard(data, steps=10).train().wait(60).state["runs"] for _ in range(2))
    assert one == two


def test_a_stopped_run_is_shown_but_does_not_count(data):
    board = widgets.CollapseSwitchboard(data, steps=1000)
    look = board._look

    def stop_soon(method, run, step):
        look(method, run, step)
        board.stop()

    board._look = stop_soon
    board.train()
    with pytest.raises(ValueError, match="running already"):
        board.train()
    board.wait(60)
    [run] = board.state["runs"]
    assert not run["done"]
    assert run["step"] < 1000
    board._look = look
    board.steps = 10
    assert board.train().wait(60).state["runs"][-1]["done"]


def test_without_its_guard_the_rank_falls():
    """Small and quick; the slow test of the methods measures it for all of them."""
    board = widgets.CollapseSwitchboard(shapes(1000, resolution=8), steps=60)
    board.method = "simsiam"
    board.train().wait(120)
    board.predictor = False
    board.train().wait(120)
    complete, without = (run["rankme"] for run in board.state["runs"])
    assert without < 0.6 * complete
    assert "fewer directions" in board.verdict


def test_what_does_not_fit_is_refused(data):
    board = widgets.CollapseSwitchboard(data)
    with pytest.raises(ValueError, match="Unknown method"):
        board.method = "simsia"
    with pytest.raises(ValueError, match="whole number from 10"):
        board.steps = 3


def test_the_view_greys_out_what_a_method_does_not_have(data):
    board = widgets.CollapseSwitchboard(data, steps=10)
    assert board.box
    for name, guards in GUARDS.items():
        board.controls["method"].value = name
        assert {s for s in SWITCHES if not board.controls[s].disabled} == set(guards)
    board.controls["predictor"].value = False
    assert board.off == ("predictor",)
    board.controls["train"].click()
    board.wait(60)
    assert "BYOL without predictor" in board._status.value
    assert board.controls["stop"].disabled

"""The training dashboard without a browser: start, stop, resume, and what it says."""

import subprocess
import sys
import threading
import time

import pytest
import torch

from sslkit import nets, pretrain, widgets
from sslkit.widgets import _working as module
from sslkit.widgets._glance import pairs_found
from sslkit.widgets._job import Job

SMALL = dict(batch_size=32, precision="float32", channels_last=False, marks=3, probe=40)


def small(data, method="simclr", **options):
    torch.manual_seed(0)
    return widgets.Dashboard(
        method, data, **SMALL | {"encoder": nets.small_resnet(widths=(4, 8)), "steps": 12} | options
    )


def stopped(board, step):
    """Start, and stop at that step."""
    watch = board._watch

    def stop_there(row):
        watch(row)
        if row["step"] == step:
            board.stop()

    board._watch = stop_there
    board.start().wait(60)
    board._watch = watch
    return board


def test_a_recipe_brings_its_settings(tiny_shapes):
    board = small(tiny_shapes, "quick")
    assert board.config.resolutions == (0.5, 0.5, 0.5, 0.5, 0.75, 1.0)
    board.start().wait(60)
    assert board.phase == "finished"
    assert board.run.config.resolutions == (0.5, 0.5, 0.5, 0.5, 0.75, 1.0)
    with pytest.raises(TypeError, match="Unknown options nonsense"):
        widgets.Dashboard(board.method, tiny_shapes, nonsense=1)


def test_stop_and_resume_give_the_weights_of_a_run_that_was_never_stopped(tiny_shapes):
    board = stopped(small(tiny_shapes), 5)
    assert board.phase == "stopped"
    assert 5 <= board.run.history.step < 12
    board.resume().wait(60)
    assert board.state["phase"] == "finished"
    straight = small(tiny_shapes).start().wait(60)
    torch.manual_seed(0)
    alone = pretrain(
        "simclr", tiny_shapes, encoder=nets.small_resnet(widths=(4, 8)), steps=12, progress=False, **SMALL
    )  # in the main thread
    a, b, c = (run.method.state_dict() for run in (board.run, straight.run, alone))
    assert all(torch.equal(a[name], b[name]) and torch.equal(a[name], c[name]) for name in a)
    assert board.run.history.step == board.state["step"] == 12
    untrained = [run.untrained.state_dict() for run in (board.run, alone)]
    assert all(torch.equal(value, untrained[1][name]) for name, value in untrained[0].items())


def test_the_thread_that_asks_stays_free_and_its_random_numbers_its_own(tiny_shapes):
    board = small(tiny_shapes, steps=2000)
    torch.manual_seed(7)
    expected = torch.rand(1000)
    torch.manual_seed(7)
    began = time.monotonic()
    board.start()
    assert time.monotonic() - began < 1
    assert torch.equal(torch.rand(1000), expected)
    assert board.phase == "training"
    with pytest.raises(ValueError, match="running already"):
        board.start()
    with pytest.raises(TimeoutError, match="not done after"):
        board.wait(0.01)
    board.stop().wait(30)
    assert board.phase == "stopped"
    assert not [thread for thread in threading.enumerate() if thread.name == "sslkit-lab"]


def test_the_state_has_numbers_and_the_figure_only_the_methods_own_lines(tiny_shapes):
    board = small(tiny_shapes)
    assert board.state["phase"] == "ready"
    assert board.state["loss"] is None
    assert "No step" in board.plot().caption
    board.start().wait(60)
    state = board.state
    assert 0 <= state["pairs_found"] <= 1
    assert 0 <= state["knn"] <= 1
    assert state["images_per_second"] > 0
    assert state["seconds_left"] == 0
    assert state["loss"] == board.run.history.rows[-1]["loss"]
    assert board.run.history.column("pairs_found")[0][-1] == 12  # it is part of the history
    assert board.run.method is board.method  # what was looked at is what was trained
    first, last = list(board.spectra.values())[:: len(board.spectra) - 1]
    assert not torch.equal(first, last)
    figure = board.plot()
    assert all(name in figure.caption for name in board.run.method.reference_values(32))
    drawn = {line.get_linestyle() for line in figure.axes[0].lines}
    assert "--" in drawn
    assert not any(line.get_linestyle() == "--" for ax in figure.axes[1:] for line in ax.lines)


def test_a_method_of_one_view_without_references_has_fewer_curves(tiny_shapes):
    board = small(tiny_shapes, "autoencoder", steps=3).start().wait(60)
    assert board.phase == "finished"
    assert board.state["pairs_found"] is None
    assert board.plot().caption


def test_an_error_in_the_thread_is_one_sentence(tiny_shapes):
    board = small(tiny_shapes, batch_size=9999).start().wait(30)
    assert board.phase == "failed"
    assert "batch_size is 9999" in board.state["error"]
    assert board.summary == board.state["error"]
    assert "\n" not in board.summary

    diverges = small(tiny_shapes, lr=1e30, marks=0).start().wait(30)
    assert "diverged" in diverges.state["error"]

    strange = small(tiny_shapes)
    strange._watch = lambda row: row["nothing of that name"]
    assert "KeyError" in strange.start().wait(30).state["error"]


def test_a_folder_can_be_resumed_on_another_day(tiny_shapes, tmp_path):
    first = stopped(small(tiny_shapes, folder=tmp_path), 4)
    again = small(tiny_shapes, folder=tmp_path)
    assert again.phase == "stopped"
    assert again.state["step"] == first.state["step"]
    with pytest.raises(ValueError, match="holds a training already"):
        again.start()
    assert again.resume().wait(60).phase == "finished"
    with pytest.raises(ValueError, match="nothing to resume"):
        again.resume()


def test_settings_that_do_not_fit_are_refused_at_once(tiny_shapes):
    with pytest.raises(ValueError, match="steps is 0"):
        small(tiny_shapes, steps=0)
    with pytest.raises(ValueError, match="Unknown method"):
        widgets.Dashboard("simcler", tiny_shapes)
    with pytest.raises(TypeError, match="options already"):
        widgets.Dashboard(small(tiny_shapes).method, tiny_shapes, temperature=0.1)
    with pytest.raises(ValueError, match="nothing to resume"):
        small(tiny_shapes).resume()


def test_the_view_follows_and_buttons_that_cannot_be_used_say_so(tiny_shapes, monkeypatch):
    monkeypatch.setattr(module, "PAUSE", 0.0)
    board = small(tiny_shapes, steps=3, marks=0)
    assert board.box
    disabled = lambda: {name for name, button in board.controls.items() if button.disabled}
    assert disabled() == {"stop", "resume"}
    board.controls["start"].click()
    board.wait(60)
    assert disabled() == {"stop", "resume"}
    assert "3 of 3" in board._readout.value
    assert "Finished" in board._status.value


def test_pairs_found_counts_first_ranks():
    z = torch.eye(4)
    assert pairs_found(z, z) == 1
    assert pairs_found(z, z.roll(1, 0)) == 0
    two = torch.stack([z[0], z[1], z[2], z[3]]), torch.stack([z[0], z[1], z[3], z[2]])
    assert pairs_found(*two) == 0.5


def test_the_thread_computes_with_as_many_threads_as_the_one_that_starts_it():
    """Else sums are split in another way, and resuming is exact no longer."""
    seen, job = [], Job()
    torch.set_num_threads(3)
    try:
        job.start(lambda stop: seen.append(torch.get_num_threads()), lambda: None)
        job.wait(10)
    finally:
        torch.set_num_threads(1)
    assert seen == [3]


LEAVE = """
import time
from sslkit import nets, widgets
from sslkit.datasets import shapes
board = widgets.Dashboard("simclr", shapes(200, resolution=8), steps=2000, batch_size=32, precision="float32",
                          channels_last=False, marks=0, encoder=nets.small_resnet(widths=(4, 8))).start()
while not board.rows:
    time.sleep(0.1)
print(board.phase)
"""


def test_a_program_can_be_left_while_it_trains():
    done = subprocess.run([sys.executable, "-c", LEAVE], capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout) == (0, "training\n"), done.stderr

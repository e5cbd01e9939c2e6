"""What only a notebook with a kernel shows: a cell that is run again, the notebook's theme, and Notebook 7."""

import json
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

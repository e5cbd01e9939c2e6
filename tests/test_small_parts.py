"""Schedules, seeds, errors, device choice, the face of the package."""

import itertools
import math
import os
import subprocess
import sys
import time

import pytest
import torch

from sslkit import device, schedules, seeds
from sslkit.errors import unknown


def test_warmup_cosine_closed_form():
    rates = [schedules.warmup_cosine(step, steps=110, warmup=10) for step in range(110)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[9] == rates[10] == pytest.approx(1.0)
    assert rates[60] == pytest.approx(0.5)
    assert rates[109] == pytest.approx((1 + math.cos(math.pi * 0.99)) / 2)
    assert all(a < b for a, b in itertools.pairwise(rates[:10]))
    assert all(a > b for a, b in itertools.pairwise(rates[10:]))


def test_cosine_ends_where_it_says():
    assert schedules.cosine(0.996, 1.0, 0.0) == pytest.approx(0.996)
    assert schedules.cosine(0.996, 1.0, 0.5) == pytest.approx(0.998)
    assert schedules.cosine(0.996, 1.0, 1.0) == pytest.approx(1.0)


def test_generators_are_functions_of_their_key():
    def first(*key):
        return torch.rand(1, generator=seeds.generator(*key)).item()

    assert first(0, "views", 1) == first(0, "views", 1)
    keys = [(seed, name, step) for seed in range(3) for name in ("views", "epoch") for step in range(200)]
    assert len({first(*key) for key in keys}) > len(keys) - 3  # 24-bit floats may meet by chance


def test_unknown_suggests():
    assert str(unknown("method", "simclear", ["vicreg", "simclr"])) == (
        "Unknown method 'simclear'. Did you mean 'simclr'? Known: simclr, vicreg."
    )
    assert "Did you mean" not in str(unknown("method", "qqq", ["vicreg", "simclr"]))


def test_choice_keeps_what_is_given_and_settles_the_rest_by_a_rule(monkeypatch):
    fixed = device.choose(device="cpu", precision="float32", channels_last=False)
    assert fixed == device.Compute("cpu", "float32", False)
    for fast, precision in ((True, "bfloat16"), (False, "float32")):
        monkeypatch.setattr(device, "fast_bfloat16", lambda name, fast=fast: fast)
        assert device.choose(device="cpu") == device.Compute("cpu", precision, True)
    assert not device.choose(device="mps", precision="float32").channels_last
    with pytest.raises(ValueError, match="Unknown precision 'fp16'"):
        device.choose(precision="fp16")


@pytest.mark.parametrize(
    ("share", "threads", "lines"), [(0.76, 2, 0), (0.74, 2, 1), (0.74, 1, 1), (0.97, 1, 0), (None, 2, 0)]
)
def test_a_crowded_machine_is_told_of(share, threads, lines, monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    said = device.crowded(share)
    assert len(said) == lines
    assert all(("OMP_NUM_THREADS" in line) == (threads > 1) for line in said)


def test_who_sleeps_has_no_core():
    found, share = device.share_of_time(lambda: time.sleep(0.3) or 7.0)
    assert found == 7.0
    assert share < 0.2


def test_importing_sslkit_loads_nothing_heavy():
    code = (
        "import sys, sslkit, sslkit.train, sslkit.recipes, sslkit.run, sslkit.evaluation, sslkit.datasets\n"
        "heavy = {'torchvision', 'matplotlib', 'sklearn', 'ipywidgets', 'PIL', 'scipy'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "bare = [n for n in dir(sslkit) if not n.startswith('_')]\n"
        "assert all(getattr(sslkit, n) is not None for n in bare)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(("before", "after"), [({}, "passive 1000"), ({"OMP_WAIT_POLICY": "active"}, "active None")])
def test_waiting_threads_sleep_unless_somebody_has_chosen(before, after):
    environment = {k: v for k, v in os.environ.items() if k not in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")} | before
    code = "import sslkit, sys, os; assert 'torch' not in sys.modules; "
    code += "print(os.environ['OMP_WAIT_POLICY'], os.environ.get('GOMP_SPINCOUNT'))"
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == after


def test_unknown_attribute_is_an_attribute_error():
    import sslkit

    with pytest.raises(AttributeError, match="has no attribute 'pretrian'"):
        sslkit.pretrian  # noqa: B018

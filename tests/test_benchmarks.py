"""The benchmarks run, and the numbers in RESULTS.md are those of their records."""

import importlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import sslkit

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "benchmarks"
SCRIPTS = [file.stem for file in sorted(FOLDER.glob("[a-z]*.py")) if file.stem != "all"]
RESULTS = (ROOT / "RESULTS.md").read_text()
MARKS = re.findall(r"<!-- (\w+): begin -->\n(.*?)\n<!-- \1: end -->", RESULTS, re.S)


@pytest.fixture(autouse=True)
def benchmarks(monkeypatch):
    """Scripts of one folder, importable by their names."""
    monkeypatch.syspath_prepend(FOLDER)


def test_every_mark_has_its_end_and_its_script():
    assert len(MARKS) == RESULTS.count(": begin -->") == RESULTS.count(": end -->")
    assert {name for name, _ in MARKS} <= set(SCRIPTS)


@pytest.mark.parametrize(("name", "shown"), MARKS, ids=[name for name, _ in MARKS])
def test_results_show_the_records(name, shown):
    rows, module = importlib.import_module("_rows"), importlib.import_module(name)
    assert shown == module.tables(rows.records(name, module.ROWS))


@pytest.mark.parametrize(
    "file", sorted(FOLDER.glob("records/*/*.json")), ids=lambda file: f"{file.parent.name}-{file.stem}"
)
def test_a_record_says_on_what_it_was_measured(file):
    record = json.loads(file.read_text())
    assert {"cores", "torch", "python", "commit", "capability"} <= record["machine"].keys()
    if "mode" in record["machine"]:
        assert "threads" in record


def test_an_error_of_nt_xent_is_measured_against_the_truth():
    """The float64 formula beside float64 autograd, on the loss written out."""
    bench = importlib.import_module("nt_xent_memory")
    z = [x.detach().double().requires_grad_() for x in bench.embeddings(96)]
    value = bench.plain(*z)
    gradient = torch.cat(torch.autograd.grad(value, z))[bench.sampled(96)]
    exact, written_out = bench.exact(96, rows=40)
    assert exact == pytest.approx(value.item(), rel=1e-12)
    torch.testing.assert_close(written_out, gradient, rtol=1e-9, atol=1e-12)


def test_jobs_have_their_turn_in_every_round():
    measure, order = importlib.import_module("_measure"), []
    jobs = {"a": lambda: order.append("a"), "b": lambda: order.append("b") or (3.0, 2.0)}
    found, rounds = measure.in_turn(jobs, 4)
    assert order == ["a", "b"] * 4
    assert rounds == 4
    assert found["b"] == (3.0, 2.0)
    assert measure.in_turn(jobs, 9, limit=0.0)[1] == 3


def test_a_record_of_another_machine_is_not_done_when_speed_is_measured(tmp_path):
    rows, here = importlib.import_module("_rows"), {"model": "mine", "commit": "1", "load": 0.0}
    file = tmp_path / "row.json"
    assert not rows._done(file, here, True)
    file.write_text(json.dumps({"machine": here | {"commit": "2", "load": 9.0}}))
    assert rows._done(file, here, True)
    file.write_text(json.dumps({"machine": here | {"model": "another"}}))
    assert not rows._done(file, here, True)
    assert rows._done(file, here, False)


@pytest.mark.slow
@pytest.mark.parametrize("name", SCRIPTS)
def test_every_benchmark_runs(name):
    before = RESULTS, sorted(FOLDER.glob("records/*/*"))
    command = [sys.executable, str(FOLDER / f"{name}.py"), "--quick"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert "|---|" in done.stdout or name == "costs"
    assert ((ROOT / "RESULTS.md").read_text(), sorted(FOLDER.glob("records/*/*"))) == before


@pytest.mark.slow
def test_the_mode_laptop_reaches_pytorch_and_onednn():
    measure = importlib.import_module("_measure")
    used = measure.instructions(os.environ | measure.LAPTOP)
    assert "AVX2" in used.split(", PyTorch ")[0]
    assert "AVX512" not in used.replace("-", "")
    assert used.endswith("PyTorch AVX2")
    assert measure.instructions(os.environ | {"ATEN_CPU_CAPABILITY": "default"}).endswith("PyTorch DEFAULT")


def test_sslkit_needs_no_peer():
    """lightly, kornia and the others are measured against, never imported."""
    peers = re.compile(r"^\s*(?:import|from) (lightly|kornia|pytorch_metric_learning|openTSNE)", re.M)
    for file in Path(sslkit.__file__).parent.rglob("*.py"):
        assert not peers.search(file.read_text()), file

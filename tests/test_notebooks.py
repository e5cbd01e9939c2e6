"""Notebooks: built from their source, small, clean, complete. That they run is checked by nbval."""

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from sslkit.exercises import IDS, find

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
each = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)

spec = importlib.util.spec_from_file_location("build", ROOT / "notebooks" / "build.py")
build = importlib.util.module_from_spec(spec)
spec.loader.exec_module(build)


def cells(path, kind):
    notebook = json.loads(path.read_text())
    return [
        ("".join(cell["source"]), cell.get("outputs", [])) for cell in notebook["cells"] if cell["cell_type"] == kind
    ]


def test_all_are_there():
    """Every notebook has a source and two exercises, and README leads to it."""
    numbers = [p.stem[:2] for p in NOTEBOOKS]
    assert (
        numbers
        == sorted({id[:2] for id in IDS})
        == sorted(p.stem[:2] for p in (ROOT / "notebooks/source").glob("*.py"))
    )
    assert set(numbers) >= {f"{i:02d}" for i in range(7)}
    readme = (ROOT / "README.md").read_text()
    assert all(f"notebooks/{p.name}" in readme for p in NOTEBOOKS)


@each
def test_notebook_is_built_from_its_source(path):
    assert not build.differs(ROOT / "notebooks" / "source" / f"{path.stem}.py"), "run: make notebooks"


@each
def test_notebook_is_executed_clean_and_small(path):
    assert path.stat().st_size < 1.5e6
    for source, outputs in cells(path, "code"):
        for output in outputs:
            assert output["output_type"] != "error", source
            assert output.get("name") != "stderr", (source, output)
    assert any(outputs for _, outputs in cells(path, "code"))


@each
def test_both_exercises_are_set_as_stubs(path):
    code = "\n".join(source for source, _ in cells(path, "code"))
    shown = json.dumps([outputs for _, outputs in cells(path, "code")])
    for letter in "ab":
        exercise = f"{path.stem[:2]}{letter}"
        assert exercise in IDS
        assert f'check("{exercise}"' in code
        name = re.search(r"def (\w+)", find(exercise).stub).group(1)
        assert f"def {name}" in code
    assert shown.count("not attempted yet") >= 2


@each
def test_naive_cells_are_short(path):
    for source, _ in cells(path, "code"):
        lines = [line for line in source.splitlines() if line.strip() and not line.strip().startswith("#")]
        assert len(lines) <= 20, source


@each
def test_figures_have_captions_and_alt_text(path):
    for _, outputs in cells(path, "code"):
        for output in outputs:
            page = "".join(output.get("data", {}).get("text/html", ""))
            if "<img" in page:
                assert 'alt="' in page
                assert "<figcaption" in page
            assert "image/png" not in output.get("data", {}), "figures go through sslkit.plots"


@each
def test_prose_has_no_measured_numbers(path):
    """Results are printed by cells. Prose may define (0.5 as a default, ln(2N-1), a 95 % interval), not report."""
    defined = r"\$[^$]*\$|`[^`]*`|\([^)]*arXiv[^)]*\)|\[[^\]]*\]\([^)]*\)|arXiv[ :]*[\d.]+|τ = [\d.]+|95 % interval"
    for source, _ in cells(path, "markdown"):
        text = re.sub(defined, "", source)
        assert not re.search(r"\b0\.\d{2,}\b|\b\d+(\.\d+)? ?%", text), text


@each
def test_teacher_has_half_a_page(path):
    text = (ROOT / "docs" / "teaching" / f"{path.stem}.md").read_text()
    for word in ("Goal", "Minutes", "Questions", "mistake"):
        assert word.lower() in text.lower(), word
    assert 80 <= len(text.split()) <= 700


@pytest.mark.slow
def test_what_is_shipped_can_be_trained_again(tmp_path):
    """The notebooks that read a shipped run, without it. The others train all they show, in `make test` already."""
    folder = tmp_path / "notebooks"
    folder.mkdir()
    readers = [path for path in NOTEBOOKS if 'resume="runs/' in path.read_text().replace("\\", "")]
    assert len(readers) >= 5
    for path in readers:
        shutil.copy(path, folder)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "--nbval-lax",
        "--nbval-current-env",
        "--nbval-cell-timeout",
        "900",
    ]
    result = subprocess.run(
        [*command, "-p", "no:cacheprovider", "-p", "no:playwright", str(folder)],
        cwd=tmp_path, env={**os.environ, "CI": "true"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout[-5000:]
    assert list((folder / "runs").glob("*/checkpoint.pt"))

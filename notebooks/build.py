"""Build notebooks/*.ipynb from notebooks/source/*.py: convert, execute from top to bottom, store with outputs.

    python notebooks/build.py              # all
    python notebooks/build.py 03 05        # some
    python notebooks/build.py --check      # change nothing, exit 1 if a notebook does not match its source

What a notebook took, and how fast the machine was just before and after, goes into notebooks/costs.json: from it
`sslkit doctor` predicts what the notebook takes elsewhere.

The source is the only place to edit. Progress bars are silent (CI=true) and widget state is not stored, so that what is
committed is what a reader wants to see.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient

HERE = Path(__file__).resolve().parent
METADATA = {
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def from_source(source: Path) -> nbformat.NotebookNode:
    """The notebook that a source file describes, without outputs, with stable cell ids."""
    notebook = jupytext.read(source)
    notebook.metadata = nbformat.from_dict(METADATA)
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"{source.stem[:2]}-{number:03d}"
    return notebook


def execute(notebook: nbformat.NotebookNode, folder: Path) -> None:
    """Run every cell in `folder`, and keep what it showed."""
    client = NotebookClient(
        notebook, timeout=900, resources={"metadata": {"path": str(folder)}}, store_widget_state=False
    )
    client.execute()
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)  # times of day make every build differ
        for output in cell.get("outputs", []):  # without a kernel, a lab shows its figure instead of an error
            if "text/html" in output.get("data", {}):
                output.data.pop("application/vnd.jupyter.widget-view+json", None)


def differs(source: Path) -> bool:
    """Whether the committed notebook has other cells than its source."""
    target = HERE / f"{source.stem}.ipynb"
    if not target.exists():
        return True
    cells = [
        [(cell.cell_type, cell.source) for cell in nb.cells] for nb in (nbformat.read(target, 4), from_source(source))
    ]
    return cells[0] != cells[1]


def record(name: str, seconds: float, speeds: list[float], file: Path = HERE / "costs.json") -> None:
    """Keep what a notebook took, beside the speed of the machine: steps of `sslkit.doctor.speed` per second."""
    import torch

    found = json.loads(file.read_text()) if file.exists() else {}
    found[name] = {
        "seconds": round(seconds, 1),
        "steps_per_second": round(sum(speeds) / len(speeds), 3),
        "threads": torch.get_num_threads(),
    }
    file.write_text(json.dumps(dict(sorted(found.items())), indent=1) + "\n")


def main(arguments: list[str]) -> int:
    os.environ["CI"] = "true"
    sources = sorted((HERE / "source").glob("[0-9][0-9]_*.py"))
    if "--check" in arguments:
        stale = [source.stem for source in sources if differs(source)]
        print(
            f"Not built from their source: {', '.join(stale)}. Run: make notebooks" if stale else "All notebooks match."
        )
        return bool(stale)
    for source in sources:
        if arguments and source.stem[:2] not in arguments:
            continue
        from sslkit import doctor

        speeds, start = [doctor.speed()], time.perf_counter()
        notebook = from_source(source)
        execute(notebook, HERE)
        seconds = time.perf_counter() - start
        record(source.stem, seconds, [*speeds, doctor.speed()])
        nbformat.write(notebook, HERE / f"{source.stem}.ipynb")
        size = (HERE / f"{source.stem}.ipynb").stat().st_size / 1024
        print(f"{source.stem}: {seconds:.0f} s, {size:.0f} kB", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

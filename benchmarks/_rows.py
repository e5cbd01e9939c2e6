"""What benchmarks in rows share: a row is measured once, kept as one JSON file, and shown in a Markdown table."""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import torch

import sslkit
from sslkit import checkpoint, evaluation, recipes
from sslkit.datasets import Images
from sslkit.methods import Method

ROOT = Path(__file__).resolve().parent.parent
QUICK = {"n": 1000, "budget": {"steps": 3}}  # pictures and budget of a trial run


def main(
    name: str,
    what: str,
    rows: dict[str, Callable[[Images, dict], dict]],
    tables: Callable[[list[dict]], str],
    *,
    budget: dict,
    masks: bool = False,
) -> None:
    """Measure the rows that have no record yet. A row is a function of data and budget that returns its record.

    Options of the command line: --quick, --minutes, --steps, --tables, and names of rows, which end in their seed. Records
    go into benchmarks/records/<name>/, tables into RESULTS.md, between its marks `<!-- <name>: begin -->` and `end` if any.
    """
    parser = argparse.ArgumentParser(description=what)
    parser.add_argument(
        "--quick", action="store_true", help="few pictures, few steps, no record: only to see that it runs"
    )
    parser.add_argument("--minutes", type=float, help="training time of a row")
    parser.add_argument("--steps", type=int, help="training steps of a row, instead of minutes")
    parser.add_argument("--tables", action="store_true", help="only print the tables of the records there are")
    parser.add_argument("rows", nargs="*", help="names of rows (all)")
    options = parser.parse_args()
    if unknown := set(options.rows) - set(rows):
        parser.error(f"there is no row {', '.join(sorted(unknown))}; the rows are {', '.join(rows)}")
    folder = ROOT / "benchmarks" / "records" / name
    if not options.tables:
        budget = (
            {"steps": options.steps} if options.steps else {"minutes": options.minutes} if options.minutes else budget
        )
        budget = QUICK["budget"] if options.quick else budget
        data = sslkit.datasets.shapes(**({"n": QUICK["n"]} if options.quick else {}), masks=masks)
        chosen = options.rows or [
            row for row in rows if not options.quick or not row[-1].isdigit() or row.endswith("-0")
        ]
        todo = [row for row in chosen if options.quick or not (folder / f"{row}.json").exists()]
        print(f"{len(todo)} rows to do.", flush=True)
        fresh = []
        for row in todo:
            start = time.perf_counter()
            record = {"row": row, "budget": budget, **rows[row](data, budget)}
            record |= {"seconds": time.perf_counter() - start, "machine": machine()}
            fresh.append(record)
            print(f"{row}: {record['seconds']:.0f} s", flush=True)
            if not options.quick:
                checkpoint.write_file(
                    folder / f"{row}.json", lambda file, r=record: file.write(json.dumps(r, indent=1).encode())
                )
                write_results(name, tables(records(folder, rows)))
        if options.quick:
            print(tables(fresh))
            return
    print(tables(records(folder, rows)))


def records(folder: Path, rows) -> list[dict]:
    """The records there are, in the order of the rows."""
    return [json.loads((folder / f"{row}.json").read_text()) for row in rows if (folder / f"{row}.json").exists()]


def small(name: str, data: Images, seed: int, **options) -> Method:
    """The method of that name on a narrow encoder: many rows in the time that one of full width would take."""
    encoder = recipes.encoder(data, seed=seed, widths=(16, 32, 64))
    return recipes.method(name, data, seed=seed, encoder=encoder, **options)


def train(method: Method, data: Images, budget: dict, seed: int, **settings) -> tuple[sslkit.Run, dict]:
    """Train a method, and what a record says about it."""
    settings = {"batch_size": 128, "precision": "float32", "progress": False, "marks": 0} | settings
    run = sslkit.pretrain(method, data, **budget, seed=seed, **settings)
    if run.history.step < run.config.steps:  # Ctrl-C or SIGTERM end a run in good order, but it is no measurement
        raise SystemExit(f"stopped at step {run.history.step}; no record is written")
    return run, {"seed": seed, "config": run.card()["training"], "method": method.spec, "training": run.history.seconds}


def probes(x: dict[str, torch.Tensor], data: Images) -> dict[str, float]:
    """What can be read from features, from `evaluation.split_features`: linear probe, kNN, few labels, rank."""
    train, val, test = data.train, data.val, data.test
    pairs = (x["train"], train.labels, x["test"], test.labels)
    values = {
        "linear probe": evaluation.linear_probe(*pairs, val_x=x["val"], val_y=val.labels),
        "kNN": evaluation.knn(*pairs),
        **{f"{n} label{'s' * (n > 1)}": score for n, score in evaluation.few_label(*pairs, budgets=(1, 10)).items()},
    }
    return {name: float(score) for name, score in values.items()} | {"RankMe": evaluation.collapse(x["test"])["rankme"]}


def table(records: list[dict], *, first: str = "", digits: dict[str, int] | None = None) -> str:
    """Markdown: a line for each "what" of the records, a column for each of their values, mean ± deviation over seeds."""
    if not records:
        return "No records yet."
    columns = list(dict.fromkeys(name for record in records for name in record["values"]))
    lines = ["| " + " | ".join([first, *columns]) + " |", "|---|" + "---:|" * len(columns)]
    for what in dict.fromkeys(record["what"] for record in records):
        same = [record["values"] for record in records if record["what"] == what]
        cells = [_cell([v[c] for v in same if v.get(c) is not None], (digits or {}).get(c, 2)) for c in columns]
        lines.append(f"| {what} | " + " | ".join(cells) + " |")
    trained = [record for record in records if "config" in record]
    steps = sorted({record["config"]["steps"] for record in trained})
    seeds = sorted({record["seed"] for record in trained})
    m = records[0]["machine"]
    how = (
        f"Steps: {', '.join(f'{n:,}' for n in steps)}. Seeds: {', '.join(map(str, seeds))}; mean ± standard deviation. "
    )
    where = f"Machine: {m['cores']} threads, {m['processor']}; PyTorch {m['torch']}, sslkit at commit {m['commit']}."
    return "\n".join([*lines, "", how * bool(trained) + where])


def _cell(values: list[float], digits: int) -> str:
    if not values:
        return "–"
    values = torch.tensor(values, dtype=torch.float64)
    return f"{values.mean():.{digits}f}" + (f" ± {values.std():.{digits}f}" if len(values) > 1 else "")


def machine() -> dict:
    """What it ran on."""
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return {
        "cores": torch.get_num_threads(), "processor": platform.processor() or platform.machine(),
        "capability": torch.backends.cpu.get_cpu_capability(), "torch": str(torch.__version__),
        "python": platform.python_version(), "sslkit": sslkit.__version__, "commit": commit.stdout.strip() or "unknown",
    }  # fmt: skip


def write_results(name: str, tables: str) -> None:
    """Put tables between their marks in RESULTS.md, where it has them."""
    path, begin, end = ROOT / "RESULTS.md", f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    text = path.read_text()
    if begin in text:
        path.write_text(text[: text.index(begin) + len(begin)] + "\n" + tables + "\n" + text[text.index(end) :])

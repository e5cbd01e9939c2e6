"""What benchmarks in rows share: a row is measured once, kept as one JSON file, and shown in a Markdown table."""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import cache, partial
from pathlib import Path

import torch
from _measure import mode

import sslkit
from sslkit import checkpoint, device, evaluation, recipes
from sslkit.datasets import Images
from sslkit.methods import Method

ROOT = Path(__file__).resolve().parent.parent
RECORDS = ROOT / "benchmarks" / "records"
QUICK = {"n": 1000, "budget": {"steps": 3}}  # pictures and budget of a trial run


def frame(
    name: str,
    what: str,
    rows: dict[str, Callable[[argparse.Namespace], dict]],
    tables: Callable[[list[dict]], str],
    *,
    minutes: float,
    quick: Sequence[str] | None = None,
    speed: bool = False,
    arguments: Callable[[argparse.ArgumentParser], object] = lambda parser: None,
) -> None:
    """Measure the rows that have no record yet. A row is a function of the options that returns its record.

    Options of the command line: --quick, --tables, --again, those of `arguments`, and names of rows. Records go into
    benchmarks/records/<name>/, tables into RESULTS.md, between its marks `<!-- <name>: begin -->` and `end` if any.
    minutes: what a row takes, about. quick: the rows of a trial run (all).
    speed: the rows measure a machine. Each has a record per mode (see `_measure.mode`), and one of another machine does
    not count as done.
    """
    parser = argparse.ArgumentParser(description=what)
    parser.add_argument(
        "--quick", action="store_true", help="few pictures, few steps, no record: only to see that it runs"
    )
    parser.add_argument("--tables", action="store_true", help="only print the tables of the records there are")
    parser.add_argument("--again", action="store_true", help="measure rows that have a record once more")
    parser.add_argument("rows", nargs="*", help="names of rows (all)")
    arguments(parser)
    options = parser.parse_args()
    if unknown := set(options.rows) - set(rows):
        parser.error(f"there is no row {', '.join(sorted(unknown))}; the rows are {', '.join(rows)}")
    if not options.tables:
        here = machine(check=speed and not options.quick)
        file = lambda row: RECORDS / name / (f"{row}.{here['mode']}.json" if speed else f"{row}.json")
        chosen = options.rows or (list(quick) if options.quick and quick is not None else list(rows))
        todo = [row for row in chosen if options.quick or options.again or not _done(file(row), here, speed)]
        print(f"{name}: {len(todo)} rows to do" + f", about {len(todo) * minutes:.0f} minutes." * (not options.quick))
        fresh = []
        for row in todo:
            start = time.perf_counter()
            record = {"row": row, "threads": torch.get_num_threads(), **rows[row](options)}
            record |= {"seconds in all": time.perf_counter() - start, "machine": here}
            fresh.append(record)
            print(f"{row}: {record['seconds in all']:.0f} s", flush=True)
            if not options.quick:
                text = json.dumps(record, indent=1, ensure_ascii=False).encode()
                checkpoint.write_file(file(row), lambda opened, text=text: opened.write(text))
                write_results(name, tables(records(name, rows)))
        if options.quick:
            print(tables(fresh))
            return
    print(tables(records(name, rows)))


def _done(file: Path, here: dict, speed: bool) -> bool:
    """Whether there is a record; for a speed, one that this machine made."""
    if not file.exists():
        return False
    there = json.loads(file.read_text())["machine"]
    return not speed or all(there.get(key) == value for key, value in here.items() if key not in ("commit", "load"))


def records(name: str, rows: Iterable[str]) -> list[dict]:
    """The records there are, in the order of the rows; of one row, one per mode if it has modes."""
    folder = RECORDS / name
    files = [(row, file) for row in rows for file in (folder / f"{row}.json", *sorted(folder.glob(f"{row}.*.json")))]
    return [{"row": row, **json.loads(file.read_text())} for row, file in files if file.exists()]


def main(
    name: str,
    what: str,
    rows: dict[str, Callable[[Images, dict], dict]],
    tables: Callable[[list[dict]], str],
    *,
    budget: dict,
    masks: bool = False,
    minutes: float = 1.0,
) -> None:
    """`frame` for rows that train on `shapes`. A row is a function of data and budget; its name ends in its seed.

    More options of the command line: --minutes, --steps.
    """

    def arguments(parser):
        parser.add_argument("--minutes", type=float, help="training time of a row")
        parser.add_argument("--steps", type=int, help="training steps of a row, instead of minutes")

    @cache
    def data(quick):
        return sslkit.datasets.shapes(**({"n": QUICK["n"]} if quick else {}), masks=masks)

    def job(row, options):
        given = (
            {"steps": options.steps} if options.steps else {"minutes": options.minutes} if options.minutes else budget
        )
        used = QUICK["budget"] if options.quick else given
        return {"budget": used, **rows[row](data(options.quick), used)}

    jobs = {row: partial(job, row) for row in rows}
    quick = [row for row in rows if not row[-1].isdigit() or row.endswith("-0")]
    frame(name, what, jobs, tables, minutes=minutes, quick=quick, arguments=arguments)


def small(name: str, data: Images, seed: int, **options) -> Method:
    """The method of that name on a narrow encoder: many rows in the time that one of full width would take."""
    encoder = recipes.encoder(data, seed=seed, widths=(16, 32, 64))
    return recipes.method(name, data, seed=seed, encoder=encoder, **options)


def train(method: str | Method, data: Images, budget: dict, seed: int, **settings) -> tuple[sslkit.Run, dict]:
    """Train a method, which is copied or built by name: the run, and what a record says about it."""
    settings = {"batch_size": 128, "precision": "float32", "progress": False, "marks": 0} | settings
    run = sslkit.pretrain(method, data, **budget, seed=seed, **settings)
    if run.stopped:  # Ctrl-C or SIGTERM end a run in good order, but it is no measurement
        raise SystemExit(f"stopped at step {run.history.step}; no record is written")
    return run, {
        "seed": seed,
        "config": run.card()["training"],
        "method": run.method.spec,
        "training": run.history.seconds,
    }


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


def table(
    records: list[dict], *, first: str = "", digits: dict[str, int | str] | None = None, modes: bool = True
) -> str:
    """Markdown: a line for each "what" of the records, a column for each of their values, mean ± deviation over seeds.

    digits: behind the point, or how Python formats the column, such as ",.0f". modes: tell apart what was measured in
    different modes, if there are several; what is no speed may do without.
    """
    if not records:
        return "No records yet."
    columns = list(dict.fromkeys(name for record in records for name in record["values"]))
    lines = ["| " + " | ".join([first, *columns]) + " |", "|---|" + "---:|" * len(columns)]
    found = {record["machine"].get("mode") for record in records if modes}
    name = lambda record: record["what"] + (f", {record['machine']['mode']}" if len(found) > 1 else "")
    for what in dict.fromkeys(map(name, records)):
        same = [record["values"] for record in records if name(record) == what]
        cells = [_cell([v[c] for v in same if v.get(c) is not None], (digits or {}).get(c, 2)) for c in columns]
        lines.append(f"| {what} | " + " | ".join(cells) + " |")
    trained = [record for record in records if "config" in record]
    steps = sorted({record["config"]["steps"] for record in trained})
    seeds = sorted({record["seed"] for record in trained})
    how = (
        f"Steps: {', '.join(f'{n:,}' for n in steps)}. Seeds: {', '.join(map(str, seeds))}; mean ± standard deviation. "
    )
    return "\n".join([*lines, "", how * bool(trained) + where(records)])


def ways(records: list[dict]) -> list[dict]:
    """The records of `table` that are inside of others: one for each of several ways to do the same."""
    return [{**way, "machine": record["machine"]} for record in records for way in record["ways"]]


def _cell(values: list[float], digits: int | str) -> str:
    if not values:
        return "–"
    spec = f".{digits}f" if isinstance(digits, int) else digits
    values = torch.tensor(values, dtype=torch.float64)
    return format(values.mean().item(), spec) + (f" ± {format(values.std().item(), spec)}" if len(values) > 1 else "")


def where(records: list[dict]) -> str:
    """One sentence about the machines of the records, with how many rows each has made, and one about the software."""
    machines = [record["machine"] for record in records]
    kind = lambda m: f"{m['cores']} thread{'s' * (m['cores'] > 1)}, {m.get('model', m['processor'])}, {m['capability']}"
    rows = Counter(map(kind, machines))
    made = [f"{name} ({n} row{'s' * (n > 1)})" if len(rows) > 1 else name for name, n in rows.items()]
    versions, commits = (list(dict.fromkeys(m[key] for m in machines)) for key in ("torch", "commit"))
    return (
        f"Machine{'s' * (len(rows) > 1)}: {'; '.join(made)}. PyTorch {', '.join(versions)}, sslkit at commit"
        f"{'s' * (len(commits) > 1)} {', '.join(commits)}."
    )


def machine(check: bool = False) -> dict:
    """What it ran on. `check` asks oneDNN too which instructions it uses, which takes a few seconds."""
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return {
        "cores": torch.get_num_threads(), "processor": platform.processor() or platform.machine(),
        "model": processor(), "device": device.best_device(), "mode": mode(check),
        "capability": torch.backends.cpu.get_cpu_capability(), "torch": str(torch.__version__),
        "python": platform.python_version(), "sslkit": sslkit.__version__, "commit": commit.stdout.strip() or "unknown",
        "load": os.getloadavg()[0],
    }  # fmt: skip


def processor() -> str:
    """The name of what computes: the accelerator if there is one, else the processor."""
    if device.best_device() == "cuda":
        return torch.cuda.get_device_name()
    info = Path("/proc/cpuinfo")
    names = (
        [line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
        if info.exists()
        else []
    )
    return names[0] if names else platform.machine()


def write_results(name: str, tables: str) -> None:
    """Put tables between their marks in RESULTS.md, where it has them."""
    path, begin, end = ROOT / "RESULTS.md", f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    text = path.read_text()
    if begin in text:
        path.write_text(text[: text.index(begin) + len(begin)] + "\n" + tables + "\n" + text[text.index(end) :])

"""The race: every method, one encoder, the same minutes, several seeds, the same exam. Who learned most?

One JSON record per row, so a race can be stopped at any time and goes on where it was. `tables` makes Markdown of them.

A minute is a number of steps: those that plain SimCLR makes in it, divided by what a step of the method costs beside one of
SimCLR (`doctor.costs`). So rows of a busy hour are as long as those of a quiet one, and several computers can share a race.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import time
import zlib
from collections.abc import Callable, Iterable, Sequence
from itertools import product
from pathlib import Path

import torch

import sslkit
from sslkit import checkpoint, datasets, doctor, evaluation, nets, plots, recipes, train
from sslkit.errors import unknown
from sslkit.methods import Method
from sslkit.run import pretrain

MINUTES = {"shapes": 2.0, "emoji": 1.0, "fashion": 1.0}  # of training, per row
SEEDS = (0, 1, 2)
ON_VIT = "simclr on ViT"  # beside MAE, which needs a transformer: the same encoder, another method
BASELINES = "baselines"
SPEED = "speed.json"  # of SimCLR, in steps per second, when the race of this folder began
ENTRANTS = (*recipes.METHODS, ON_VIT)
ROWS = ("linear probe", "kNN", "10 labels per class", "RankMe")


def race(
    folder: str | Path,
    *,
    methods: Sequence[str] = ENTRANTS,
    data: Sequence[str] = tuple(MINUTES),
    seeds: Sequence[int] = SEEDS,
    minutes: float | None = None,
    steps: int | None = None,
) -> Iterable[dict]:
    """Run every row that has no record in `folder` yet, and yield the records as they are written.

    minutes: per row; by default two on shapes, one on the others. How fast SimCLR is on this machine is measured before
    the first row, and kept in the folder. steps: a count instead, the same for every method, which is no fair budget but
    good for a quick look. Every method gets its first seed before any gets its second.
    Raises ValueError for an unknown method or data set, and for minutes that are not above 0.
    """
    data = [data] if isinstance(data, str) else data
    todo = missing(folder, methods=methods, data=data, seeds=seeds, minutes=minutes, steps=steps)
    for name in data:
        pictures = datasets.load(name)
        for method, budget, seed, file in ((m, b, s, f) for d, m, b, s, f in todo if d == name):
            if file.exists():  # asked for twice, or another process has been faster
                continue
            record = row(method, pictures, budget, seed) | {"data": data_name(name)}
            _write(file, record)
            yield record


def missing(
    folder: str | Path, *, methods: Sequence[str], data: Sequence[str], seeds: Sequence[int], minutes=None, steps=None
) -> list[tuple[str, str, dict, int, Path]]:
    """The rows of `race` that have no record yet: data set, method, budget, seed, and the record's file.

    Measures SimCLR's speed if the folder does not know it yet. Raises ValueError for records of another number of steps, and
    for pictures without labels or fewer than a batch.
    """
    methods, data = ([names] if isinstance(names, str) else names for names in (methods, data))
    for method in methods:
        if method not in ENTRANTS:
            raise unknown("method", method, ENTRANTS)
    if minutes is not None:
        train.check_minutes(minutes)
    if steps is not None and steps < 1:
        raise ValueError(f"steps is {steps!r}; it must be a whole number of at least 1.")
    if not seeds:
        raise ValueError("A race needs one seed at least.")
    for name in set(data) - set(datasets.NAMES):  # what is wrong is found before the first row, not hours later
        pictures, batch = datasets.load(name), train.TrainConfig.batch_size
        if pictures.labels is None:
            raise ValueError(f"{name} has no labels, and a race ranks methods by them: give class folders or labels.")
        if len(pictures.train) < batch:
            raise ValueError(
                f"A race has batches of {batch} pictures, but {name} has {len(pictures.train)} to train on."
            )
    folder, found = checkpoint.check_writable(folder), []
    for name in data:

        def length(method: str, name=name) -> int:
            return steps or fair_steps(method, minutes or MINUTES.get(name, 1.0), _speed(folder, name))

        _check_lengths(folder, name, length)
        for seed, method in product(seeds, (BASELINES, *methods)):
            file = folder / f"{row_name(name, method, seed)}.json"
            if not file.exists():
                found.append((name, method, {"steps": length(method)}, seed, file))
    return found


def _check_lengths(folder: Path, data: str, length: Callable[[str], int]) -> None:
    """Raise ValueError for a record of another number of steps: it would be ranked beside the others."""
    for record in read(folder):
        done = record.get("card", {}).get("steps_done")
        if record["data"] == data_name(data) and done and done != (now := length(record["method"])):
            raise ValueError(
                f"{folder} has a row of {done:,} steps of {record['method']} on {record['data']}, this race {now:,}: "
                "choose another folder, or delete the records."
            )


def row_name(data: str, method: str, seed: int) -> str:
    """What a row's record is called."""
    return f"{data_name(data)}-{method.replace(' ', '_')}-{seed}"


def data_name(data: str) -> str:
    """What a data set is called in a race. A folder or file goes by its name, and a number that tells it from others."""
    return data if data in datasets.NAMES else f"{Path(data).name}-{zlib.crc32(str(Path(data).resolve()).encode()):08x}"


def fair_steps(method: str, minutes: float, speed: float) -> int:
    """How many steps of a method take as long as plain SimCLR's in so many minutes. speed: SimCLR's steps per second."""
    return max(train.FEWEST, round(60 * minutes * speed / doctor.costs()["methods"].get(method, 1.0)))


def _speed(folder: Path, data: str) -> float:
    """SimCLR's steps per second on this data, as they were when the race of this folder began."""
    file = folder / SPEED
    known = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    if data not in known:
        known[data] = doctor.speed(datasets.load(data))
        _write(file, known)
    return known[data]


def _write(file: Path, record: dict) -> None:
    checkpoint.write_file(file, lambda out: out.write(json.dumps(record, indent=1).encode()))


def row(method: str, data: datasets.Images, budget: dict, seed: int) -> dict:
    """Train one entrant and examine it: the record of one row. `budget`: {"steps": n}."""
    start = time.perf_counter()
    about = {"data": data.name, "method": method, "seed": seed, "machine": machine()}
    if method == BASELINES:
        random = recipes.method("simclr", data, seed=seed).encoder.eval()
        sets = {"random encoder": evaluation.split_features(random, data)} | evaluation.baselines(data)
        table = evaluation.evaluate(sets, data)
        return about | {"columns": _columns(table), "seconds": time.perf_counter() - start}
    try:
        run = pretrain(entrant(method, data, seed), data, **budget, seed=seed, progress=False, marks=2)
    except FloatingPointError as error:  # a method that diverges has a row too: it says so
        return about | {"columns": {}, "diverged": str(error), "seconds": time.perf_counter() - start}
    if run.stopped:  # Ctrl-C or SIGTERM end a run in good order, but it is no measurement
        raise KeyboardInterrupt
    trained = time.perf_counter() - start
    table = evaluation.evaluate({"this encoder": evaluation.split_features(run.encoder, data)}, data)
    return about | {
        "columns": _columns(table),
        "verdict": table.collapse["this encoder"]["verdict"],
        "parameters": sum(p.numel() for p in run.encoder.parameters()),
        "card": run.card(),
        "images_per_second": run.history.rows[-1]["images_per_second"],
        "trained": trained,
        "seconds": time.perf_counter() - start,
    }


def entrant(name: str, data: datasets.Images, seed: int) -> Method:
    """The method of that name, of ENTRANTS, with its usual settings."""
    if name == ON_VIT:
        return recipes.method("simclr", data, seed=seed, encoder=recipes.encoder(data, seed=seed, make=nets.tiny_vit))
    return recipes.method(name, data, seed=seed)


def _columns(table: evaluation.Table) -> dict:
    columns = table.to_dict()["columns"]
    for name, report in table.collapse.items():
        columns[name]["RankMe"] = float(report["rankme"])
    return columns


def machine() -> dict:
    """What a record was measured on."""
    return {
        "threads": torch.get_num_threads(),
        "cores": os.cpu_count(),
        "processor": platform.machine(),
        "capability": torch.backends.cpu.get_cpu_capability(),
        "torch": str(torch.__version__),
        "python": platform.python_version(),
        "sslkit": sslkit.__version__,
    }


def read(folder: str | Path) -> list[dict]:
    """All records of a race, in the order of their file names. Other JSON files are passed over.

    Raises ValueError naming a file that is damaged.
    """
    records = map(_record, sorted(Path(folder).expanduser().glob("*.json")))
    return [record for record in records if {"data", "method", "seed", "columns"} <= record.keys()]


def _record(file: Path) -> dict:
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:  # not JSON, or not even text
        raise ValueError(f"{file} is damaged ({error}): delete it, and the race measures it again.") from error
    return record if isinstance(record, dict) else {}


def tables(records: Sequence[dict]) -> str:
    """Records as Markdown: a table per data set, best linear probe first, mean ± deviation over seeds."""
    found = dict.fromkeys(record["data"] for record in records)
    return "\n\n".join(_table(name, [r for r in records if r["data"] == name]) for name in found)


def figures(records: Sequence[dict]) -> dict[str, object]:
    """Records as one figure per data set, {name: figure}: the linear probe of every method beside the baselines."""
    found = {}
    for name in dict.fromkeys(record["data"] for record in records):
        scores: dict[str, list] = {}
        beside: dict[str, list] = {}
        columns = [(r["method"], *column) for r in records if r["data"] == name for column in r["columns"].items()]
        for method, column, values in columns:
            shown = f"{method} (saw labels)" if method == "supcon" else method
            side, who = (scores, shown) if column == "this encoder" else (beside, column)
            if probes := _values([values], "linear probe"):  # none without labels
                side.setdefault(who, []).extend(probes)
        if scores:
            means = {who: statistics.mean(values) for who, values in beside.items()}
            found[name] = plots.race(scores, baselines=means, measure=f"linear probe on {name}")
            found[name].caption = f"{name}: {found[name].caption}"
            found[name].alt = f"{name}. {found[name].alt}"
    return found


def _table(data: str, records: list[dict]) -> str:
    scores: dict[tuple[str, str], list[dict]] = {}
    for record in records:
        for column, values in record["columns"].items():
            if column != "chance":
                name = record["method"] if column == "this encoder" else column
                scores.setdefault((name, "baseline" if column != "this encoder" else ""), []).append(values)
    best = sorted(scores, key=lambda key: -_mean(scores[key], "linear probe"))
    rows = [row for row in ROWS if any(row in values for key in scores for values in scores[key])]
    lines = [f"| {data} | {' | '.join(rows)} | steps | seeds |", "|---|" + "---:|" * (len(rows) + 2)]
    for key in best:
        mine = [r for r in records if r["method"] == key[0] and "card" in r]
        steps = f"{statistics.mean(r['card']['steps_done'] for r in mine):,.0f}" if mine else ""
        name = f"*{key[0]}*" if key[1] else key[0]
        cells = [_cell(scores[key], row) for row in rows]
        lines.append(f"| {name} | {' | '.join(cells)} | {steps} | {len(scores[key])} |")
    lines += [f"| {r['method']} | diverged (seed {r['seed']}) |" for r in records if "diverged" in r]
    return f"### `{data}`\n\n" + "\n".join(lines)


def _values(columns: list[dict], row: str) -> list[float]:
    found = [values[row] for values in columns if values.get(row) is not None]
    return [value["value"] if isinstance(value, dict) else value for value in found]


def _mean(columns: list[dict], row: str) -> float:
    return statistics.mean(_values(columns, row) or [0.0])


def _cell(columns: list[dict], row: str) -> str:
    values = _values(columns, row)
    if not values:
        return "–"
    digits = 1 if row == "RankMe" else 2
    spread = f" ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.{digits}f}{spread}"

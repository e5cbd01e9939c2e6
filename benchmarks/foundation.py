"""What three minutes on a fast machine teach: the main job on three data sets, three seeds each, beside the baselines.

    python benchmarks/foundation.py            # about 50 minutes on two cores; finished rows are skipped, so it can go on
    python benchmarks/foundation.py --quick    # few pictures, three steps, to see that it runs (writes no record)
    python benchmarks/foundation.py --steps 1187 shapes-0 emoji-0    # some rows, and steps that were counted before

The budget is three minutes. `--steps` gives instead the number of steps that three minutes held on this machine when
nothing else ran, so that a busy machine does not change what is measured. Every record says how many steps it took.
Writes one JSON file per row into benchmarks/records/foundation/, and its tables into RESULTS.md.
"""

from __future__ import annotations

import re
import time
from functools import partial

import torch
from _rows import QUICK, frame, train, where

import sslkit

SEEDS = (0, 1, 2)
MINUTES = 3.0
LEVELS = {  # knobs of `shapes` from easy to hard; the third is version 1
    "large, upright, centred": dict(size=(0.7, 0.85), angle=(0, 0), x=(0, 0), y=(0, 0)),
    "large, a little moved": dict(size=(0.6, 0.8), angle=(-20, 20), x=(-0.15, 0.15), y=(-0.15, 0.15)),
    "version 1": {},
    "stronger texture": dict(texture=0.25),
    "clutter": dict(clutter=6),
    "small": dict(size=(0.25, 0.45)),
    "small, cluttered, textured, any angle": dict(size=(0.25, 0.45), clutter=6, texture=0.25, angle=(-180, 180)),
}


def measure(data, budget: dict, seed: int) -> dict:
    """One row: the run, its table, and what it ran on."""
    start = time.perf_counter()
    run, about = train("simclr", data, budget, seed, batch_size=256, precision="auto", marks=10)
    trained = time.perf_counter() - start
    table = run.evaluate().to_dict()
    return about | {
        "data": data.name, "budget": budget, "columns": table["columns"], "notes": table["notes"],
        "seconds": {"training": trained, "all": time.perf_counter() - start},
        "images_per_second": run.history.rows[-1]["images_per_second"],
    }  # fmt: skip


def job(what: str, number: int, options) -> dict:
    """The row of a data set and a seed, or of a level of difficulty: a third of the budget, and the first seed."""
    level = what == "difficulty"
    named, knobs = list(LEVELS.items())[number] if level else (None, {})
    minutes = MINUTES / 3 if level else MINUTES
    if options.quick:
        data, budget = sslkit.datasets.shapes(QUICK["n"], **knobs), QUICK["budget"]
    else:
        data = sslkit.datasets.shapes(**knobs) if level else sslkit.datasets.load(what)
        given = None if options.steps is None else round(options.steps * minutes / MINUTES)
        budget = {"minutes": minutes} if given is None else {"steps": given}
    return ({"level": named} if level else {}) | measure(data, budget, 0 if level else number)


ROWS = {f"{name}-{seed}": partial(job, name, seed) for seed in SEEDS for name in ("shapes", "emoji", "fashion")}
ROWS |= {f"difficulty-{number}": partial(job, "difficulty", number) for number in range(len(LEVELS))}


def tables(records: list[dict]) -> str:
    """The records as Markdown."""
    records = {record["row"]: record for record in sorted(records, key=lambda record: record["row"])}
    out = []
    for name in ("shapes", "emoji", "fashion"):
        runs = [r for key, r in records.items() if re.fullmatch(rf"{name}-\d+", key)]
        if runs:
            out.append(_table(name, runs))
    levels = [r for key, r in records.items() if key.startswith("difficulty-")]
    if levels:
        columns = ["this encoder", "random encoder", "raw pixels"]
        lines = [
            "| `shapes` | " + " | ".join(f"{c}, linear probe" for c in columns) + " | raw pixels, kNN |",
            "|---|---|---|---|---|",
        ]
        for r in levels:
            cells = [f"{r['columns'][c]['linear probe']['value']:.2f}" for c in columns]
            lines.append(
                f"| {r['level']} | " + " | ".join([*cells, f"{r['columns']['raw pixels']['kNN']['value']:.2f}"]) + " |"
            )
        steps = ", ".join(f"{n:,}" for n in sorted({r["config"]["steps"] for r in levels}))
        out.append(f"### Accuracy against difficulty\n\n{steps} steps each, one seed.\n\n" + "\n".join(lines))
    if records:
        rate = sorted(r["images_per_second"] for r in records.values())[len(records) // 2]
        out.append(f"{where(list(records.values()))} About {rate:,.0f} images per second.")
    return "\n\n".join(out)


def _table(name: str, runs: list[dict]) -> str:
    names = [c for c in runs[0]["columns"] if c != "chance"] + ["chance"]
    lines = [f"| {name} | " + " | ".join(names) + " |", "|---|" + "---|" * len(names)]
    for row in runs[0]["columns"]["this encoder"]:
        cells = []
        for column in names:
            values = [_value(r["columns"][column].get(row)) for r in runs]
            values = torch.tensor([v for v in values if v is not None])
            spread = f" ± {values.std():.2f}" if len(values) > 1 and values.std() >= 0.005 else ""
            cells.append(f"{values.mean():.2f}{spread}" if len(values) else "–")
        lines.append(f"| {row} | " + " | ".join(cells) + " |")
    seeds = ", ".join(str(r["seed"]) for r in runs)
    steps = ", ".join(f"{n:,}" for n in sorted({r["config"]["steps"] for r in runs}))
    seconds = sorted(r["seconds"]["training"] for r in runs)
    took = f"{steps} steps in {seconds[0]:.0f} to {seconds[-1]:.0f} s"
    return f"### `{name}`\n\nSimCLR, {took}, seeds {seeds}: mean ± standard deviation over seeds.\n\n" + "\n".join(
        lines
    )


def _value(score):
    return score["value"] if isinstance(score, dict) else score


if __name__ == "__main__":
    frame(
        "foundation",
        __doc__.splitlines()[0],
        ROWS,
        tables,
        minutes=4,
        quick=["shapes-0", "difficulty-0"],
        arguments=lambda parser: parser.add_argument("--steps", type=int, help="steps that three minutes hold here"),
    )

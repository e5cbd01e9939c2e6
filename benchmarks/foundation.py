"""What three minutes on this machine teach: the main job on three data sets, three seeds each, beside the baselines.

    python benchmarks/foundation.py            # about 50 minutes on two cores; finished rows are skipped, so it can go on
    python benchmarks/foundation.py --quick    # 20 seconds of training each, to see that it runs (writes no record)
    python benchmarks/foundation.py --steps 1187 shapes-0 emoji-0    # some rows, and steps that were counted before

The budget is three minutes. `--steps` gives instead the number of steps that three minutes held on this machine when
nothing else ran, so that a busy machine does not change what is measured. Every record says how many steps it took.
Writes one JSON file per row into benchmarks/records/foundation/, and its tables into RESULTS.md.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
from pathlib import Path

import torch
from _rows import machine, write_results

import sslkit

ROOT = Path(__file__).resolve().parent.parent
RECORDS = ROOT / "benchmarks" / "records" / "foundation"
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
    run = sslkit.pretrain("simclr", data, **budget, seed=seed, progress=False)
    if run.history.step < run.config.steps:  # Ctrl-C or SIGTERM end a run in good order, but it is no measurement
        raise SystemExit(f"stopped at step {run.history.step}; no record is written")
    trained = time.perf_counter() - start
    table = run.evaluate().to_dict()
    return {
        "data": data.name, "seed": seed, "budget": budget, "columns": table["columns"], "notes": table["notes"],
        "config": run.card()["training"], "method": run.card()["method"],
        "seconds": {"training": trained, "all": time.perf_counter() - start},
        "images_per_second": run.history.rows[-1]["images_per_second"],
        "machine": machine(),
    }  # fmt: skip


def rows(quick: bool, steps: int | None):
    """(name of the record, how to measure it), in the order in which they matter."""

    def budget(minutes: float) -> dict:
        if quick:
            return {"minutes": 1 / 3}
        return {"minutes": minutes} if steps is None else {"steps": round(steps * minutes / MINUTES)}

    for seed in SEEDS[: 1 if quick else None]:
        for name in ("shapes", "emoji", "fashion"):
            yield (
                f"{name}-{seed}",
                lambda name=name, seed=seed: measure(sslkit.datasets.load(name), budget(MINUTES), seed),
            )
    for number, (level, knobs) in enumerate(LEVELS.items()):
        yield (
            f"difficulty-{number}",
            lambda level=level, knobs=knobs: {
                "level": level,
                **measure(sslkit.datasets.shapes(**knobs), budget(1.0), 0),
            },
        )


def tables() -> str:
    """The records as Markdown."""
    records = {p.stem: json.loads(p.read_text()) for p in sorted(RECORDS.glob("*.json"))}
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
        out.append("### Accuracy against difficulty\n\nOne minute of training each, one seed.\n\n" + "\n".join(lines))
    if records:
        m = next(iter(records.values()))["machine"]
        rate = sorted(r["images_per_second"] for r in records.values())[len(records) // 2]
        out.append(
            f"Machine: {m['cores']} thread(s), {m['processor']}, {m['capability']}; PyTorch {m['torch']}, "
            f"Python {m['python']}, sslkit {m['sslkit']} at commit {m['commit']}; about {rate:,.0f} images per second."
        )
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
    return (
        f"### `{name}`\n\nSimCLR, three minutes ({steps} steps), seeds {seeds}: mean ± standard deviation over seeds.\n\n"
        + "\n".join(lines)
    )


def _value(score):
    return score["value"] if isinstance(score, dict) else score


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description="What three minutes teach.")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--steps", type=int, help="steps that three minutes hold here")
    parser.add_argument("rows", nargs="*", help="names of rows (all)")
    options = parser.parse_args(arguments)
    quick = options.quick
    todo = [
        (name, job)
        for name, job in rows(quick, options.steps)
        if name in (options.rows or [name]) and (quick or not (RECORDS / f"{name}.json").exists())
    ]
    print(f"{len(todo)} rows to do, about {len(todo) * (1 if quick else 4)} minutes.", flush=True)
    for name, job in todo:
        record = job()
        probe = record["columns"]["this encoder"].get("linear probe", {}).get("value")
        print(f"{name}: linear probe {probe:.3f}, {record['seconds']['all']:.0f} s", flush=True)
        if not quick:
            RECORDS.mkdir(parents=True, exist_ok=True)
            (RECORDS / f"{name}.json").write_text(json.dumps(record, indent=1))
            write_results("foundation", tables())


if __name__ == "__main__":
    main(sys.argv[1:])

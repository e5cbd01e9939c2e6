"""The race in full: what `python -m sslkit race` does, with its tables in RESULTS.md.

    python benchmarks/race.py              # hours; finished rows are skipped, so it can stop and go on
    python benchmarks/race.py --quick      # to see that it runs (writes no record)
    python benchmarks/race.py --tables     # the tables of the records there are

A minute is as many steps as SimCLR makes in it on the reference machine (SPEED), so that rows of different days, and of
computers that do other things beside, can stand in one table. All of them are in float32, which every computer has.
"""

from __future__ import annotations

from functools import cache, partial

from _rows import QUICK, frame, where

from sslkit import datasets, race

# Steps per second of plain SimCLR, batches of 256, on two quiet cores with AVX2: what `sslkit race` measures first.
SPEED = {"shapes": 1.7, "emoji": 1.7, "fashion": 2.2}


@cache
def pictures(name: str, quick: bool) -> datasets.Images:
    return datasets.shapes(QUICK["n"]) if quick else datasets.load(name)


def measure(name: str, method: str, seed: int, options) -> dict:
    steps = race.fair_steps(method, race.MINUTES[name], SPEED[name])
    budget = QUICK["budget"] if options.quick else {"steps": steps}
    return race.row(method, pictures(name, options.quick), budget | {"precision": "float32"}, seed)


ROWS = {  # every method gets its first seed before any gets its second
    race.row_name(name, method, seed): partial(measure, name, method, seed)
    for seed in race.SEEDS
    for name in race.MINUTES
    for method in (race.BASELINES, *race.ENTRANTS)
}


def tables(records: list[dict]) -> str:
    return f"{race.tables(records)}\n\n{where(records)}" if records else "No records yet."


if __name__ == "__main__":
    frame(
        "race", __doc__.splitlines()[0], ROWS, tables, minutes=3,
        quick=("shapes-baselines-0", "shapes-simclr-0", "shapes-mae-0"),
    )  # fmt: skip

"""What things cost, beside a small probe: the ratios from which `sslkit doctor` predicts times on another machine.

    python benchmarks/costs.py                 # every row that has no record
    python benchmarks/costs.py vicreg mae      # some methods
    python benchmarks/costs.py after:shapes    # evaluation and report of a data set
    python benchmarks/costs.py --quick         # few steps, few pictures, no record: only to see that it runs

A method stands beside plain SimCLR, the usual batch of 256, a few steps in turn, in one process: medians are divided. The
evaluation stands beside a small linear probe, the report beside a small t-SNE, both in seconds of the processor and with one
thread, so that a busy machine gives the same ratio. The records are part of the package: sslkit/_costs.json.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

os.environ["OMP_NUM_THREADS"] = "1"  # before torch reads it

import sslkit
from sslkit import checkpoint, datasets, doctor, evaluation, race, recipes, train

FILE = Path(sslkit.__file__).parent / "_costs.json"
DATA = ("shapes", "emoji", "fashion", "digits")


def method_cost(name: str, data: datasets.Images, rounds: int) -> float:
    """Seconds of a step of this method / of plain SimCLR. The two take turns."""
    both = [race.entrant(which, data, seed=0) for which in ("simclr", name)]
    config = train.resolve(train.TrainConfig(steps=2, marks=0))
    taken: tuple[list, list] = ([], [])
    for _ in range(rounds):
        for method, seconds in zip(both, taken):
            seconds.append(train.step_seconds(method, data, config, warm=1, steps=2))
    return median(taken[1]) / median(taken[0])


def after_costs(data: datasets.Images) -> dict[str, float]:
    """What follows a training, in seconds / seconds of a probe: a race's exam, the evaluation and the report of `quick`."""
    run = sslkit.pretrain("quick", data, steps=12, progress=False, probe=min(1000, len(data.val)))
    features = evaluation.split_features(recipes.method("simclr", data).encoder.eval(), data)
    one = _beside(doctor.algebra_probe, lambda: evaluation.evaluate({"this encoder": features}, data))
    start = time.process_time()
    evaluation.features(run.encoder, data.train.images[:1024])
    encode = (time.process_time() - start) / min(1024, len(data.train)) * (len(data) + len(data.test))
    everything = _beside(doctor.algebra_probe, run.evaluate, less=2 * encode)
    with tempfile.TemporaryDirectory() as folder:
        return {"exam": one, "evaluation": everything, "report": _beside(doctor.map_probe, lambda: run.report(folder))}


def _beside(probe: Callable[[], float], work: Callable[[], object], less: float = 0.0) -> float:
    start = time.process_time()
    probe()
    before = time.process_time()
    work()
    after = time.process_time()
    return (after - before - less) / (before - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("rows", nargs="*")
    options = parser.parse_args()
    found = json.loads(FILE.read_text()) if FILE.exists() else {"methods": {"simclr": 1.0}, "after": {}}
    known = [*race.ENTRANTS, *(f"after:{name}" for name in DATA)]
    if unknown := set(options.rows) - set(known):
        parser.error(f"there is no row {', '.join(sorted(unknown))}; the rows are {', '.join(known)}")
    for row in options.rows or (["vicreg"] if options.quick else known):
        kind, name = ("after", row[6:]) if row.startswith("after:") else ("methods", row)
        if name in found[kind] and not options.rows and not options.quick:
            continue
        start = time.perf_counter()
        if kind == "methods":
            found[kind][name] = round(method_cost(name, datasets.shapes(1024), 1 if options.quick else 3), 3)
        else:
            found[kind][name] = {what: round(v, 2) for what, v in after_costs(datasets.load(name)).items()}
        print(f"{row}: {found[kind][name]}, {time.perf_counter() - start:.0f} s", flush=True)
        if not options.quick:
            found["machine"] = race.machine()
            text = json.dumps(found, indent=1).encode()
            checkpoint.write_file(FILE, lambda file, text=text: file.write(text))


if __name__ == "__main__":
    main()

"""The doctor: what this machine can do, measured in a few seconds, and how long things will take on it.

Seconds belong to a machine; ratios of seconds travel better. So what is kept, in `_costs.json` and in the notebooks'
`costs.json`, is how much longer a thing takes than a small probe, and the probe is run here.
"""

from __future__ import annotations

import copy
import json
import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from importlib.resources import files
from pathlib import Path
from statistics import median

import torch

import sslkit
from sslkit import augment, datasets, device, evaluation, maps, nets, recipes, seeds, train
from sslkit.datasets import Images
from sslkit.methods import Method

NOTEBOOKS = Path(__file__).resolve().parent.parent / "notebooks"
FORMATS = {  # name: (precision, channels_last)
    "float32": ("float32", False),
    "float32, channels last": ("float32", True),
    "bfloat16, channels last": ("bfloat16", True),
}
CEILING = 0.4  # minutes, see fine_tune.supervised_ceiling
SLOWER = 1.2  # what is slower by less is not worth a word

# ---- probes: each returns a number of this machine, in about a second


def speed(data: Images | None = None, *, steps: int = 6) -> float:
    """Steps per second of plain SimCLR in the default recipe (batches of 256, two views each) on this machine, now.

    data: pictures, 512 of `shapes` by default.
    """
    data = data or datasets.shapes(512)
    config = train.resolve(train.TrainConfig(steps=1))
    return 1 / train.step_seconds(recipes.method("simclr", data), data, config, warm=2, steps=steps)


def algebra_probe() -> float:
    """Seconds of a linear probe of 2,000 rows of 768 random numbers: the kind of work that an evaluation consists of."""
    draw = seeds.generator("doctor")
    x, y = torch.randn(2000, 768, generator=draw), torch.arange(2000) % 8
    return _seconds(lambda: evaluation.fit_linear(x, y, decays=(1e-2,)))


def map_probe() -> float:
    """Seconds of a t-SNE of 400 random points: the kind of work that a report consists of."""
    x = torch.randn(400, 16, generator=seeds.generator("doctor"))
    return _seconds(lambda: maps.tsne(x))


def encode_seconds(encoder: nets.Encoder, data: Images) -> float:
    """How long the features of all splits will take once the encoder is finished, from those of 256 pictures."""
    few = data.train.images[:256]
    encoder = copy.deepcopy(encoder).eval().finish(augment.to_float(few))
    evaluation.features(encoder, few)  # warms up
    per_picture = _seconds(lambda: evaluation.features(encoder, few)) / len(few)
    return per_picture * (len(data) + len(data.test))  # the test pictures are seen perturbed, too


def format_seconds(where: str, *, rounds: int = 3) -> dict[str, float]:
    """Seconds of forward and backward through the default encoder, {format: median}. The formats take turns.

    Few pictures on a CPU, where an emulated format may be ten times slower; many on a GPU, which needs them to be busy.
    """
    x = torch.rand(32 if where == "cpu" else 512, 3, 32, 32, generator=seeds.generator("doctor"))
    parts = {}
    for name, (precision, channels_last) in FORMATS.items():
        compute = device.Compute(where, precision, channels_last)
        parts[name] = (compute, compute.layout(nets.small_resnet(3)), compute.layout(x))
    return _in_turn({name: lambda part=part: _pass(*part) for name, part in parts.items()}, rounds)


def thread_seconds(*, rounds: int = 3) -> dict[int, float]:
    """The same in float32 on the CPU with one thread and with as many as PyTorch uses, {threads: median}."""
    many = torch.get_num_threads()
    compute, encoder = device.Compute(channels_last=True), nets.small_resnet(3)
    x = compute.layout(torch.rand(64, 3, 32, 32, generator=seeds.generator("doctor")))

    def with_threads(n: int) -> None:
        torch.set_num_threads(n)
        _pass(compute, compute.layout(encoder), x)

    try:
        return _in_turn({n: lambda n=n: with_threads(n) for n in sorted({1, many})}, rounds)
    finally:
        torch.set_num_threads(many)


def _pass(compute: device.Compute, encoder: nets.Encoder, x: torch.Tensor) -> None:
    with compute.autocast():
        loss = encoder(x).float().square().mean()
    loss.backward()
    device.synchronise(compute.device)


def _in_turn(jobs: Mapping, rounds: int) -> dict:
    for job in jobs.values():
        job()  # warms up
    taken = [{name: _seconds(job) for name, job in jobs.items()} for _ in range(rounds)]
    return {name: median(row[name] for row in taken) for name in jobs}


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


# ---- predictions


@cache
def costs() -> dict:
    """What things cost beside a probe: {"methods": {name: steps of SimCLR}, "after": {data: {part: probes}}}.

    Made by benchmarks/costs.py, where it says how.
    """
    return json.loads(files("sslkit").joinpath("_costs.json").read_text(encoding="utf-8"))


def after_training(encode: float, data: Images) -> dict[str, float]:
    """Seconds of what follows a quickstart's training, {} for data whose ratios nobody has measured.

    encode: what `encode_seconds` says.
    """
    ratios = costs()["after"].get(data.name)
    if ratios is None:
        return {}
    evaluating = 2 * encode + ratios["evaluation"] * algebra_probe()  # this encoder, untrained
    return {"evaluation": evaluating, "report": ratios["report"] * map_probe()}


def quickstart(
    method: Method, data: Images, *, minutes: float, step: float | None = None, **settings
) -> dict[str, float]:
    """What a quickstart will take: {"steps", and in seconds "training", "ceiling", "evaluation", "report"}.

    step: seconds of one, if that is known; otherwise a copy of the method makes a few, and it is told for which "share"
    of the time they had a core. settings: of `TrainConfig`. What cannot be predicted is left out.
    """
    config, share = train.resolve(train.TrainConfig(steps=1, **settings)), None
    parts = len(config.resolutions)
    if step is None:  # medians: right after an installation one of them may take seconds
        trial = partial(train.step_seconds, copy.deepcopy(method), data, config, steps=max(20, 3 * parts))
        step, share = device.share_of_time(trial)
    encode = encode_seconds(method.encoder, data)
    found = after_training(encode, data)
    if share is not None and config.device == "cpu":  # who uses a GPU only waits for it
        found["share"] = share
    pictures = 2 * min(config.probe, len(data.val)) + min(2 * config.probe, len(data.train))
    looks = (config.marks + 1) * pictures * encode / (len(data) + len(data.test))
    steps = max(train.FEWEST, int((60 * minutes - looks) / step))
    found |= {"steps": steps, "training": looks + steps * step}
    if data.labels is not None and len(data.labels.unique()) > 1:  # one view a step instead of two; a trial counts them
        found["ceiling"] = max(60 * CEILING, train.FEWEST * step / 2) + (train.WARM + 20) * step / 2
    return found


def training(method: Method, data: Images, steps: int, **settings) -> float:
    """Seconds of so many steps, from a few of a copy. Looks at the representation come on top; they are few."""
    config = train.resolve(train.TrainConfig(steps=1, **settings))
    return steps * train.step_seconds(copy.deepcopy(method), data, config, warm=1, steps=6)


def race(rows: Sequence[tuple]) -> float:
    """Seconds of the rows of `race.missing`: training, and the exam where its ratio is known."""
    known, total, rate = costs(), 0.0, speed()
    exam = algebra_probe() if any(row[0] in known["after"] for row in rows) else 0.0
    for name, method, budget, *_ in rows:
        if method != "baselines":
            total += budget["steps"] * known["methods"].get(method, 1.0) / rate
        total += exam * known["after"].get(name, {}).get("evaluation" if method == "baselines" else "exam", 0.0)
    return total


def notebooks(steps_per_second: float, folder: Path = NOTEBOOKS) -> dict[str, float]:
    """Seconds of each notebook whose build was recorded, by its name, at this speed. {} without the repository."""
    file = folder / "costs.json"
    if not file.exists():
        return {}
    return {
        name: record["seconds"] * record["steps_per_second"] / steps_per_second
        for name, record in sorted(json.loads(file.read_text(encoding="utf-8")).items())
    }


# ---- words


def duration(seconds: float) -> str:
    """Seconds in the unit that a person would use: "20 s", "3 min", "1.5 h".

    >>> duration(200)
    '3.3 min'
    """
    for unit, size in (("h", 3600), ("min", 60)):
        if seconds >= 1.5 * size:
            return f"{seconds / size:.1f}".removesuffix(".0") + f" {unit}"
    return f"{max(seconds, 1):.0f} s"


def sentence(found: Mapping[str, float]) -> str:
    """A prediction of `quickstart`, to be printed before the run: a line, and one more on a crowded machine."""
    words = {
        "ceiling": "{} for the same network with all labels",
        "evaluation": "{} of evaluation",
        "report": "{} for the report",
    }
    parts = [f"{duration(found['training'])} of training ({found['steps']:,} steps)"]
    parts += [text.format(duration(found[part])) for part, text in words.items() if part in found]
    line = f"About {', '.join(parts)}, if the machine stays as busy as it is now."
    return "\n".join([line, *device.crowded(found.get("share"))])


def advice(found: Mapping) -> list[str]:
    """What to pass or to set where a rule of the package is not the best choice on this machine."""
    said, formats = device.crowded(found["share"]), found["formats"]
    rule, best = found["rule"], min(formats, key=formats.get)
    if formats[rule] > SLOWER * formats[best]:
        precision, channels_last = FORMATS[best]
        said.append(
            f"Here {best} is {formats[rule] / formats[best]:.1f} times as fast as {rule}, which the rule chooses: pass "
            f'precision="{precision}", channels_last={channels_last}.'
        )
    if found["threads"] == 1 and found["cores"] > 1:
        said.append(f"PyTorch uses 1 of {found['cores']} cores. If they are free, unset OMP_NUM_THREADS.")
    return said


def examine() -> dict:
    """Measure this machine. Plain values, so that they can be kept."""
    start = time.perf_counter()
    chosen = train.resolve(train.TrainConfig(steps=1))
    where, (rate, share) = chosen.device, device.share_of_time(speed)
    data = datasets.load("shapes")
    found = {
        "versions": {
            "Python": platform.python_version(),
            "torch": str(torch.__version__),
            "sslkit": sslkit.__version__,
        },
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "share": share if where == "cpu" else None,
        "device": where,
        "bfloat16": "in hardware" if device.fast_bfloat16(where) else "emulated",
        "rule": next(name for name, (p, c) in FORMATS.items() if (p, c) == (chosen.precision, chosen.channels_last)),
        "formats": format_seconds(where),
        "thread_seconds": thread_seconds(),
        "steps_per_second": rate,
        "quickstart": quickstart(recipes.method("simclr", data), data, minutes=3, step=1 / rate),
        "methods": {name: 100 * ratio / rate for name, ratio in costs()["methods"].items()},
        "notebooks": notebooks(rate),
    }
    return found | {"seconds": time.perf_counter() - start}


def text(found: Mapping) -> str:
    """What `examine` found, as a page of plain text."""
    base = found["formats"]["float32"]
    quick = found["quickstart"]
    parts = [part for part in ("training", "ceiling", "evaluation", "report") if part in quick]
    sections = {
        "This machine": {
            **found["versions"],
            "cores, threads": f"{found['cores']}, {found['threads']}",
            "device": found["device"],
            "bfloat16": found["bfloat16"],
        },
        "The default encoder, beside float32 in the usual layout": {
            name: f"{base / seconds:.1f} x" + (" (the rule)" if name == found["rule"] else "")
            for name, seconds in found["formats"].items()
        },
        "Threads": {str(n): f"{found['thread_seconds'][1] / s:.1f} x" for n, s in found["thread_seconds"].items()},
        "SimCLR, the default recipe": {
            "steps per second": f"{found['steps_per_second']:.1f}",
            "views per second": f"{512 * found['steps_per_second']:,.0f}",
        },
        "make run, 3 minutes": {part: duration(quick[part]) for part in parts}
        | {"all of it": duration(sum(quick[part] for part in parts)) if "report" in quick else "not measured yet"},
        "100 steps": {name: duration(s) for name, s in sorted(found["methods"].items(), key=lambda item: item[1])},
        "Notebooks": {name: duration(seconds) for name, seconds in found["notebooks"].items()},
    }
    lines = [f"Measured in {found['seconds']:.0f} s. Times hold for a machine that stays as busy as it is now."]
    for title, rows in sections.items():
        if rows:
            lines += ["", title, *(f"  {name:<32}{value}" for name, value in rows.items())]
    return "\n".join([*lines, "", *(advice(found) or ["The package's own choices are right for this machine."])])

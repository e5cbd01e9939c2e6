"""What share of a training step is not the encoder, and what that is made of (P2).

    python benchmarks/overhead.py            # about three minutes: two encoders, one thread and all cores
    python benchmarks/overhead.py --quick    # to see that it runs (writes no record)

step      a step of `sslkit.train.fit` with SimCLR: 256 pictures of 32 x 32, no blur, as its history counts it
encoder   forward and backward of the bare encoder on the same 512 views, made before, in the same format and layout
The parts are run alone, each in its turn: views (`collect`), head and loss (forward and backward), optimiser. "other" is
the rest of the step: taking the pictures, memory layout, joining the views, history, the loop. A part that runs alone finds
its data in the cache, or not, so "other" may be a little below zero.
"""

from __future__ import annotations

import os

import torch
from _measure import Watch, fair, in_turn, threads
from _rows import frame, table

import sslkit
from sslkit import device, losses, methods, nets, seeds, train
from sslkit.methods import Batch

MINUTES = 0.8  # a row
BATCH = 256
WIDTHS = {"wide": (32, 64, 128), "narrow": (16, 32, 64)}


def fit_job(method, data, config):
    """Seconds (wall, busy) per step of the training loop, the first one left out."""

    def job():
        watch, ends = Watch(), []
        train.fit(method, data, config, watch=lambda row: ends.append(watch.read()))  # a row per step
        return tuple((last - first) / (len(ends) - 1) for first, last in zip(ends[0], ends[-1]))

    return job


def encoder_step(encoder, x, compute) -> None:
    """Forward and backward of an encoder on views (B, C, H, W) that are ready."""
    with compute.autocast():
        h = encoder(x)
    encoder.zero_grad()
    h.float().sum().backward()


def backward(function, *inputs) -> None:
    """Forward and backward of a function of tensors, its inputs' gradients included."""
    function(*(x.detach().float().requires_grad_() for x in inputs)).float().sum().backward()


def measure(widths: str, cores: int, options) -> dict:
    rounds, steps = (1, 1) if options.quick else (9, 2)
    data = sslkit.datasets.shapes(1000 if options.quick else 2000)
    config = train.resolve(train.TrainConfig(steps=steps + 1, batch_size=BATCH, marks=0))
    compute = device.Compute(config.device, config.precision, config.channels_last)
    method = methods.SimCLR(nets.small_resnet(widths=WIDTHS[widths]))
    with threads(cores):
        train.fit(method, data, config)  # moves it to the device, warms up
        images, index, labels = next(train.batches(data, 0, config, config.device))
        draw = lambda: method.collect(images, index, labels, seeds.generator("views")).views
        x = torch.cat([compute.layout(view) for view in draw()])  # (2B, C, H, W)
        with torch.no_grad(), compute.autocast():
            h = method.encoder(x)
            z1, z2 = method.head(h).chunk(2)

        def head(h):
            with compute.autocast():
                return method.head(h)

        optimiser = torch.optim.AdamW(method.parameters(), lr=0.0)
        method(Batch(list(x.chunk(2)), index))["loss"].backward()
        optimiser.step()
        seconds, rounds = in_turn(
            {
                "step": fit_job(method, data, config),
                "encoder": lambda: encoder_step(method.encoder, x, compute),
                "views": draw,
                "head": lambda: backward(head, h),
                "loss": lambda: backward(losses.nt_xent, z1, z2),
                "optimiser": optimiser.step,
            },
            rounds,
        )
    seconds = {name: pair[fair(cores)] for name, pair in seconds.items()}
    step = seconds["step"]
    values = {"step, ms": 1000 * step, "not the encoder": 1 - seconds["encoder"] / step}
    values |= {part: seconds[part] / step for part in ("views", "head", "loss", "optimiser")}
    values["other"] = values["not the encoder"] - sum(values[part] for part in ("views", "head", "loss", "optimiser"))
    what = f"{'-'.join(map(str, WIDTHS[widths]))}, {cores} thread{'s' * (cores > 1)}"
    how = {"threads": cores, "rounds": rounds, "steps": steps, "precision": config.precision}
    return {"what": what, **how, "channels_last": config.channels_last, "values": values}


ROWS = {
    f"{widths}-{name}": lambda options, widths=widths, cores=cores: measure(widths, cores, options)
    for name, cores in (("one", 1), ("all", os.cpu_count()))
    for widths in WIDTHS
}


def tables(records: list[dict]) -> str:
    shares = ("not the encoder", "views", "head", "loss", "optimiser", "other")
    return table(records, first="widths", digits={"step, ms": ",.0f"} | dict.fromkeys(shares, ".1%"))


if __name__ == "__main__":
    frame("overhead", __doc__.splitlines()[0], ROWS, tables, minutes=MINUTES, quick=["narrow-one"], speed=True)

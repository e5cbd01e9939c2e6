"""Views per second of the whole loop: sslkit's `fit`, lightly's documented loop, and the bare encoder (P3).

    python benchmarks/end_to_end.py            # about five minutes: alike, each with its defaults, and what `make run` does
    python benchmarks/end_to_end.py --quick    # to see that it runs (writes no record)

lightly's loop is that of its SimCLR example: a DataLoader of PIL pictures (here with 2 workers), its transform, its head and
NTXentLoss, SGD, a view at a time through the same small_resnet, 256 pictures of 32 x 32 per step.
"alike" gives both the same views, number format and memory layout. "defaults" gives sslkit what it chooses itself, and
lightly float32, PyTorch's layout and the transform of its example. "quick" is the recipe of `make run`, beside lightly as in
"defaults": two thirds of its steps see views of half the side, a sixth of three quarters. (What it fits once, when training
is done, is not in it.) "encoder" is the bare one on ready views of full size, in the format and the layout of sslkit.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from _measure import Watch, fair, in_turn
from _rows import frame, table
from overhead import encoder_step, fit_job
from views import Pictures, lightly_transform

import sslkit
from sslkit import methods, nets, recipes, train
from sslkit.device import Compute

MINUTES = 2.0  # a row
BATCH, WORKERS = 256, 2
OVERHEAD = 0.15  # the goal of overhead.py
ALLOWED = f"of what {OVERHEAD:.0%} overhead allows"


def lightly_loop(
    pictures: list, transform, compute: Compute, steps: int, batch: int, encoder: nets.Encoder | None = None
):
    """A job that trains as in lightly's example and tells the seconds (wall, busy) per step.

    Wall from its second batch on, busy with all of its workers. encoder: what is trained.
    """
    from lightly.loss import NTXentLoss
    from lightly.models.modules import SimCLRProjectionHead

    encoder = encoder or nets.small_resnet()
    model = compute.layout(torch.nn.Sequential(encoder, SimCLRProjectionHead(encoder.dim, 512, 128)))
    criterion = NTXentLoss()
    optimiser = torch.optim.SGD(model.parameters(), lr=0.06)

    def job():
        data = Pictures(pictures, transform, batch * (steps + 1))
        loader = torch.utils.data.DataLoader(data, batch, shuffle=True, drop_last=True, num_workers=WORKERS)
        work, watch = Watch(), None
        for x0, x1 in loader:
            watch = watch or Watch()  # the workers have started
            with compute.autocast():
                z0, z1 = model(compute.layout(x0)), model(compute.layout(x1))
                loss = criterion(z0, z1)
            loss.backward()
            optimiser.step()
            optimiser.zero_grad()
        wall, _ = watch.read()
        return wall / (steps + 1), work.read()[1] / (steps + 1)

    return job


def measure(what: str, options) -> dict:
    threads = torch.get_num_threads()
    rounds, steps, batch = (1, 1, 32) if options.quick else (5, 3, BATCH)
    from lightly.transforms import SimCLRTransform
    from torchvision.transforms.functional import to_pil_image

    data = sslkit.datasets.shapes(1000)
    pictures = [to_pil_image(image) for image in data.train.images]
    config = train.resolve(train.TrainConfig(steps=steps + 1, batch_size=batch, marks=0))
    compute = Compute(config.device, config.precision, config.channels_last)
    alike = what == "alike"
    theirs = compute if alike else Compute(config.device)
    transform = lightly_transform(32) if alike else SimCLRTransform(32, gaussian_blur=0.0)
    method = methods.SimCLR(nets.small_resnet())
    if what == "quick":
        method, usual = recipes.recipe("quick", data)
        method.finish = lambda pictures: None
        config = replace(config, **usual, steps=len(usual["resolutions"]) + 1)
    train.fit(method, data, config)
    x = compute.layout(torch.rand(2 * batch, 3, 32, 32))
    seconds, rounds = in_turn(
        {
            "sslkit": fit_job(method, data, config),
            "encoder": lambda: encoder_step(method.encoder, x, compute),
            "lightly": lightly_loop(pictures, transform, theirs, steps, batch),
        },
        rounds,
    )
    wall = {name: 2 * batch / pair[0] for name, pair in seconds.items()}
    work = {name: 2 * batch / pair[1] for name, pair in seconds.items()}
    values = wall | {"times lightly": wall["sslkit"] / wall["lightly"]}
    if compute.device == "cpu":
        values["times lightly, per CPU second"] = work["sslkit"] / work["lightly"]
    if what != "quick":
        encoder = seconds["encoder"][fair(threads)] / seconds["sslkit"][fair(threads)]
        values |= {"share of the encoder": encoder, ALLOWED: encoder / (1 - OVERHEAD)}
    how = {"threads": threads, "workers": WORKERS, "rounds": rounds, "steps": steps, "batch": batch}
    return {"what": what, **how, "sslkit": vars(compute), "lightly": vars(theirs), "values": values}


ROWS = {what: lambda options, what=what: measure(what, options) for what in ("alike", "defaults", "quick")}


def tables(records: list[dict]) -> str:
    digits = dict.fromkeys(("sslkit", "encoder", "lightly"), ",.0f") | {
        "times lightly": ".1f",
        "times lightly, per CPU second": ".1f",
    }
    digits |= dict.fromkeys(("share of the encoder", ALLOWED), ".0%")
    return table(records, first="views per second", digits=digits)


if __name__ == "__main__":
    frame("end_to_end", __doc__.splitlines()[0], ROWS, tables, minutes=MINUTES, quick=["alike"], speed=True)

"""What helps in a laptop's minute? One change to a recipe at a time, judged on validation pictures (P4).

    python benchmarks/recipe_search.py --pictures natural.npz    # about three minutes a row; finished rows are skipped
    python benchmarks/recipe_search.py --quick                   # to see that it runs (writes no record)
    python benchmarks/recipe_search.py --tables                  # the tables of the records there are

The budget is counted in processor seconds of one thread, so that a busy machine changes little; a minute is as long as in
quality.py, so that a faster computer does not, either. The natural pictures are a file with `train_x` (N, H, W, C) uint8
and `train_y`; of its 20,000 the last 2,000 are for validation. One seed: differences below 0.02 mean nothing.

It has a loop of its own, because it tries what the kit has not: Muon (Keller Jordan 2024), averaged weights. kNN is
`evaluation.knn`; the linear map is ridge regression on one-hot labels, a quick stand-in for the linear probe.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from functools import cache, partial

import numpy as np
import quality
import torch
import torch.nn.functional as F
from _rows import frame, table
from torch import Tensor, nn

import sslkit
from sslkit import augment, evaluation, losses, nets, recipes, schedules
from sslkit.methods.base import encode
from sslkit.train import UNCHANGED

GROWING = ((0.0, 0.5), (0.4, 0.75), (0.7, 1.0))  # from this share of the training on, this share of the resolution


@dataclass(frozen=True)
class Recipe:
    """Everything that was varied. sizes: (from this share of the training on, share of the resolution)."""

    loss: str = "simclr"
    temperature: float = 0.2
    lr: float = 3e-3
    batch: int = 256
    widths: tuple[int, ...] = (32, 64, 128)
    all_stages: bool = False
    grid: int = 1  # features are means over its fields
    patches: bool = False  # first filters from patches of the pictures
    dictionary: int = 0  # so many patches are told beside
    ridge: float | None = None  # of whitened features
    mirror: bool = False  # told together with the mirror image
    sizes: tuple[tuple[float, float], ...] = ((0.0, 1.0),)
    least: float | None = None  # share of the area that a crop has at least, if not the recipe's
    colours: float = 1.0  # factor on the strength of colour changes
    small_crops: int = 0  # more views, of a quarter of the side
    average: float = 0.0  # of weights: how much of the average stays at a step
    muon: bool = False


BASE = Recipe(sizes=GROWING, all_stages=True)
FRAME = replace(BASE, grid=2, patches=True, ridge=1.0)
DCL = replace(FRAME, loss="dcl", temperature=0.1)
CHANGES = {
    "temperature 0.5, nothing else": Recipe(temperature=0.5),
    "temperature 0.2": Recipe(),
    "learning rate 0.01": Recipe(lr=1e-2),
    "widths 16-32-64-128": Recipe(widths=(16, 32, 64, 128)),
    "growing views": Recipe(sizes=GROWING),
    "growing views, half until 80 %": Recipe(sizes=((0.0, 0.5), (0.8, 1.0))),
    "growing views, learning rate 0.008": Recipe(sizes=GROWING, lr=8e-3),
    "growing views, widths 64-128-256": Recipe(sizes=GROWING, widths=(64, 128, 256)),
    "growing views, temperature 0.1": Recipe(sizes=GROWING, temperature=0.1),
    "growing views, batch 128": Recipe(sizes=GROWING, batch=128),
    "growing views, Muon": Recipe(sizes=GROWING, muon=True),
    "growing views, all stages": BASE,
    "+ features whitened, ridge 1": replace(BASE, ridge=1.0),
    "+ quadrants": replace(BASE, grid=2),
    "+ quadrants, whitened, ridge 0.1": replace(BASE, grid=2, ridge=0.1),
    "+ quadrants, whitened": replace(BASE, grid=2, ridge=1.0),
    "+ quadrants, whitened, first filters from patches": FRAME,
    "with that: DCL, temperature 0.1": DCL,
    "with that: DCL, and 64 patches beside": replace(DCL, dictionary=64),
    "with that: DCL, 64 patches, and the mirror image": replace(DCL, dictionary=64, mirror=True),
    "with that: DCL, and 256 patches beside": replace(DCL, dictionary=256),
    "with that: VICReg": replace(FRAME, loss="vicreg"),
    "with that: temperature 0.1": replace(FRAME, temperature=0.1),
    "with that: two small crops": replace(FRAME, small_crops=2),
    "with that: averaged weights": replace(FRAME, average=0.98),
    "with that: smaller still (3/8, 1/2, 3/4)": replace(FRAME, sizes=((0.0, 0.375), (0.4, 0.5), (0.7, 0.75))),
    "with that: weak colours": replace(FRAME, colours=0.5),
    "with that: crops from 0.4": replace(FRAME, least=0.4),
    "with that: widths 64-128-256": replace(FRAME, widths=(64, 128, 256)),
}
LOSSES = {
    "simclr": lambda a, b, recipe: losses.nt_xent(a, b, temperature=recipe.temperature),
    "dcl": lambda a, b, recipe: losses.decoupled_contrastive(a, b, temperature=recipe.temperature),
    "vicreg": lambda a, b, recipe: losses.vicreg(a, b)["loss"],
}


def train(recipe: Recipe, images: Tensor, policy: augment.Policy, seconds: float) -> tuple[nets.Encoder, int]:
    """The encoder, or its average if the recipe asks for it, and the number of steps."""
    torch.manual_seed(0)
    ends = {name: getattr(recipe, name) for name in ("widths", "all_stages", "grid", "patches", "dictionary", "mirror")}
    encoder = nets.small_resnet(min(3, images.shape[1]), whiten=recipe.ridge is not None, **ends)
    encoder.set_statistics(augment.to_float(images[:UNCHANGED]))
    network = nn.Sequential(encoder, nets.projection_head(encoder.dim, 512, 128)).to(memory_format=torch.channels_last)
    teacher = nets.Teacher(encoder) if recipe.average else None
    matrices = [p for p in encoder.parameters() if p.ndim > 1] if recipe.muon else []
    optimiser = adamw([p for p in network.parameters() if all(p is not m for m in matrices)], recipe.lr)
    momenta = [torch.zeros_like(p) for p in matrices]
    generator, start, step, order = torch.Generator().manual_seed(0), time.process_time(), 0, torch.empty(0).long()
    while (progress := (time.process_time() - start) / seconds) < 1:
        if len(order) < recipe.batch:
            order = torch.randperm(len(images), generator=generator)
        chosen, order = images[order[: recipe.batch]], order[recipe.batch :]
        policies = at(recipe, policy, progress, images.shape[-1])
        views = [
            view.contiguous(memory_format=torch.channels_last) for view in augment.views(chosen, policies, generator)
        ]
        z = encode(network, views)
        pairs = [(z[i], z[j]) for i in range(2) for j in range(i + 1, len(z))]
        loss = torch.stack([LOSSES[recipe.loss](*pair, recipe) for pair in pairs]).mean()
        factor = schedules.warmup_cosine(round(1000 * progress), steps=1000, warmup=50)
        for group in optimiser.param_groups:
            group["lr"] = recipe.lr * factor
        network.zero_grad()
        loss.backward()
        optimiser.step()
        with torch.no_grad():
            for weight, momentum in zip(matrices, momenta):
                weight.mul_(1 - 0.02 * factor * 0.05).sub_(muon(weight.grad, momentum), alpha=0.02 * factor)
            if recipe.average:
                teacher.follow(encoder, min(recipe.average, (step + 1) / (step + 10)))
        step += 1
    averaged = teacher.network if teacher else encoder
    averaged.eval().finish(augment.to_float(images[:UNCHANGED]))
    if recipe.ridge not in (None, 1.0):
        averaged.whitening.set_fitted(False)
        averaged.whitening.fit(evaluation.features(averaged, images[:UNCHANGED]), ridge=recipe.ridge)
    return averaged, step


def at(recipe: Recipe, policy: augment.Policy, progress: float, side: int) -> list[augment.Policy]:
    """The views of this moment."""
    share = [share for since, share in recipe.sizes if progress >= since][-1]
    factor = {name: recipe.colours * getattr(policy, name) for name in ("brightness", "contrast", "saturation", "gray")}
    least = recipe.least or policy.scale[0]
    usual = replace(policy, size=round(share * side), scale=(least, 1.0), **factor)
    return [usual] * 2 + [replace(usual, size=side // 4, scale=(0.1, 0.4))] * recipe.small_crops


def adamw(parameters: list[nn.Parameter], lr: float) -> torch.optim.Optimizer:
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": 0.05},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=lr)


def muon(gradient: Tensor, momentum: Tensor) -> Tensor:
    """The momentum's nearest orthogonal matrix, nearly: five steps of Newton and Schulz with Jordan's coefficients."""
    momentum.mul_(0.95).add_(gradient)
    x = (gradient + 0.95 * momentum).flatten(1)
    wide, x = len(x) <= x.shape[1], x / (x.norm() + 1e-7)
    x = x if wide else x.T
    for _ in range(5):
        a = x @ x.T
        x = 3.4445 * x + (-4.775 * a + 2.0315 * a @ a) @ x
    x = x if wide else x.T
    return (x * max(1.0, len(x) / x.shape[1]) ** 0.5).reshape(gradient.shape)


def judge(encoder: nets.Encoder, x: Tensor, y: Tensor, val_x: Tensor, val_y: Tensor) -> dict[str, float]:
    """kNN accuracy, and that of a linear map."""
    h, val_h = evaluation.features(encoder, x), evaluation.features(encoder, val_x)
    mean, scale = h.mean(0), h.std(0) + 1e-4
    a, b = (F.pad((part - mean) / scale, (0, 1), value=1.0).double() for part in (h, val_h))
    weight = torch.linalg.solve(a.T @ a + 10 * torch.eye(a.shape[1]).double(), a.T @ F.one_hot(y).double())
    linear = ((b @ weight).argmax(1) == val_y).double().mean().item()
    few = evaluation.few_label(h, y, val_h, val_y, budgets=(10,), draws=3)[10]
    return {"kNN": float(evaluation.knn(h, y, val_h, val_y)), "linear map": linear, "10 labels": float(few)}


@cache
def pictures(name: str, file: str | None, quick: bool) -> tuple[Tensor, Tensor, Tensor, Tensor, augment.Policy]:
    """Training pictures and labels, validation pictures and labels, and their usual views."""
    if name == "natural":
        if file is None:
            raise SystemExit(
                "Natural pictures are not part of the kit: give --pictures a file with train_x and train_y."
            )
        stored = np.load(file)
        x, y = torch.from_numpy(stored["train_x"]).permute(0, 3, 1, 2).contiguous(), torch.from_numpy(stored["train_y"])
        return x[:18000], y[:18000].long(), x[18000:], y[18000:].long(), augment.Policy()
    data = sslkit.datasets.shapes(1000) if quick else sslkit.datasets.load(name)
    return data.train.images, data.train.labels, data.val.images, data.val.labels, recipes.views_for(data)


def measure(name: str, what: str, minutes: int, options) -> dict:
    torch.set_num_threads(1)
    *parts, policy = pictures(name, options.pictures, options.quick)
    step = 0.0 if options.quick else quality.cost("simclr", quality.pictures(name, options.pictures, False))[1]
    seconds = 3.0 if options.quick else quality.MINUTE * minutes * step
    encoder, steps = train(CHANGES[what], parts[0], policy, seconds)
    values = {"steps": steps, **judge(encoder, *parts)}
    return {"what": what, "data": name, "minutes": minutes, "threads": 1, "values": values}


def rows() -> dict:
    chosen = (
        "temperature 0.5, nothing else", "temperature 0.2", "growing views", "growing views, all stages",
        "+ quadrants", "+ quadrants, whitened, ridge 0.1", "+ quadrants, whitened",
        "+ quadrants, whitened, first filters from patches", "with that: DCL, temperature 0.1",
        "with that: DCL, and 64 patches beside", "with that: DCL, 64 patches, and the mirror image",
    )  # fmt: skip
    wanted = [("natural", what, 1) for what in CHANGES]
    wanted += [(data, what, 1) for data in ("shapes", "emoji") for what in chosen]
    wanted += [("natural", what, 3) for what in (*chosen[3::4], *chosen[-3:])]
    name = lambda data, what, minutes: f"{data}-{minutes}-{what}".replace("/", ":")
    return {name(*row): partial(measure, *row) for row in wanted}


ROWS = rows()


def tables(records: list[dict]) -> str:
    digits = {"steps": ",.0f", "kNN": 3, "linear map": 3, "10 labels": 3}
    groups: dict[str, list[dict]] = {}
    for record in records:
        groups.setdefault(f"{record['data']}, {record['minutes']} min", []).append(record)
    return (
        "\n\n".join(table(group, first=name, digits=digits, modes=False) for name, group in groups.items())
        or "No records yet."
    )


if __name__ == "__main__":
    frame(
        "recipe_search", __doc__.splitlines()[0], ROWS, tables, minutes=3, quick=("shapes-1-temperature 0.2",),
        arguments=lambda parser: parser.add_argument("--pictures", help="an .npz file of natural pictures"),
    )  # fmt: skip

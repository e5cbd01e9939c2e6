"""What is known after one, three and ten minutes of two cores? Recipes beside each other, on test pictures (P4).

    python benchmarks/quality.py --pictures natural.npz    # hours; finished rows are skipped, so it can stop and go on
    python benchmarks/quality.py --quick                   # to see that it runs (writes no record)
    python benchmarks/quality.py --tables                  # the tables of the records there are

All recipes have the same encoder (`small_resnet`; "quick" tells all its stages, 64 patches beside, and the mirror image;
"64 patches" are these alone, mirrored and whitened) and the same time. A minute is the processor time in which SimCLR
makes 110 steps here with one thread, as it does in 110 seconds on the reference machine, so that rows of a busy day and of
a faster computer count, too. "SimCLR", "VICReg" and "DCL" are the kit's methods with their usual settings. "lightly's
loop" is that of its SimCLR example (end_to_end.py). Natural pictures are a file with `train_x` (N, H, W, C) uint8,
`train_y`, `test_x`, `test_y`; the last tenth of the training pictures is for validation. kNN: 20 neighbours, cosine. The
linear probe's decay is chosen on validation pictures. The search (recipe_search.py) saw natural pictures, `shapes` and
`emoji`; no recipe was chosen on those of the last tables.
"""

from __future__ import annotations

import time
from functools import cache, partial

import numpy as np
import torch
from _rows import frame, table, train
from end_to_end import lightly_loop
from torch import Tensor

import sslkit
from sslkit import augment, evaluation, nets, recipes
from sslkit.datasets import Images
from sslkit.device import Compute
from sslkit.train import unchanged

MINUTE = 110  # steps of SimCLR with one thread, about a minute of two cores of the reference machine
FEW = 6  # steps: one of each part of `quick`
SEEDS = (0, 1, 2)
BUDGETS = {"natural": (1, 3, 10), "shapes": (3,), "emoji": (3,)}
UNTUNED = {  # on which no recipe was chosen: a minute each
    "fashion": lambda: sslkit.datasets.load("fashion"),
    "shapes with clutter": lambda: sslkit.datasets.shapes(clutter=6),
    "small shapes": lambda: sslkit.datasets.shapes(size=(0.25, 0.45)),
}
TRAINED = {"quick": "quick", "SimCLR": "simclr", "VICReg": "vicreg", "DCL": "dcl"}
LIGHTLY = "lightly's loop"
BASELINES = ("raw pixels", "PCA", "random encoder", "64 patches")


@cache
def pictures(name: str, file: str | None, quick: bool) -> Images:
    if name != "natural":
        return sslkit.datasets.shapes(1000) if quick else UNTUNED.get(name, partial(sslkit.datasets.load, name))()
    if file is None:
        raise SystemExit("Natural pictures are not part of the kit: give --pictures a file with train_x, train_y, ...")
    stored = np.load(file)
    x = torch.from_numpy(np.concatenate([stored["train_x"], stored["test_x"]])).permute(0, 3, 1, 2).contiguous()
    y = torch.from_numpy(np.concatenate([stored["train_y"], stored["test_y"]])).long()
    n = len(stored["train_x"])
    split = torch.zeros(len(x), dtype=torch.uint8)
    split[n * 9 // 10 : n], split[n:] = 1, 2
    return Images(x, y, split, name="natural")


def exam(features: dict[str, Tensor], data: Images) -> dict[str, float]:
    pairs = (features["train"], data.train.labels, features["test"], data.test.labels)
    probe = evaluation.linear_probe(*pairs, val_x=features["val"], val_y=data.val.labels)
    return {"kNN": float(evaluation.knn(*pairs)), "linear probe": float(probe)}


def embed(encoder: nets.Encoder, data: Images) -> dict[str, Tensor]:
    parts = {"train": data.train, "val": data.val, "test": data.test}
    return {name: evaluation.features(encoder.eval(), part.images) for name, part in parts.items()}


def learn(name: str, data: Images, seconds: float, seed: int) -> tuple[nets.Encoder, int]:
    """A recipe of the kit for so many processor seconds, what comes once included."""
    once, each = cost(name, data)
    steps = max(20, int((seconds - once) / each))
    return run(name, data, steps, seed).encoder, steps


def run(name: str, data: Images, steps: int, seed: int = 0) -> sslkit.Run:
    method, usual = recipes.recipe(name, data, seed=seed)
    batch = min(256, len(data.train) // 2)
    return train(method, data, {"steps": steps}, seed, batch_size=batch, device="cpu", **usual)[0]


def cost(name: str, data: Images) -> tuple[float, float]:
    """Processor seconds of what comes once, before the first step and after the last, and of a step."""
    spent = []
    for few in (FEW, FEW, 5 * FEW):  # the first one warms up
        start = time.process_time()
        run(name, data, few)
        spent.append(time.process_time() - start)
    each = (spent[2] - spent[1]) / (4 * FEW)
    return spent[1] - FEW * each, each


def lightly(data: Images, seconds: float, seed: int) -> tuple[nets.Encoder, int]:
    """lightly's documented recipe: its transform, its head, its loss, SGD with a learning rate of 0.06."""
    from lightly.transforms import SimCLRTransform
    from torchvision.transforms.functional import to_pil_image

    torch.manual_seed(seed)
    encoder = recipes.method("simclr", data, seed=seed).encoder  # which knows the pictures' statistics
    side = data.shape[-1]
    transform = SimCLRTransform(side, gaussian_blur=0.0, normalize=None)  # the encoder does that
    images = [to_pil_image(image) for image in (augment.to_float(data.train.images) * 255).round().byte()]
    batch = min(256, len(images) // 2)
    loop = partial(lightly_loop, images, transform, Compute("cpu"), batch=batch)
    _, cost = loop(steps=10, encoder=recipes.encoder(data, seed=seed))()
    steps = max(10, int(seconds / cost))
    loop(steps=steps, encoder=encoder)()
    return encoder, steps


def measure(name: str, what: str, minutes: int, seed: int, options) -> dict:
    torch.set_num_threads(1)
    data = pictures(name, options.pictures, options.quick)
    about = {"what": what, "data": name, "minutes": minutes, "seed": seed, "threads": 1}
    seconds = 2.0 if options.quick else MINUTE * minutes * cost("simclr", data)[1]
    encoder, steps = lightly(data, seconds, seed) if what == LIGHTLY else learn(TRAINED[what], data, seconds, seed)
    return about | {"seconds": seconds, "values": {"steps": steps, **exam(embed(encoder, data), data)}}


def baseline(name: str, what: str, seed: int, options) -> dict:
    data = pictures(name, options.pictures, options.quick)
    about = {"what": what, "data": name, "minutes": 0, "seed": seed, "threads": 1}
    if what == "random encoder":
        return about | {"values": exam(embed(recipes.method("simclr", data, seed=seed).encoder, data), data)}
    if what == "64 patches":
        return about | {"values": exam(embed(patches(data), data), data)}
    return about | {"values": exam(evaluation.baselines(data)[what], data)}


def patches(data: Images) -> nets.Encoder:
    """What "quick" tells beside its network, and nothing else."""
    channels = min(3, data.shape[0])
    layer = nets.PatchDictionary(channels, 64)
    encoder = nets.Encoder(layer, dim=layer.dim, in_channels=channels, whiten=True, mirror=True)
    x = augment.to_float(unchanged(data))
    layer.fit(encoder.set_statistics(x).normalise(x))
    return encoder.eval().finish(x)


def rows() -> dict:
    found = {}
    for seed in SEEDS:  # every recipe gets its first seed before any gets its second
        for name, budgets in (BUDGETS | dict.fromkeys(UNTUNED, (1,))).items():
            for what in BASELINES:
                if seed == 0 or what == "random encoder":
                    found[f"{name}-0-{what}-{seed}"] = partial(baseline, name, what, seed)
            for minutes in budgets:
                for what in ("quick", "SimCLR", LIGHTLY) if name in UNTUNED else (*TRAINED, LIGHTLY):
                    found[f"{name}-{minutes}-{what}-{seed}"] = partial(measure, name, what, minutes, seed)
    return found


ROWS = rows()


def tables(records: list[dict]) -> str:
    parts = []
    for name in dict.fromkeys(record["data"] for record in records):
        for minutes in sorted({r["minutes"] for r in records if r["data"] == name}):
            group = [r for r in records if (r["data"], r["minutes"]) == (name, minutes)]
            first = f"{name}, {f'{minutes} min' if minutes else 'no training'}"
            parts.append(table(group, first=first, digits={"steps": ",.0f", "kNN": 3, "linear probe": 3}, modes=False))
    return "\n\n".join(parts) or "No records yet."


if __name__ == "__main__":
    frame(
        "quality", __doc__.splitlines()[0], ROWS, tables, minutes=7,
        quick=("shapes-0-raw pixels-0", "shapes-3-quick-0", f"shapes-3-{LIGHTLY}-0"),
        arguments=lambda parser: parser.add_argument("--pictures", help="an .npz file of natural pictures"),
    )  # fmt: skip

"""How many random views a second: two SimCLR views of each picture, by sslkit, kornia, torchvision and lightly (P1).

    python benchmarks/views.py            # about three minutes: 32 x 32 and 96 x 96, one thread and all cores
    python benchmarks/views.py --quick    # to see that it runs (writes no record)

The same operations for all: a crop of 20 % to 100 % of the area, flip, SimCLR's jitter at half strength, grey; no blur.
From uint8 to floats in [0, 1]. sslkit and kornia take a whole batch, on the device; lightly (PIL) and torchvision (v2, on
tensors) take a picture at a time and, with all cores, get one loader process per core. Peers have their turn in every round.
"""

from __future__ import annotations

import os

import torch
from _measure import Watch, fair, in_turn, threads
from _rows import frame, table

from sslkit import augment, device, seeds
from sslkit.augment import Policy

MINUTES = 0.8  # a row
BATCH = 256
FEW = 32  # pictures in a trial run
LEAST = 0.5  # seconds that a turn takes at least: a few batches of 15 ms would tell how quickly threads wake up
JITTER = {"brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": 0.1}
SCALE, GRAY = (0.2, 1.0), 0.2


def sslkit_views(images: torch.Tensor):
    """(B, 3, S, S) uint8 on the device -> two views (B, 3, S, S) float32."""
    policy = Policy(scale=SCALE, gray=GRAY, **JITTER)
    generator = seeds.generator("views")
    return lambda: augment.views(images, (policy, policy), generator)


def kornia_views(images: torch.Tensor):
    """kornia's own operations, per sample. "resample" crops the batch at once; its default cuts picture by picture."""
    import kornia.augmentation as K

    size = tuple(images.shape[-2:])
    make = torch.nn.Sequential(
        K.RandomResizedCrop(size, scale=SCALE, ratio=(3 / 4, 4 / 3), cropping_mode="resample"),
        K.RandomHorizontalFlip(p=0.5),
        K.ColorJitter(**JITTER, p=0.8),
        K.RandomGrayscale(p=GRAY),
    )

    def two():
        x = images.float() / 255
        return [make(x), make(x)]

    return two


def torchvision_transform(size: int):
    from torchvision.transforms import v2

    one = v2.Compose(
        [
            v2.RandomResizedCrop(size, scale=SCALE, antialias=True),
            v2.RandomHorizontalFlip(),
            v2.RandomApply([v2.ColorJitter(**JITTER)], p=0.8),
            v2.RandomGrayscale(GRAY),
            v2.ToDtype(torch.float32, scale=True),
        ]
    )
    return lambda picture: [one(picture), one(picture)]


def lightly_transform(size: int):
    from lightly.transforms import SimCLRTransform

    strengths = {"cj_bright": 0.8, "cj_contrast": 0.8, "cj_sat": 0.8, "cj_hue": 0.2, "cj_strength": 0.5}
    return SimCLRTransform(size, min_scale=SCALE[0], gaussian_blur=0.0, normalize=None, **strengths)


class Pictures(torch.utils.data.Dataset):
    """What a loader reads: a transform of picture after picture."""

    def __init__(self, pictures: list, transform, n: int):
        self.pictures, self.transform, self.n = pictures, transform, n

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, index: int):
        return self.transform(self.pictures[index % len(self.pictures)])


def loaded(pictures: list, transform, batches: int, workers: int) -> tuple[float, float]:
    """Seconds (wall, busy) per batch of a loader, once it runs: from its first batches to the last one."""
    size = len(pictures)
    data = Pictures(pictures, transform, size * (batches + max(1, workers)))
    loader = iter(torch.utils.data.DataLoader(data, size, num_workers=workers))
    for _ in range(max(1, workers)):
        next(loader)
    watch = Watch()
    for _ in loader:
        pass
    return tuple(seconds / batches for seconds in watch.read())


def measure(size: int, cores: int, options) -> dict:
    rounds, batches, least = (1, 2, 0.0) if options.quick else (5, 4, LEAST)
    batch = FEW if options.quick else BATCH
    coarse = torch.rand(batch, 3, size // 4, size // 4, generator=seeds.generator("pictures"))
    images = (torch.nn.functional.interpolate(coarse, (size, size), mode="bilinear") * 255).byte()
    on_device, workers = images.to(device.best_device()), cores if cores > 1 else 0
    from torchvision.transforms.functional import to_pil_image

    batched = {"sslkit": sslkit_views(on_device), "kornia": kornia_views(on_device)}
    single = {
        "torchvision": (list(images), torchvision_transform(size)),
        "lightly": ([to_pil_image(image) for image in images], lightly_transform(size)),
    }

    def repeat(job):
        job()  # the loaders are measured once they run, too: threads and caches are awake
        watch, done = Watch(), 0
        while done < batches or watch.read()[0] < least:
            job()
            done += 1
        return tuple(seconds / done for seconds in watch.read())

    with threads(cores):
        seconds, rounds = in_turn(
            {name: lambda job=job: repeat(job) for name, job in batched.items()}
            | {name: lambda pair=pair: loaded(*pair, batches, workers) for name, pair in single.items()},
            rounds,
        )
    rate = {name: 2 * batch / value[fair(cores)] for name, value in seconds.items()}
    ratios = {f"times {name}": rate["sslkit"] / rate[name] for name in rate if name != "sslkit"}
    what = f"{size} x {size}, {cores} thread{'s' * (cores > 1)}"
    return {"what": what, "threads": cores, "rounds": rounds, "batch": batch, "values": rate | ratios}


ROWS = {
    f"{size}-{name}": lambda options, size=size, cores=cores: measure(size, cores, options)
    for name, cores in (("one", 1), ("all", os.cpu_count()))
    for size in (32, 96)
}


def tables(records: list[dict]) -> str:
    rates = dict.fromkeys(("sslkit", "kornia", "torchvision", "lightly"), ",.0f")
    return table(records, first="views per second", digits=rates | {f"times {name}": ".1f" for name in rates})


if __name__ == "__main__":
    frame("views", __doc__.splitlines()[0], ROWS, tables, minutes=MINUTES, quick=["32-one", "32-all"], speed=True)

"""Recipes: names to methods, with the settings that were measured for small pictures and few minutes.

This is the one place where a name becomes a method. Each recipe is a plain function of the data: it builds an encoder for
its pictures, chooses views that fit them, and returns the method.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from inspect import signature
from numbers import Integral

from sslkit import augment, methods, nets, seeds
from sslkit.augment import Policy
from sslkit.datasets import Images
from sslkit.errors import unknown
from sslkit.methods import Method
from sslkit.train import unchanged

METHODS: dict[str, Callable[..., Method]] = {
    "simclr": methods.SimCLR,
    "dcl": methods.DCL,
    "dclw": methods.DCLW,
    "triplet": methods.Triplet,
    "align_uniform": methods.AlignUniform,
    "supcon": methods.SupCon,
    "vicreg": methods.VICReg,
    "barlow_twins": methods.BarlowTwins,
    "w_mse": methods.WMSE,
    "lejepa": methods.LeJEPA,
    "moco": methods.MoCo,
    "nnclr": methods.NNCLR,
    "byol": methods.BYOL,
    "simsiam": methods.SimSiam,
    "swav": methods.SwAV,
    "dino": methods.DINO,
    "article": methods.ArticleSimCLR,
    "critic_pairs": methods.CriticPairs,
    "critic_nce": methods.CriticNCE,
    "gated_simclr": methods.GatedSimCLR,
    "autoencoder": methods.Autoencoder,
    "denoising": methods.Denoising,
    "vae": methods.VAE,
    "bigan": methods.BiGAN,
    "mae": methods.MAE,
    "rotation": methods.Rotation,
}

# What was measured to be better than a method's own default, by method and data set.
OPTIONS = {("simclr", "emoji"): {"temperature": 0.2}}


def check_name(name: str) -> None:
    """Raise ValueError if there is no recipe and no method of that name."""
    if name not in (known := [*RECIPES, *METHODS]):
        raise unknown("method", name, known)


def method(name: str, data: Images, *, seed: int = 0, encoder: nets.Encoder | None = None, **options) -> Method:
    """The method of that name, ready to be trained on `data`.

    encoder: your own, which is copied; by default `small_resnet` (`tiny_vit` for MAE), initialised from `seed`. One that
    knows no pixel statistics yet is told those of the training split. options: the method's own, such as temperature=0.1.
    Raises ValueError for an unknown name or an encoder of other channels, TypeError for an option that the method does not
    have, and for an encoder that is no `nets.Encoder`.
    """
    if name not in METHODS:
        raise unknown("method", name, METHODS)
    head = options.get("head", (1, 1))
    if not (isinstance(head, list | tuple) and len(head) == 2 and all(isinstance(width, Integral) for width in head)):
        raise ValueError(
            f"head is {head!r}; give two widths, of the hidden layer and of the output, such as (512, 128)."
        )
    if min(data.shape[1:]) < 2:
        raise ValueError(
            f"Pictures of {data.name!r} have {data.shape[1]}x{data.shape[2]} pixels; an encoder needs two in each direction."
        )
    with seeds.fixed(seed):
        encoder = ENCODERS.get(name, nets.small_resnet)(_channels(data)) if encoder is None else _own(encoder, data)
        tell_pixels(encoder, data)
        policy = views_for(data)
        known = FROM_DATA[name](policy, data) if name in FROM_DATA else {}
        settings = {"policies": (policy, policy), **known, **OPTIONS.get((name, data.name), {}), **options}
        return METHODS[name](encoder, **settings)


def quick(data: Images, *, seed: int = 0, **options) -> tuple[Method, dict]:
    """What learned most per minute of two CPU cores (RESULTS.md, "Quality per minute"): decoupled contrastive learning, with
    more to it.

    A low temperature; views of half the side for two thirds of the steps, and of all of it for the last sixth, so that
    more of them are seen; an encoder that begins with filters made from patches of the pictures, and gives the means of all
    its stages, for each quadrant. When training is done, three things are added: how much each quadrant looks like 64
    typical patches; the mean with what the mirror image gives (if the views were mirrored, too); and whitening of all
    features, so that neighbours count every direction.
    options: `encoder`, and those of `methods.DCL`.
    Returns the method, and settings of `TrainConfig`.
    """
    policies = options.get("policies", (views_for(data),))
    mirror = all(getattr(policy, "flip", 0) > 0 for policy in policies)  # the method refuses what is no Policy
    ends = {"patches": True, "all_stages": True, "grid": 2, "dictionary": 64, "whiten": True, "mirror": mirror}
    settings = {"encoder": encoder(data, seed=seed, **ends), "temperature": 0.1, **options}
    return method(LEARNS_BY["quick"], data, seed=seed, **settings), {"resolutions": (0.5, 0.5, 0.5, 0.5, 0.75, 1.0)}


RECIPES: dict[str, Callable[..., tuple[Method, dict]]] = {"quick": quick}
LEARNS_BY = {"quick": "dcl"}


def recipe(name: str, data: Images, *, seed: int = 0, **options) -> tuple[Method, dict]:
    """By name: one of RECIPES, or a method with the usual settings. Returns the method, and settings of `TrainConfig`.

    Raises ValueError for an unknown name, TypeError for an option that the method does not have.
    """
    check_name(name)
    if name in RECIPES:
        return RECIPES[name](data, seed=seed, **options)
    return method(name, data, seed=seed, **options), {}


def option_names(name: str) -> set[str]:
    """What can be given to a recipe or a method of that name. Raises ValueError for an unknown one."""
    check_name(name)
    return set(signature(METHODS[LEARNS_BY.get(name, name)]).parameters)


def encoder(
    data: Images, *, seed: int = 0, make: Callable[..., nets.Encoder] = nets.small_resnet, **options
) -> nets.Encoder:
    """A network for these pictures, initialised from `seed`, to be given to `method`: `make(channels, **options)`."""
    with seeds.fixed(seed):
        return make(_channels(data), **options)


def tell_pixels(encoder: nets.Encoder, data: Images) -> None:
    """Give an encoder that knows no pixel statistics yet those of the training split."""
    if not encoder.knows_pixels:
        encoder.set_statistics(augment.to_float(unchanged(data)))


def _own(encoder: nets.Encoder, data: Images) -> nets.Encoder:
    if not isinstance(encoder, nets.Encoder):
        raise TypeError(f"encoder is a {type(encoder).__name__}; wrap a network of your own: nets.adapt(network).")
    if encoder.in_channels != _channels(data):
        raise ValueError(
            f"encoder takes {encoder.in_channels} channels, but views of {data.name!r} have {_channels(data)}. Build it "
            f"with in_channels={_channels(data)}."
        )
    return encoder.to_train()


def _channels(data: Images) -> int:
    return 3 if data.shape[0] == 4 else data.shape[0]  # RGBA is put on a ground first


def build(spec: dict, encoder_spec: dict, *, seed: int = 0) -> Method:
    """The method that a checkpoint describes, initialised from `seed` as it was before the first step."""
    options = {key: value for key, value in spec.items() if key != "name"}
    if spec["name"] not in METHODS:
        raise unknown("method", spec["name"], METHODS)
    with seeds.fixed(seed):
        try:
            return METHODS[spec["name"]](nets.build(encoder_spec), **options)
        except TypeError as error:
            raise ValueError(f"The checkpoint is of another version of sslkit ({error}). Train again.") from error


def views_for(data: Images) -> Policy:
    """Views that fit the pictures: what may differ between two views is what the representation may forget.

    Clothes, digits, shapes and drawings fill the frame, so crops are larger than in photographs. Digits are not mirrored.
    What a shape is does not depend on its colours, so these may turn all the way and often go; two artists draw the same
    thing in similar colours, so there they stay.
    """
    if data.name == "digits":
        return Policy(scale=(0.5, 1.0), flip=0.0, brightness=0.4, contrast=0.4)
    if data.name == "shapes":
        return Policy(scale=(0.4, 1.0), hue=0.5, gray=0.5)
    if data.name == "emoji":
        return Policy(scale=(0.3, 1.0), gray=0.1)
    if data.name == "fashion":
        return Policy(scale=(0.5, 1.0))
    return Policy(scale=(0.2, 1.0))


def multi_crop(data: Images) -> dict:
    """Two views, and four small ones of a part of the picture, at half the resolution (SwAV, arXiv 2006.09882, 3.2).

    For SwAV and DINO: `method("swav", data, **multi_crop(data))`. The small crops begin at half the area of the least
    full crop and end there. In two minutes of two cores both learn more without them: RESULTS.md, "Defaults".
    """
    policy = views_for(data)
    least = policy.scale[0]
    small = replace(policy, size=min(data.shape[1:]) // 2, scale=(least / 2, least))
    return {"policies": (policy, policy, small, small, small, small)}


def moved(policy: Policy, data: Images) -> dict:
    """One view of crops and flips only: the colours stay."""
    return {"policies": (replace(policy, jitter=0.0, gray=0.0),)}


def whole(data: Images) -> dict:
    """The settings of a Policy whose views show all of each picture, in its place."""
    ratio = data.shape[2] / data.shape[1]
    return {"scale": (1.0, 1.0), "ratio": (ratio, ratio), "flip": 0.0}


def damaged(policy: Policy, data: Images) -> dict:
    """One view with other colours, noise and a hole, and everything in its place: damage that can be undone."""
    return {"policies": (replace(policy, **whole(data), noise=0.2, cutout=1.0),), **size(policy, data)}


def size(policy: Policy, data: Images) -> dict:
    """Who paints pictures has to know their size."""
    return {"image_size": tuple(data.shape[1:])}


# What a method takes from its data and their usual views, where that is not two views alike and nothing else.
FROM_DATA: dict[str, Callable[[Policy, Images], dict]] = {
    "article": lambda policy, data: {"n_images": len(data.train)},
    "autoencoder": lambda policy, data: {"policies": (policy,), **size(policy, data)},
    "denoising": damaged,
    "vae": lambda policy, data: moved(policy, data) | size(policy, data),
    "bigan": lambda policy, data: moved(policy, data) | size(policy, data),
    "mae": moved,
    "rotation": moved,
}
ENCODERS = {"mae": nets.tiny_vit}  # where it is not small_resnet

"""`shapes`: geometry and colours against closed forms, knobs, and version 1, which is frozen."""

import hashlib
from math import pi, sin, sqrt, tau
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from sslkit.datasets import load, shapes
from sslkit.datasets._shapes import SHAPES, TEXTURES

SHEET = Path(__file__).parent / "shapes_v1.png"  # the first 64 pictures, 8 a row
CENTRED = {"size": (0.5, 0.5), "x": (0, 0), "y": (0, 0), "angle": (0, 0)}
MOON_DISTANCE = sqrt(0.48**2 + 0.2**2)


def tiles(sheet):
    """(256, 256, 3) -> (64, 3, 32, 32)"""
    return sheet.reshape(8, 32, 8, 32, 3).transpose(0, 2, 4, 1, 3).reshape(64, 3, 32, 32)


@pytest.fixture(scope="module")
def v1():
    return load("shapes")


# ---- version 1


def test_version_1_is_frozen(v1):
    """What is drawn from integers is hashed. Pixels may differ by rounding between processors, not by more."""
    assert (len(v1), len(v1.train), len(v1.val), len(v1.test)) == (16_000, 12_000, 2_000, 2_000)
    assert v1.shape == (3, 32, 32)
    digest = hashlib.sha256()
    for part in (v1.labels, v1.factors["texture"], v1.split):
        digest.update(part.to(torch.uint8).numpy())
    assert digest.hexdigest()[:16] == "f44c52b4ce7f2725"
    difference = v1.images[:64].int() - torch.from_numpy(tiles(np.asarray(Image.open(SHEET)).astype(np.int32)))
    assert difference.abs().max() <= 2


def test_version_1_is_hard_for_pixels(v1):
    """Weighted kNN (k = 20, cosine) on raw pixels stays clearly below one half, or the set would teach nothing."""
    train, test = (F.normalize(part.images.flatten(1).float(), dim=1) for part in (v1.train, v1.test))
    similarity, index = (test @ train.T).topk(20, dim=1)
    votes = torch.zeros(len(test), 8).scatter_add_(1, v1.train.labels[index], (similarity / 0.07).exp())
    accuracy = (votes.argmax(1) == v1.test.labels).float().mean()
    assert 0.40 < accuracy < 0.48


def test_every_class_has_the_same_share(v1):
    for part, size in ((v1.train, 1500), (v1.val, 250), (v1.test, 250)):
        assert (part.labels.bincount() - size).abs().max() <= 1


# ---- draws


def test_a_smaller_set_is_the_beginning_of_a_larger_one():
    for knobs in ({}, {"clutter": 3, "noise": 0.1, "masks": True}):
        small, large = shapes(300, resolution=8, seed=5, **knobs), shapes(600, resolution=8, seed=5, **knobs)
        assert torch.equal(small.images, large.images[:300])
        for name, factor in small.factors.items():
            assert torch.equal(factor.nan_to_num(9), large.factors[name][:300].nan_to_num(9))


def test_the_seed_decides():
    one, same, other = (shapes(64, resolution=8, seed=seed) for seed in (1, 1, 2))
    assert one.fingerprint() == same.fingerprint()
    # Two of 64 pictures alike by chance in all of size, x, y: impossible in float32.
    assert not (one.images == other.images).flatten(1).all(1).any()


def test_factors_keep_their_ranges_and_encodings(v1):
    for name, (low, high) in {"size": (0.5, 0.75), "x": (-0.35, 0.35), "y": (-0.35, 0.35)}.items():
        values = v1.factors[name]
        assert values.shape == (16_000, 1)
        assert values.min() >= low
        assert values.max() <= high
        assert abs(float(values.mean()) - (low + high) / 2) < 5 * (high - low) / sqrt(12 * 16_000)
    for name in ("hue", "ground_hue", "angle"):
        values = v1.factors[name]
        assert values.shape == (16_000, 2)
        torch.testing.assert_close(values.norm(dim=1).nan_to_num(1), torch.ones(16_000))
    assert torch.equal(v1.factors["shape"], v1.labels)
    assert v1.factors["texture"].unique().tolist() == list(range(len(TEXTURES)))
    round_ones = torch.tensor([name in ("circle", "ring") for name in v1.names])[v1.labels]
    assert torch.equal(v1.factors["angle"].isnan().all(1), round_ones)
    assert torch.equal(v1.factors["angle"].isnan().any(1), round_ones)


def test_angle_counts_in_the_symmetry_of_the_shape():
    data = shapes(8, angle=(30, 30))
    for name, k in (("square", 4), ("triangle", 3), ("star", 5), ("cross", 4), ("heart", 1), ("moon", 1)):
        turned = torch.tensor(k * pi / 6)
        torch.testing.assert_close(
            data.factors["angle"][data.names.index(name)], torch.stack([turned.cos(), turned.sin()])
        )


# ---- geometry: areas, places and turns against closed forms, by the mask


def lens(r, s, d):
    """The area that two discs of radius r and s at distance d share."""
    a, b = (d * d + r * r - s * s) / (2 * d), (d * d + s * s - r * r) / (2 * d)
    return r * r * np.arccos(a / r) - a * sqrt(r * r - a * a) + s * s * np.arccos(b / s) - b * sqrt(s * s - b * b)


AREAS = {
    "circle": pi * 0.88**2,
    "square": 1.52**2,
    "triangle": 3 * sqrt(3) * 0.54**2,
    "star": 5 * 0.44 * sin(pi / 5),
    "cross": 2 * 1.9 * 0.6 - 0.6**2,
    "ring": pi * (0.9**2 - 0.42**2),
    "heart": 1 + pi * 0.25,
    "moon": pi * 0.92**2 - lens(0.92, 0.74, MOON_DISTANCE),
}


@pytest.mark.parametrize("resolution", [32, 128])
def test_every_shape_covers_the_area_of_its_closed_form(resolution):
    data = shapes(8, resolution=resolution, masks=True, **CENTRED)
    covered = data.masks.double().sum((1, 2, 3)) / 255 * (2 / resolution) ** 2 / 0.5**2
    expected = torch.tensor([AREAS[name] for name in SHAPES])
    torch.testing.assert_close(covered, expected.double(), rtol=0.08 / (resolution / 32), atol=0)


def test_the_mask_lies_where_the_factors_say():
    data = shapes(400, resolution=64, masks=True, size=(0.3, 0.4))
    axis = (torch.arange(64) + 0.5) / 32 - 1
    weight = data.masks[:, 0].double()
    total = weight.sum((1, 2))
    x = (weight * axis).sum((1, 2)) / total
    y = -(weight * axis[:, None]).sum((1, 2)) / total
    central = torch.tensor([name in ("circle", "square", "star", "cross", "ring") for name in SHAPES])[data.labels]
    torch.testing.assert_close(x[central], data.factors["x"][central, 0].double(), atol=0.01, rtol=0)
    torch.testing.assert_close(y[central], data.factors["y"][central, 0].double(), atol=0.01, rtol=0)


def test_a_quarter_turn_is_anticlockwise():
    upright = shapes(8, resolution=64, masks=True, **CENTRED)
    turned = shapes(8, resolution=64, masks=True, **{**CENTRED, "angle": (90, 90)})
    rotated = torch.rot90(upright.masks, 1, (2, 3)).int()
    assert (rotated - turned.masks.int()).abs().max() <= 2
    heart = upright.masks[list(SHAPES).index("heart"), 0].double().sum(1)
    assert heart[:32].sum() > 1.1 * heart[32:].sum()  # upright, a heart is heavier at the top


def test_any_resolution_shows_the_same_picture():
    small, large = shapes(64, texture=0), shapes(64, resolution=128, texture=0)
    averaged = F.avg_pool2d(large.images.float(), 4)
    assert (averaged - small.images).abs().mean() < 1.0


# ---- colours


def oklab(rgb):
    """sRGB in [0, 1] (..., 3) -> OKLab, with the inverse of the matrices in the package (Ottosson 2020)."""
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    lms = (
        linear
        @ np.array(
            [
                [0.4122214708, 0.5363325363, 0.0514459929],
                [0.2119034982, 0.6806995451, 0.1073969566],
                [0.0883024619, 0.2817188376, 0.6299787005],
            ]
        ).T
    )
    return (
        np.cbrt(lms)
        @ np.array(
            [
                [0.2104542553, 0.7936177850, -0.0040720468],
                [1.9779984951, -2.4285922050, 0.4505937099],
                [0.0259040371, 0.7827717662, -0.8086757660],
            ]
        ).T
    )


def test_hue_and_contrast_can_be_read_from_the_pixels():
    data = shapes(800, masks=True, texture=0)
    pixels = data.images.double().flatten(2).permute(0, 2, 1) / 255  # (N, HW, 3)
    mask = data.masks.flatten(1)
    inside, outside = [], []
    for picture, cover in zip(pixels, mask):
        for where, found in ((cover == 255, inside), (cover == 0, outside)):
            colour = picture[where].median(0).values
            assert (picture[where] - colour).abs().max() < 1.01 / 255  # one flat colour, up to the edge's rounding
            found.append(colour)
    inside, outside = torch.stack(inside).numpy(), torch.stack(outside).numpy()
    in_gamut = ((inside > 0.01) & (inside < 0.99) & (outside > 0.01) & (outside < 0.99)).all(1)
    assert in_gamut.mean() > 0.3
    shape, ground = oklab(inside[in_gamut]), oklab(outside[in_gamut])
    for colour, name in ((shape, "hue"), (ground, "ground_hue")):
        known = data.factors[name][in_gamut].double().numpy()
        angle = np.arctan2(colour[:, 2], colour[:, 1]) - np.arctan2(known[:, 1], known[:, 0])
        assert np.abs((angle + pi) % tau - pi).max() < np.radians(5)
    step = np.abs(shape[:, 0] - ground[:, 0])
    assert step.min() > 0.195
    assert step.max() < 0.405


# ---- knobs


def test_noise_clutter_and_texture_do_what_they_say():
    plain = shapes(64, masks=True, texture=0, contrast=(0.2, 0.2))
    noisy = shapes(64, texture=0, contrast=(0.2, 0.2), noise=0.05)
    # Clipping at 0 and 255 takes a little away; the standard error of a standard deviation here is 0.1 %.
    assert 0.9 * 0.05 * 255 < (noisy.images.float() - plain.images).std() < 1.05 * 0.05 * 255
    cluttered = shapes(64, texture=0, contrast=(0.2, 0.2), clutter=5)
    changed = (cluttered.images != plain.images).any(1, keepdim=True)
    assert changed.flatten(1).any(1).all()
    assert not changed[plain.masks == 255].any()  # discs lie behind the shape
    ground = (plain.masks == 0).expand_as(plain.images)
    textured = shapes(64, texture=0.2, contrast=(0.2, 0.2)).images.float()
    assert (textured - plain.images)[ground].abs().mean() > 5
    assert plain.images[0][ground[0]].reshape(3, -1).float().std(1).max() == 0


def test_masks_are_only_made_when_asked_for():
    assert shapes(8).masks is None
    assert shapes(8, masks=True).masks.shape == (8, 1, 32, 32)


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"n": 0}, "n=0"),
        ({"resolution": 2}, "resolution=2"),
        ({"size": (0.8, 0.5)}, r"size must be a range.*\(0.8, 0.5\)"),
        ({"size": (0.0, 0.5)}, "size above 0"),
        ({"hue": (float("nan"), 1)}, "hue must be a range"),
        ({"texture": -0.1}, "texture=-0.1"),
        ({"clutter": -1}, "clutter=-1"),
        ({"noise": float("nan")}, "noise=nan"),
    ],
)
def test_impossible_knobs_are_refused(knobs, message):
    with pytest.raises(ValueError, match=message):
        shapes(**{"n": 8, **knobs})

"""`shapes`: coloured shapes on faintly textured grounds, of which every factor is known.

A signed distance function says how far a point is from an outline: negative inside, zero on it, positive outside.
Divided by a pixel's width it becomes the share of the pixel that is covered: smooth edges at any resolution.
"""

from __future__ import annotations

from math import cos, pi, sin, sqrt

import torch
from torch import Tensor

from sslkit.datasets._images import Images, draw_split

CHUNK = 2**21  # pixels painted at a time: large enough to keep all cores busy, small enough for any memory

# Distances to outlines, (B, H, W), (B, H, W) -> (B, H, W), in coordinates where a shape fits the unit circle, y up


def _disc(x: Tensor, y: Tensor, radius: float) -> Tensor:
    return torch.hypot(x, y) - radius


def _box(x: Tensor, y: Tensor, width: float, height: float) -> Tensor:
    return torch.maximum(x.abs() - width, y.abs() - height)


def _fold(x: Tensor, y: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Turn every point into the first half sector of a k-fold symmetric figure that points up."""
    radius, sector = torch.hypot(x, y), 2 * pi / k
    angle = (torch.remainder(torch.atan2(x, y) + sector / 2, sector) - sector / 2).abs()
    return radius * angle.sin(), radius * angle.cos()


def _triangle(x, y):
    x, y = _fold(x, y + 0.14, 3)
    return x * sin(pi / 3) + y * cos(pi / 3) - 0.54  # the distance to one side


def _star(x, y):
    x, y = _fold(x, y, 5)
    a, b = 0.44 * sin(pi / 5), 0.44 * cos(pi / 5)  # one side runs from the tip (0, 1) to the inner corner (a, b)
    return (x * (1 - b) + (y - 1) * a) / sqrt(a**2 + (1 - b) ** 2)


def _heart(x, y):
    x, y, r = x.abs(), y + 0.12, 0.5  # a square on its corner, and a half disc on each of its upper sides
    return torch.minimum(_box((x + y) / sqrt(2), (x - y) / sqrt(2), r, r), _disc(x - r / sqrt(2), y - r / sqrt(2), r))


# name: (outline, how often it looks the same in one turn; 0 = always, so it has no angle)
SHAPES = {
    "circle": (lambda x, y: _disc(x, y, 0.88), 0),
    "square": (lambda x, y: _box(x, y, 0.76, 0.76), 4),
    "triangle": (_triangle, 3),
    "star": (_star, 5),
    "cross": (lambda x, y: torch.minimum(_box(x, y, 0.95, 0.3), _box(x, y, 0.3, 0.95)), 4),
    "ring": (lambda x, y: _disc(x, y, 0.66).abs() - 0.24, 0),
    "heart": (_heart, 1),
    "moon": (lambda x, y: torch.maximum(_disc(x, y, 0.92), -_disc(x - 0.48, y - 0.2, 0.74)), 1),
}

# name: pattern in [-1, 1] of two phases
TEXTURES = {
    "stripes": lambda u, v: u.sin(),
    "checks": lambda u, v: (3 * u.sin() * v.sin()).clamp(-1, 1),
    "dots": lambda u, v: (3 * (u.sin() + v.sin()) - 3.2).clamp(-1, 1),
    "waves": lambda u, v: (u + 1.5 * (v / 2).sin()).sin(),
}


def shapes(
    n: int = 16_000,
    *,
    resolution: int = 32,
    seed: int = 0,
    hue: tuple[float, float] = (0, 360),
    ground_hue: tuple[float, float] = (0, 360),
    contrast: tuple[float, float] = (0.2, 0.4),
    size: tuple[float, float] = (0.5, 0.75),
    angle: tuple[float, float] = (-45, 45),
    x: tuple[float, float] = (-0.35, 0.35),
    y: tuple[float, float] = (-0.35, 0.35),
    texture: float = 0.12,
    clutter: int = 0,
    noise: float = 0.0,
    masks: bool = False,
    device: str | torch.device = "cpu",
) -> Images:
    """Draw n pictures of one shape each, eight kinds, and keep every factor they were made from.

    Ranges are drawn from evenly. They say how hard the set is:
    hue, ground_hue   degrees on the colour circle (OKLCh)
    contrast          how much lighter or darker the shape is than its ground, of 1
    size, x, y        radius and place of the shape in half widths of the picture, y up
    angle             degrees, anticlockwise
    texture           strength of the ground's pattern, in lightness
    clutter           how many small discs lie on the ground
    noise             standard deviation of Gaussian noise, of 1

    `factors` has shape and texture (classes), size, x, y (N, 1), hue and ground_hue (N, 2) as cosine and sine, angle
    as cosine and sine of k times the angle, where the shape looks the same k times in a turn; NaN for circle and ring.
    Picture i shows shape i mod 8 and depends on seed and i alone: a smaller set is the beginning of a larger one.
    Everything is drawn on the CPU and painted on `device`. `masks=True` adds how much of each pixel is shape.

    The defaults are `shapes` version 1: frozen, with a hash in the tests, before any training recipe was tuned.
    Raises ValueError for a range with low > high or a number out of bounds.
    """
    ranges = {"hue": hue, "ground_hue": ground_hue, "contrast": contrast, "size": size, "angle": angle, "x": x, "y": y}
    for name, (low, high) in ranges.items():
        if not low <= high or (name == "size" and low <= 0):
            raise ValueError(f"{name} must be a range (low, high) with low <= high, size above 0; got {(low, high)}.")
    if n < 1 or resolution < 4 or not (texture >= 0 and clutter >= 0 and noise >= 0):
        raise ValueError(
            f"n >= 1, resolution >= 4, the rest >= 0; got {n=} {resolution=} {texture=} {clutter=} {noise=}."
        )
    scene = _scene(n, seed, ranges, texture, clutter)
    grain = torch.Generator().manual_seed(seed + 2)
    images, covers = [], []
    for chunk in torch.arange(n).split(max(CHUNK // resolution**2, 1)):
        part = {name: value[chunk].to(device) for name, value in scene.items()}
        picture, cover = _paint(part, resolution)
        if noise:
            picture = picture + noise * torch.randn(picture.shape, generator=grain).to(device)
        images.append(_to_uint8(picture).cpu())
        covers.append(_to_uint8(cover).cpu())

    kind, symmetry = scene["shape"], torch.tensor([k for _, k in SHAPES.values()])[scene["shape"]]
    factors = {
        "shape": kind,
        "texture": scene["texture"],
        **{name: _on_circle(scene[name]) for name in ("hue", "ground_hue")},
        "angle": _on_circle(symmetry * scene["angle"]).masked_fill((symmetry == 0)[:, None], float("nan")),
        **{name: scene[name][:, None] for name in ("size", "x", "y")},
    }
    names = {"shape": tuple(SHAPES), "texture": tuple(TEXTURES)}
    return Images(
        torch.cat(images), kind, draw_split(kind, None, n, seed=seed), factors, names=names["shape"], name="shapes",
        factor_names=names, masks=torch.cat(covers) if masks else None,
    )  # fmt: skip


def _scene(n: int, seed: int, ranges: dict, texture: float, clutter: int) -> dict[str, Tensor]:
    """Draw what is on every picture: plain numbers, one row per picture."""
    draws = torch.rand(n, 14, generator=torch.Generator().manual_seed(seed)).unbind(1)
    discs = torch.rand(n, 5, clutter, generator=torch.Generator().manual_seed(seed + 1)).unbind(1)
    drawn = {name: low + (high - low) * u for (name, (low, high)), u in zip(ranges.items(), draws)}
    step = drawn["contrast"] * torch.where(draws[7] < 0.5, -1, 1)  # the shape is darker or lighter than its ground
    middle = 0.54 + 0.16 * draws[8]
    ground = middle - step / 2
    return {
        "shape": torch.arange(n) % len(SHAPES),
        "texture": (len(TEXTURES) * draws[9]).long(),
        **drawn,
        "colour": _srgb(middle + step / 2, 0.14, drawn["hue"]),  # (N, 3)
        "ground": _srgb(ground, 0.06, drawn["ground_hue"]),
        "ink": _srgb(ground + texture, 0.06, drawn["ground_hue"]),  # the ground's colour where its pattern is 1
        "waves": torch.stack([pi * draws[10], 9 + 6 * draws[11], 2 * pi * draws[12], 2 * pi * draws[13]], 1),
        "disc_place": torch.stack([2 * discs[0] - 1, 2 * discs[1] - 1, 0.1 + 0.2 * discs[2]], 2),  # (N, clutter, 3)
        "disc_colour": _srgb(0.4 + 0.5 * discs[3], 0.1, 360 * discs[4]),  # (N, clutter, 3)
    }


def _paint(scene: dict[str, Tensor], resolution: int) -> tuple[Tensor, Tensor]:
    """The pictures (B, 3, R, R) in [0, 1], and how much of each pixel is shape (B, 1, R, R)."""
    column = (torch.arange(resolution, device=scene["size"].device) + 0.5) * 2 / resolution - 1  # pixels' centres
    x, y = column[None, None, :], -column[None, :, None]
    scene = {name: value[..., None, None] for name, value in scene.items()}

    def inside(distance):  # the share of each pixel that lies inside
        return (0.5 - distance * resolution / 2).clamp(0, 1)[:, None]  # (B, 1, R, R)

    turn, frequency, shift_u, shift_v = scene["waves"].unbind(1)
    u = frequency * (x * turn.cos() + y * turn.sin()) + shift_u  # (B, R, R)
    v = frequency * (y * turn.cos() - x * turn.sin()) + shift_v
    pattern = _by_class(TEXTURES.values(), scene["texture"], u, v)
    picture = torch.lerp(scene["ground"], scene["ink"], pattern[:, None])  # (B, 3, R, R)

    for place, colour in zip(scene["disc_place"].unbind(1), scene["disc_colour"].unbind(1)):
        disc_x, disc_y, radius = place.unbind(1)
        picture = torch.lerp(picture, colour, inside(_disc(x - disc_x, y - disc_y, radius)))

    size, turn = scene["size"], scene["angle"].deg2rad()
    c, s = turn.cos(), turn.sin()
    x, y = (x - scene["x"]) / size, (y - scene["y"]) / size
    outlines = [outline for outline, _ in SHAPES.values()]
    cover = inside(size * _by_class(outlines, scene["shape"], x * c + y * s, y * c - x * s))
    return torch.lerp(picture, scene["colour"], cover), cover


def _by_class(functions, kind: Tensor, u: Tensor, v: Tensor) -> Tensor:
    """Apply function number kind[i] to picture i: (B, 1, 1), (B, R, R), (B, R, R) -> (B, R, R)."""
    out = torch.empty_like(u)
    for number, function in enumerate(functions):
        index = (kind.flatten() == number).nonzero().flatten()
        out[index] = function(u[index], v[index])
    return out


def _srgb(lightness: Tensor, chroma: float, hue: Tensor) -> Tensor:
    """OKLCh (hue in degrees) to sRGB in [0, 1], (...) -> (..., 3): equal steps of lightness look equal in any hue."""
    a, b = (chroma * _on_circle(hue)).unbind(-1)
    l = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3
    m = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3
    s = (lightness - 0.0894841775 * a - 1.2914855480 * b) ** 3
    red = 4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s
    green = -1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s
    blue = -0.0041960863 * l - 0.7034186147 * m + 1.7076147010 * s
    linear = torch.stack([red, green, blue], -1).clamp(0, 1)
    return torch.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def _on_circle(degrees: Tensor) -> Tensor:
    """(...) -> (..., 2): cosine and sine, so that 0 and 360 degrees are neighbours."""
    return torch.stack([degrees.deg2rad().cos(), degrees.deg2rad().sin()], -1)


def _to_uint8(picture: Tensor) -> Tensor:
    return (picture.clamp(0, 1) * 255).round().to(torch.uint8)

"""Views: random pictures of a picture, made for a whole batch at once, each sample with its own draw.

A view is a few small matrices per image. Crop, resize, antialias, flip and blur are linear and separable: one matrix
for the rows and one for the columns make W_y · X · W_xᵀ of each channel X. Brightness, contrast, saturation, hue and
grayscale are linear in the three channels: one 3x3 matrix and an offset. So the pipeline is three batched matrix
products, on any device; the few steps that follow are element-wise. Their order is fixed:

    RGBA over its ground, crop + resize + flip, blur, colour, clamp to [0, 1], solarise, noise, cutout

`draw` makes the random numbers (`Params`), `matrices` turns them into matrices, `apply` uses them; `view` and `views`
do it all. In between, numbers can be set by hand: `dataclasses.replace(params, brightness=0.5)`.

The steps and their strengths are SimCLR's (arXiv 2002.05709, appendix A), in torchvision's definitions, except that
colour is clamped once at its end instead of after each step, hue is turned in YIQ instead of HSV (an approximation),
and blur comes before colour (only the clamp could tell) with a kernel as wide as the picture.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from numbers import Integral, Real

import torch
import torch.nn.functional as F
from torch import Tensor

from sslkit.device import send

TRIES = 10  # random crops tried before the central one is taken; torchvision's number
MID_GREY = 0.5

# YIQ, the colours of NTSC television: Y is the luma, (I, Q) is a plane of colours with grey at its origin.
TO_YIQ = ((0.299, 0.587, 0.114), (0.5959, -0.2746, -0.3213), (0.2115, -0.5227, 0.3112))
FROM_YIQ = ((1.0, 0.9560502264, 0.6207549413), (1.0, -0.2720523437, -0.6472057135), (1.0, -1.1067043153, 1.7044212837))


@dataclass(frozen=True)
class Policy:
    """How a view may differ from its image. Plain numbers: `Policy(**dataclasses.asdict(policy))` is the same policy.

    The defaults are SimCLR's for small pictures (jitter of half strength, no blur), with crops of at least a fifth of
    the area. Raises ValueError for a number out of its range.
    """

    size: int | None = None  # side of the view in pixels; None: height and width of the image
    scale: tuple[float, float] = (0.2, 1.0)  # area of the crop as a share of the image, drawn uniformly
    ratio: tuple[float, float] = (3 / 4, 4 / 3)  # width / height of the crop, its logarithm drawn uniformly
    flip: float = 0.5  # probability of left-right
    jitter: float = 0.8  # probability of the next four, together
    brightness: float = 0.4  # factor, drawn uniformly from max(0, 1 - brightness) to 1 + brightness
    contrast: float = 0.4  # likewise
    saturation: float = 0.4  # likewise
    hue: float = 0.1  # turn, drawn uniformly from -hue to hue, where 1 is the whole circle of colours
    gray: float = 0.2  # probability of losing all colour
    blur: float = 0.0  # probability
    blur_sigma: tuple[float, float] = (0.1, 2.0)  # standard deviation in pixels of the view, drawn uniformly
    solarise: float = 0.0  # probability of inverting all that is at least mid-grey (BYOL, arXiv 2006.07733)
    noise: float = 0.0  # standard deviation of normal noise, drawn for every pixel
    cutout: float = 0.0  # probability of a mid-grey square, its centre drawn uniformly (arXiv 1708.04552)
    cutout_side: float = 0.5  # side of that square as a share of the side of the view

    def __post_init__(self):
        self._settle(("flip", "jitter", "gray", "blur", "solarise", "cutout", "cutout_side"), 0, 1)
        self._settle(("brightness", "contrast", "saturation", "noise"), 0, 100)
        self._settle(("hue",), 0, 0.5)
        self._settle(("scale",), 1e-4, 1, count=2)
        self._settle(("ratio", "blur_sigma"), 0.01, 100, count=2)
        if self.size is not None and not (isinstance(self.size, Integral) and self.size is not True and self.size > 0):
            raise ValueError(f"Policy: size={self.size!r} should be a whole number of pixels above 0, or None.")
        object.__setattr__(self, "size", None if self.size is None else int(self.size))

    def _settle(self, names, low, high, count=1):
        for name in names:
            value = getattr(self, name)
            numbers = tuple(value) if isinstance(value, (tuple, list)) else (value,)
            inside = all(isinstance(x, Real) and low <= x <= high for x in numbers)
            if not (inside and len(numbers) == count and numbers == tuple(sorted(numbers))):
                kind = "a number" if count == 1 else "a pair (least, most)"
                raise ValueError(f"Policy: {name}={value!r} should be {kind} from {low} to {high}.")
            object.__setattr__(self, name, float(numbers[0]) if count == 1 else tuple(map(float, numbers)))


@dataclass(frozen=True)
class Params:
    """What was drawn for n views, one entry per sample. A step that is None is not taken.

    A colour step or `blur` may also be one number for all samples.
    """

    shape: tuple[int, int, int]  # (C, H, W) of the images
    size: tuple[int, int]  # (h, w) of the views
    box: Tensor  # (n, 4) top, left, height, width of the crop, whole pixels within the image
    flip: Tensor  # (n,) bool
    brightness: Tensor | None = None  # (n,) factor
    contrast: Tensor | None = None  # (n,) factor
    saturation: Tensor | None = None  # (n,) factor
    hue: Tensor | None = None  # (n,) turn, 1 is the whole circle
    gray: Tensor | None = None  # (n,) bool
    blur: Tensor | None = None  # (n,) standard deviation in pixels of the view, 0 is sharp
    solarise: Tensor | None = None  # (n,) bool
    noise: Tensor | None = None  # (n, C, h, w) is added
    cutout: Tensor | None = None  # (n, 4) top, left, height, width in the view, height 0 is none; may stick out
    ground: Tensor | None = None  # (n, 3) colour behind RGBA

    def to(self, device: torch.device) -> Params:
        """The same numbers on another device."""
        return replace(self, **{name: send(x, device) for name, x in vars(self).items() if isinstance(x, Tensor)})


def draw(policy: Policy, n: int, image_shape: Sequence[int], generator: torch.Generator | None) -> Params:
    """The random numbers of n views of images of shape (C, H, W), drawn from a CPU generator (None: PyTorch's own).

    Raises ValueError unless C is 1, 3 or 4. One channel has no saturation, hue or gray.
    """
    C, H, W = _check_channels(image_shape)
    h, w = policy.size or H, policy.size or W
    # Every number has its row, used or not: with the same seed, policies that differ in one step agree in the others.
    how = {"generator": generator, "dtype": torch.float32, "device": "cpu"}
    tries, others = torch.rand(2, TRIES, n, **how), torch.rand(18, n, **how)
    top, left, flip, jitter, brightness, contrast, saturation, hue, gray, *others = others  # (n,) each
    blur, sigma, solarise, cutout, cut_y, cut_x, *ground = others

    def jittered(u, amount, neutral=1.0, least=0.0):
        changed = _between(u, max(least, neutral - amount), neutral + amount)
        return torch.where(jitter < policy.jitter, changed, neutral) if amount and policy.jitter else None

    cut_h, cut_w = round(policy.cutout_side * h), round(policy.cutout_side * w)
    corner = (cut_y * h).floor() - cut_h // 2, (cut_x * w).floor() - cut_w // 2
    sides = cut_h * (cutout < policy.cutout), cut_w * (cutout < policy.cutout)
    return Params(
        shape=(C, H, W),
        size=(h, w),
        box=_random_boxes(policy, H, W, *tries, top, left),
        flip=flip < policy.flip,
        brightness=jittered(brightness, policy.brightness),
        contrast=jittered(contrast, policy.contrast),
        saturation=jittered(saturation, policy.saturation) if C > 1 else None,
        hue=jittered(hue, policy.hue, neutral=0.0, least=-0.5) if C > 1 else None,
        gray=gray < policy.gray if policy.gray and C > 1 else None,
        blur=torch.where(blur < policy.blur, _between(sigma, *policy.blur_sigma), 0.0) if policy.blur else None,
        solarise=solarise < policy.solarise if policy.solarise else None,
        noise=policy.noise * torch.randn(n, min(C, 3), h, w, **how) if policy.noise else None,
        cutout=torch.stack((*corner, *sides), 1).long() if policy.cutout else None,
        ground=torch.stack(ground, 1) if C == 4 else None,
    )


def plain(params: Params) -> Params:
    """The same views with nothing done to the images: all of each, at the view's size, over the view's ground.

    `apply(images, plain(params))` are the clean images that belong to `apply(images, params)`.
    """
    box = uncropped(params).box
    return Params(params.shape, params.size, box, torch.zeros_like(params.flip), ground=params.ground)


def matrices(params: Params) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
    """The matrices of n views: rows W_y (n, h, H), columns W_x (n, w, W), colour (n, C, C) and offset (n,).

    With x = W_y · X · W_xᵀ a view is `colour · x + offset * mean luma of x`, the offset being that of contrast, which
    pulls all pixels towards the mean. Colour and offset are None if no colour step is taken.
    """
    (_, H, W), (h, w) = params.shape, params.size
    top, left, height, width = params.box.float().unbind(1)
    zero = torch.zeros_like(top)
    rows = _resize(top, height, H, h)  # (n, h, H)
    columns = _resize(left, width, W, w, params.flip)  # (n, w, W)
    if params.blur is not None:
        rows, columns = _blur(zero + params.blur, h) @ rows, _blur(zero + params.blur, w) @ columns
    return rows, columns, *_colour(params, zero)


def apply(images: Tensor, params: Params) -> Tensor:
    """Views of images, (B, C, H, W) -> (B, C, h, w); uint8 from 0 to 255 or float from 0 to 1 -> float32 from 0 to 1.

    RGBA becomes RGB. Deterministic, and no sample looks at another. Runs on the device of the images; params follow.
    Keep it out of autocast, which would round pixels to 8 bits of bfloat16.
    Raises ValueError if params were drawn for other shapes, TypeError for other dtypes.
    """
    white, n, (C, H, W) = _white(images), len(params.flip), params.shape
    if images.shape != (n, C, H, W):
        raise ValueError(f"apply: images are {tuple(images.shape)}, but params were drawn for {(n, C, H, W)}.")
    params = params.to(images.device)
    rows, columns, colour, offset = matrices(params)
    if C == 4:
        images = _over(images.float(), white, params.ground[:, :, None, None])  # (B, 3, H, W)

    rows = rows / white  # takes uint8 to [0, 1] in passing
    # Channel by channel: one product for all of them would first copy the matrices for each.
    x = torch.stack([rows @ channel.float() @ columns.mT for channel in images.unbind(1)], dim=1)  # (B, C, h, w)
    if colour is not None:
        mean = x.mean((2, 3)) @ _constant(TO_YIQ[0] if x.shape[1] == 3 else [1.0], x)  # (B,) of the luma
        x = torch.baddbmm((offset * mean)[:, None, None], colour, x.flatten(2)).view_as(x)
    x = x.clamp_(0, 1)

    if params.solarise is not None:
        x = torch.where(params.solarise[:, None, None, None] & (x >= MID_GREY), 1 - x, x)
    if params.noise is not None:
        x = (x + params.noise).clamp_(0, 1)
    if params.cutout is not None:
        top, left, height, width = params.cutout.unbind(1)
        hole = _inside(top, height, x.shape[2])[:, :, None] & _inside(left, width, x.shape[3])[:, None, :]  # (B, h, w)
        x = torch.where(hole[:, None], MID_GREY, x)
    return x


def check_range(images: Tensor) -> None:
    """Raise ValueError for floats that are far from 0 to 1, where looking at them keeps no device waiting."""
    if _white(images) == 1 and images.device.type == "cpu" and images.numel():
        low, high = images.aminmax()
        if not (low >= -0.5 and high <= 2):  # bicubic resizing overshoots; NaN is not above anything
            cure = "divide by 255" if high > 2 and low >= 0 else "not normalised, the encoder does that"
            raise ValueError(f"Images are floats from {low:.4g} to {high:.4g}; expected 0 to 1: {cure}.")


def view(images: Tensor, policy: Policy, generator: torch.Generator | None) -> Tensor:
    """One random view of each image, (B, C, H, W) -> (B, C, h, w): `draw`, then `apply`."""
    check_range(images)
    return apply(images, draw(policy, len(images), images.shape[1:], generator))


def views(images: Tensor, policies: Sequence[Policy], generator: torch.Generator | None) -> list[Tensor]:
    """A view of each image per policy. The same policy twice is SimCLR's pair; policies of different size are SwAV's
    multi-crop (arXiv 2006.09882)."""
    return [view(images, policy, generator) for policy in policies]


def shrink(view: Tensor, share: float) -> Tensor:
    """A view with a share of its side, antialiased: (B, C, h, w) -> (B, C, share h, share w), at least two pixels."""
    if share == 1:
        return view
    size = [max(2, round(share * side)) for side in view.shape[-2:]]
    return F.interpolate(view, size=size, mode="bilinear", antialias=True)


def uncropped(params: Params) -> Params:
    """The same draw without its crop: the whole picture, in the colours of the view."""
    _, H, W = params.shape
    return replace(params, box=params.box.new_tensor([0, 0, H, W]).expand_as(params.box))


def of_masks(params: Params) -> Params:
    """The same crop and flip for masks, which have one channel and no colour; `apply` gives the shares of the view's pixels.

    What is drawn over a view (noise, cutout) and what mixes its pixels (blur) is left out.
    """
    crop = {name: getattr(params, name) for name in ("size", "box", "flip")}
    return Params(shape=(1, *params.shape[1:]), **crop)


def to_float(images: Tensor) -> Tensor:
    """What evaluation sees, nothing random: (..., C, H, W) uint8 or float -> float32 from 0 to 1, RGBA on mid-grey."""
    white, (C, _, _) = _white(images), _check_channels(images.shape[-3:])
    return (_over(images.float(), white, MID_GREY) if C == 4 else images.float()) / white


def _random_boxes(policy, H, W, area, aspect, top, left):
    """torchvision's RandomResizedCrop (the crops of Inception, arXiv 1409.4842) for n samples: the first try that fits
    into the image, else the largest central crop of an allowed ratio.

    Uniform numbers (TRIES, n), (TRIES, n), (n,), (n,) -> boxes (n, 4).
    """
    area = H * W * _between(area, *policy.scale)
    aspect = _between(aspect, *map(math.log, policy.ratio)).exp()
    height, width = (area / aspect).sqrt().round(), (area * aspect).sqrt().round()  # (TRIES, n)
    fits = (0 < height) & (height <= H) & (0 < width) & (width <= W)
    found, first = fits.max(dim=0)  # (n,) is there one that fits, and the first of them
    central_h = max(1, min(H, round(W / policy.ratio[0])))
    central_w = max(1, min(W, round(H * policy.ratio[1])))
    height = torch.where(found, height.gather(0, first[None])[0], central_h)
    width = torch.where(found, width.gather(0, first[None])[0], central_w)
    top = torch.where(found, (top * (H - height + 1)).floor(), (H - central_h) // 2)
    left = torch.where(found, (left * (W - width + 1)).floor(), (W - central_w) // 2)
    return torch.stack((top, left, height, width), 1).long()


def _resize(start, length, side_in, side_out, flip=None):
    """One axis of crop, resize, antialias and flip: (n,), (n,) -> (n, side_out, side_in), every row sums to 1.

    An output pixel looks at the input through a triangle that reaches one pixel to either side, or one *output* pixel
    if that is more (antialias). The triangle is cut off at the border of the crop and renormalised.
    """
    scale = length[:, None] / side_out  # (n, 1) input pixels per output pixel
    reach = scale.clamp(min=1)
    output = _pixels(side_out, start.device)  # (out,)
    centre = scale * (output if flip is None else torch.where(flip[:, None], side_out - output, output))  # (n, out)
    pixel = _pixels(side_in, start.device) - start[:, None]  # (n, in), counted like the centres from the crop's border
    pixel = torch.where(_inside(start, length, side_in), pixel, math.inf)  # what is not in the crop is out of reach
    distance = ((pixel / reach)[:, None, :] - (centre / reach)[:, :, None]).abs_()  # (n, out, in)
    weights = (1 - distance).relu_()
    return weights.div_(weights.sum(2, keepdim=True))


def _blur(sigma, side):
    """One axis of a Gaussian blur: (n,) -> (n, side, side), cut off at the border and renormalised; identity at 0."""
    pixel = _pixels(side, sigma.device)
    distance = (pixel[:, None] - pixel) / sigma.clamp(min=1e-3)[:, None, None]  # (n, side, side) standard deviations
    # exp(-50) is as good as 0; smaller numbers would be denormal, which processors multiply slowly.
    return torch.softmax((-distance.square() / 2).clamp_(min=-50), dim=2)


def _colour(params, zero):
    """All colour steps as one matrix (n, C, C), and the share of the mean luma to add (n,).

    In YIQ they are simple: brightness and contrast scale all, saturation scales the plane of colours, gray shrinks it
    to nothing, hue turns it. (torchvision turns hue in HSV, which moves the luma too: the same way round, not the same
    picture.) All of them commute: torchvision's random order only decides what is clamped first, and is left out.
    """
    neutral, steps = (1, 1, 1, 0, 0), (params.brightness, params.contrast, params.saturation, params.hue, params.gray)
    if all(step is None for step in steps):
        return None, None
    steps = [zero + (default if step is None else step) for step, default in zip(steps, neutral, strict=True)]
    brightness, contrast, saturation, hue, gray = steps  # (n,) each
    gain, offset = brightness * contrast, brightness * (1 - contrast)
    if params.shape[0] == 1:
        return gain[:, None, None], offset
    angle, chroma = 2 * math.pi * hue, saturation * (1 - gray)
    i, q, one = chroma * angle.cos(), chroma * angle.sin(), zero + 1
    yiq = torch.stack((one, zero, zero, zero, i, q, zero, -q, i), 1).view(-1, 3, 3)
    return gain[:, None, None] * (_constant(FROM_YIQ, zero) @ yiq @ _constant(TO_YIQ, zero)), offset


def _over(rgba, white, ground):
    """Compositing: (..., 4, H, W) from 0 to white over a ground from 0 to 1 -> (..., 3, H, W) from 0 to white."""
    rgb, alpha = rgba[..., :3, :, :], rgba[..., 3:, :, :] / white
    return alpha * rgb + (1 - alpha) * (white * ground)


def _between(u, low, high):
    return low + (high - low) * u


def _constant(numbers, like):
    """Numbers as a tensor where another one is, without waiting for what the device has still to do."""
    return send(torch.tensor(numbers, dtype=like.dtype), like.device)


def _pixels(side, device):
    """The centres of a row of pixels."""
    return torch.arange(side, dtype=torch.float32, device=device) + 0.5


def _inside(start, length, side):
    """Which of a row of pixels lie in an interval: (n,), (n,) -> (n, side) bool."""
    pixel = _pixels(side, start.device)
    return (pixel > start[:, None]) & (pixel < (start + length)[:, None])


def _white(images):
    """The value of white: 255 for uint8, 1 for floats."""
    if not isinstance(images, Tensor):
        raise TypeError(
            f"Images are a {type(images).__name__}; expected a tensor. datasets.arrays makes one of arrays."
        )
    if images.dtype != torch.uint8 and not images.is_floating_point():
        raise TypeError(f"Images are {images.dtype}; expected uint8 from 0 to 255 or floats from 0 to 1.")
    return 255.0 if images.dtype == torch.uint8 else 1.0


def _check_channels(shape):
    if len(shape) != 3 or shape[0] not in (1, 3, 4):
        raise ValueError(f"Images are {tuple(shape)}; expected (C, H, W) with 1 (grey), 3 (RGB) or 4 (RGBA) channels.")
    return tuple(shape)

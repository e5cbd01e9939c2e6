"""Views against torchvision, closed forms and their own specification.

Statistical tests use a fixed seed and bounds that any seed keeps: a test that fails is a bug, not bad luck (each bound
is passed wrongly with probability 1e-9, by Dvoretzky-Kiefer-Wolfowitz or Hoeffding).
"""

from __future__ import annotations

import itertools
import json
import math
from dataclasses import asdict, fields, replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ks_1samp, ks_2samp, norm
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as tv

from sslkit import augment, evaluation
from sslkit.augment import Params, Policy, apply, draw, matrices, plain, to_float, view, views

STILL = Policy(scale=(1, 1), ratio=(1, 1), flip=0, jitter=0, gray=0)  # changes nothing in a square image
FULL = Policy(blur=0.5, solarise=0.3, noise=0.1, cutout=0.5)  # takes every step


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def still(images: Tensor, **changes) -> Params:
    """Params that leave the images alone, but for the changes."""
    n, C, H, W = images.shape
    box = torch.tensor([[0, 0, H, W]]).expand(n, -1)
    params = Params(shape=(C, H, W), size=(H, W), box=box, flip=torch.zeros(n, dtype=torch.bool))
    return replace(params, **changes)


def mild(n=4, C=3, side=16, seed=0):
    """Images so grey that no colour step below leaves [0, 1]: nothing is clamped, here or in torchvision."""
    return 0.4 + 0.2 * torch.rand(n, C, side, side, generator=generator(seed))


def ks_bound(n, m=math.inf):
    """What a Kolmogorov-Smirnov distance of n (and m) samples exceeds with probability 1e-9 or less."""
    return math.sqrt(math.log(2e9) / 2 * (1 / n + 1 / m))


def rate_bound(n):
    """What a rate among n samples misses its probability by, with probability 1e-9 or less."""
    return math.sqrt(math.log(2e9) / (2 * n))


def resized_crop(x, top, left, height, width, h, w):
    """torchvision's. PyTorch 2.14 mixes the rows up where the result is one pixel wide: there, turn the image first."""
    if w == 1:
        return tv.resized_crop(x.mT.contiguous(), left, top, width, height, [w, h], antialias=True).mT
    return tv.resized_crop(x, top, left, height, width, [h, w], antialias=True)


# --- crop, resize, antialias, flip ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("H", "W", "size"),
    [(32, 32, 32), (32, 32, 8), (32, 32, 80), (7, 19, 16), (96, 50, 31), (5, 3, None), (1, 1, 4), (65, 33, 1)],
)
def test_crop_is_torchvisions_resized_crop(H, W, size):
    x = torch.rand(24, 3, H, W, generator=generator(1))
    policy = Policy(size=size, scale=(0.02, 1), ratio=(0.3, 3), jitter=0, gray=0)
    params = draw(policy, 24, (3, H, W), generator())
    got = apply(x, params)
    for i, (top, left, height, width) in enumerate(params.box.tolist()):
        want = resized_crop(x[i], top, left, height, width, size or H, size or W)
        want = tv.hflip(want) if params.flip[i] else want
        torch.testing.assert_close(got[i], want, rtol=0, atol=3e-6)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_box_and_size_is_torchvisions(data):
    H, W, h, w = (data.draw(st.integers(1, 40)) for _ in range(4))
    height, width = data.draw(st.integers(1, H)), data.draw(st.integers(1, W))
    top, left = data.draw(st.integers(0, H - height)), data.draw(st.integers(0, W - width))
    flip = data.draw(st.booleans())
    x = torch.rand(1, 1, H, W, generator=generator())
    params = still(x, size=(h, w), box=torch.tensor([[top, left, height, width]]), flip=torch.tensor([flip]))
    want = resized_crop(x[0], top, left, height, width, h, w)
    torch.testing.assert_close(apply(x, params)[0], tv.hflip(want) if flip else want, rtol=0, atol=3e-6)


def test_identity_is_exact():
    x = torch.rand(5, 3, 17, 17, generator=generator())
    assert torch.equal(view(x, STILL, generator()), x)
    pixels = torch.randint(0, 256, (5, 1, 17, 17), dtype=torch.uint8, generator=generator())
    torch.testing.assert_close(view(pixels, STILL, generator()), pixels / 255, rtol=0, atol=1e-7)
    neutral = still(x, brightness=1.0, contrast=1.0, saturation=1.0, hue=0.0, gray=0.0, blur=0.0)
    torch.testing.assert_close(apply(x, neutral), x, rtol=0, atol=1e-6)


def test_flip_is_hflip():
    x = torch.rand(2, 3, 6, 9)
    got = apply(x, still(x, flip=torch.tensor([True, False])))
    assert torch.equal(got[0], x[0].flip(-1))
    assert torch.equal(got[1], x[1])


def test_rows_of_the_spatial_matrices_sum_to_one():
    rows, columns, _, _ = matrices(draw(FULL, 50, (3, 20, 30), generator()))
    assert rows.shape == (50, 20, 20)
    assert columns.shape == (50, 30, 30)
    for m in (rows, columns):
        assert (m >= 0).all()
        torch.testing.assert_close(m.sum(2), torch.ones(m.shape[:2]))


def test_a_view_is_its_matrices():
    """`W_y · X · W_xᵀ`, then colour and offset, by an independent einsum in NumPy."""
    x = mild(n=6, side=12)
    params = draw(Policy(size=9, blur=0.5, brightness=0.1, contrast=0.1), 6, (3, 12, 12), generator())
    rows, columns, colour, offset = (m.double().numpy() for m in matrices(params))
    want = np.einsum("byh,bchw,bxw->bcyx", rows, x.double().numpy(), columns)
    luma = np.einsum("c,bcyx->b", [0.299, 0.587, 0.114], want) / 81
    want = np.einsum("bkc,bcyx->bkyx", colour, want) + (offset * luma)[:, None, None, None]
    np.testing.assert_allclose(apply(x, params).numpy(), want.clip(0, 1), atol=1e-6)


# --- blur -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sigma", [0.3, 0.9, 1.5])
def test_blur_is_torchvisions_in_the_interior(sigma):
    x = torch.rand(2, 3, 41, 41, generator=generator())
    got = apply(x, still(x, blur=sigma))
    want = tv.gaussian_blur(x, kernel_size=[31, 31], sigma=[sigma, sigma])
    inner = slice(12, -12)  # 8 standard deviations from the border or more
    torch.testing.assert_close(got[..., inner, inner], want[..., inner, inner], rtol=0, atol=2e-6)
    assert (got - want)[..., 0, :].abs().max() > 1e-4 or sigma < 0.5  # torchvision mirrors the border, we cut off


def test_blur_is_cut_off_at_the_border_and_renormalised():
    x = torch.rand(1, 1, 7, 7, generator=generator())
    kernel = np.exp(-((np.arange(7)[:, None] - np.arange(7)) ** 2) / (2 * 1.3**2))
    kernel /= kernel.sum(1, keepdims=True)
    want = kernel @ x[0, 0].double().numpy() @ kernel.T
    np.testing.assert_allclose(apply(x, still(x, blur=1.3))[0, 0].numpy(), want, atol=1e-6)
    grey = torch.full((1, 1, 7, 7), 0.3)
    torch.testing.assert_close(apply(grey, still(grey, blur=2.0)), grey)


def test_blur_follows_crop_and_flip():
    x = torch.rand(3, 3, 20, 20, generator=generator())
    params = draw(Policy(size=11, jitter=0, gray=0, flip=1), 3, (3, 20, 20), generator())
    plain = apply(x, params)
    sigma = torch.tensor([0.0, 0.8, 2.0])
    torch.testing.assert_close(apply(x, replace(params, blur=sigma)), apply(plain, still(plain, blur=sigma)))
    torch.testing.assert_close(apply(x, replace(params, blur=sigma))[0], plain[0], rtol=0, atol=1e-6)


# --- colour -----------------------------------------------------------------------------------------------------------
# torchvision's luma has 0.2989 for red where the standard has 0.299: 1e-4 between them.


@pytest.mark.parametrize("factor", [0.0, 0.4, 1.0, 1.7])
def test_brightness_contrast_saturation_are_torchvisions(factor):
    for x in (mild(), torch.rand(4, 3, 16, 16, generator=generator())):  # a single step is clamped once in both
        torch.testing.assert_close(apply(x, still(x, brightness=factor)), tv.adjust_brightness(x, factor))
        for name, oracle in {"contrast": tv.adjust_contrast, "saturation": tv.adjust_saturation}.items():
            got = apply(x, still(x, **{name: factor}))
            torch.testing.assert_close(got, oracle(x, factor), rtol=0, atol=2e-4)


def test_one_channel_has_brightness_and_contrast_only():
    x = torch.rand(4, 1, 8, 8, generator=generator())
    params = draw(Policy(gray=1, jitter=1), 4, (1, 8, 8), generator())
    assert params.saturation is None
    assert params.hue is None
    assert params.gray is None
    assert (params.brightness != 1).all()
    torch.testing.assert_close(apply(x, still(x, contrast=0.6)), tv.adjust_contrast(x, 0.6))
    torch.testing.assert_close(apply(x, still(x, brightness=1.4)), tv.adjust_brightness(x, 1.4))


def test_gray_is_torchvisions():
    x = torch.rand(3, 3, 8, 8, generator=generator())
    got = apply(x, still(x, gray=torch.tensor([True, False, True])))
    want = tv.rgb_to_grayscale(x, num_output_channels=3)
    torch.testing.assert_close(got[[0, 2]], want[[0, 2]], rtol=0, atol=1.1e-4)
    torch.testing.assert_close(got[1], x[1], rtol=0, atol=1e-6)


def test_contrast_uses_the_mean_of_the_crop():
    x = torch.zeros(1, 3, 8, 8)
    x[..., 4:] = 0.8  # the right half is bright, and only it is looked at
    params = still(x, size=(4, 4), box=torch.tensor([[0, 4, 8, 4]]), contrast=0.0)
    torch.testing.assert_close(apply(x, params), torch.full((1, 3, 4, 4), 0.8))


def test_colour_steps_commute():
    """Why torchvision's random order is left out: without clamps every order gives the same picture."""
    x = mild(n=2, side=5)
    steps = {"brightness": 0.9, "contrast": 1.2, "saturation": 1.3, "hue": 0.07}
    want = apply(x, still(x, **steps))
    assert (want - x).abs().max() > 0.02
    for order in itertools.permutations(steps):
        y = x
        for name in order:
            y = apply(y, still(y, **{name: steps[name]}))
        torch.testing.assert_close(y, want, rtol=0, atol=3e-6)


def test_torchvisions_jitter_is_ours_where_nothing_is_clamped():
    x = mild()
    got = apply(x, still(x, brightness=0.8, contrast=1.3, saturation=0.6))
    want = tv.adjust_contrast(tv.adjust_saturation(tv.adjust_brightness(x, 0.8), 0.6), 1.3)
    torch.testing.assert_close(got, want, rtol=0, atol=3e-4)


def test_hue_turns_the_way_of_torchvision_and_keeps_luma_and_greys():
    x = mild()
    luma = torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)
    for turn in (-0.5, -0.05, 0.05, 0.3):
        got = apply(x, still(x, hue=turn))
        torch.testing.assert_close((got * luma).sum(1), (x * luma).sum(1), rtol=0, atol=1e-6)
    torch.testing.assert_close(apply(x, still(x, hue=1.0)), x, rtol=0, atol=3e-6)  # the whole circle
    grey = torch.rand(2, 1, 5, 5).expand(-1, 3, -1, -1)
    torch.testing.assert_close(apply(grey, still(grey, hue=0.2)), grey, rtol=0, atol=1e-6)
    for turn in (-0.1, -0.05, 0.05, 0.1):  # an approximation of HSV, but of the right turn
        got = apply(x, still(x, hue=turn))
        right, wrong = (tv.adjust_hue(x, sign * turn) for sign in (1, -1))
        assert (got - right).square().mean() < 0.2 * (got - wrong).square().mean()
        assert (got - right).square().mean() < 0.7 * (got - x).square().mean()


# --- RGBA -------------------------------------------------------------------------------------------------------------


def test_rgba_is_composited_before_the_crop():
    x = torch.rand(4, 4, 12, 12, generator=generator())
    params = draw(Policy(size=7), 4, (4, 12, 12), generator())
    flat = x[:, 3:] * x[:, :3] + (1 - x[:, 3:]) * params.ground[:, :, None, None]
    want = apply(flat, replace(params, shape=(3, 12, 12), ground=None))
    torch.testing.assert_close(apply(x, params), want)
    pixels = (x * 255).round().to(torch.uint8)
    torch.testing.assert_close(apply(pixels, params), apply(pixels / 255, params), rtol=0, atol=1e-6)


@pytest.mark.parametrize("C", [1, 3, 4])
def test_plain_params_show_the_image_itself_over_the_same_ground(C):
    x = torch.rand(5, C, 12, 16, generator=generator())
    params = draw(FULL, 5, (C, 12, 16), generator(1))
    clean = apply(x, plain(params))
    if C == 4:
        x = x[:, 3:] * x[:, :3] + (1 - x[:, 3:]) * params.ground[:, :, None, None]
    torch.testing.assert_close(clean, x)
    small = draw(replace(FULL, size=6), 5, (C, 12, 16), generator(1))
    assert apply(x[:, :3], plain(replace(small, shape=(min(C, 3), 12, 16)))).shape == (5, min(C, 3), 6, 6)


def test_transparent_pixels_show_a_ground_of_their_own_per_sample():
    x = torch.zeros(64, 4, 5, 5, dtype=torch.uint8)
    params = draw(STILL, 64, (4, 5, 5), generator())
    got = apply(x, params)
    torch.testing.assert_close(got, params.ground[:, :, None, None].expand(-1, -1, 5, 5))
    assert len(params.ground.unique(dim=0)) == 64
    many = draw(STILL, 20_000, (4, 5, 5), generator()).ground
    for channel in many.unbind(1):
        assert ks_1samp(channel.numpy(), lambda t: t).statistic < ks_bound(20_000)


def test_to_float():
    pixels = torch.randint(0, 256, (3, 4, 6, 6), dtype=torch.uint8, generator=generator())
    rgb, alpha = pixels[:, :3] / 255, pixels[:, 3:] / 255
    torch.testing.assert_close(to_float(pixels), alpha * rgb + (1 - alpha) * 0.5, rtol=0, atol=1e-6)
    assert torch.equal(to_float(pixels[:, :3]), rgb)
    assert torch.equal(to_float(pixels[0, :1]), pixels[0, :1] / 255)  # one image is enough
    x = torch.rand(2, 3, 4, 4, dtype=torch.float64)
    assert to_float(x).dtype == torch.float32
    torch.testing.assert_close(to_float(x), x.float())
    assert torch.equal(to_float(pixels), to_float(pixels))


# --- element-wise steps -----------------------------------------------------------------------------------------------


def test_solarise_is_torchvisions():
    x = torch.rand(2, 3, 8, 8, generator=generator())
    got = apply(x, still(x, solarise=torch.tensor([True, False])))
    torch.testing.assert_close(got[0], tv.solarize(x[0], 0.5))
    assert torch.equal(got[1], x[1])


def test_noise_is_added_per_pixel():
    x = mild(n=20, side=32)
    params = draw(replace(STILL, noise=0.02), 20, (3, 32, 32), generator())
    got = apply(x, params)
    torch.testing.assert_close(got, (x + params.noise).clamp(0, 1))
    noise = params.noise.flatten().numpy()
    assert ks_1samp(noise / 0.02, norm.cdf).statistic < ks_bound(noise.size)
    assert draw(STILL, 20, (3, 32, 32), generator()).noise is None


def test_cutout_is_a_mid_grey_box():
    x = torch.rand(3, 3, 6, 8, generator=generator())
    cutout = torch.tensor([[1, 2, 3, 4], [0, 0, 0, 4], [-1, 6, 3, 4]])  # inside, none, sticks out
    got = apply(x, still(x, cutout=cutout))
    want = x.clone()
    want[0, :, 1:4, 2:6] = 0.5
    want[2, :, 0:2, 6:8] = 0.5
    assert torch.equal(got, want)


def test_cutout_draws():
    params = draw(replace(STILL, cutout=0.3, cutout_side=0.25), 20_000, (3, 32, 32), generator())
    top, left, height, width = params.cutout.unbind(1)
    cut = height > 0
    assert abs(cut.float().mean() - 0.3) < rate_bound(20_000)
    assert set(height[cut].tolist()) == {8}
    assert set(width[cut].tolist()) == {8}
    for corner in (top, left):
        centre = corner + 4
        assert centre.min() == 0
        assert centre.max() == 31
        counts = torch.bincount(centre, minlength=32) / 20_000
        assert (counts - 1 / 32).abs().max() < rate_bound(20_000)


def test_order_of_the_steps():
    """Colour, clamp, solarise, noise, cutout: by hand on one pixel each."""
    x = torch.full((1, 3, 2, 2), 0.6)
    noise = torch.full((1, 3, 2, 2), 0.3)
    params = still(x, brightness=2.0, solarise=torch.tensor([True]), noise=noise, cutout=torch.tensor([[0, 0, 1, 1]]))
    want = torch.full((1, 3, 2, 2), 0.3)  # 0.6 * 2 -> clamped to 1 -> inverted to 0 -> 0.3
    want[..., 0, 0] = 0.5
    torch.testing.assert_close(apply(x, params), want)


# --- distributions ----------------------------------------------------------------------------------------------------

N = 40_000


def test_area_and_aspect_where_every_crop_fits():
    """Then area is uniform and the logarithm of the aspect is, whatever the rounding to pixels (1/1000 here) adds."""
    policy = Policy(scale=(0.2, 0.5), ratio=(0.8, 1.25))
    top, left, height, width = draw(policy, N, (3, 1000, 1000), generator()).box.double().unbind(1)
    area, aspect = (height * width / 1e6).numpy(), (width / height).log().numpy()
    assert ks_1samp(area, lambda a: np.clip((a - 0.2) / 0.3, 0, 1)).statistic < ks_bound(N) + 0.01
    span = math.log(1.25)
    assert ks_1samp(aspect, lambda a: np.clip((a + span) / (2 * span), 0, 1)).statistic < ks_bound(N) + 0.01
    place_y, place_x = (top / (1001 - height)).numpy(), (left / (1001 - width)).numpy()
    for place in (place_y, place_x):
        assert ks_1samp(place, lambda t: np.clip(t, 0, 1)).statistic < ks_bound(N) + 0.01
    correlation = np.corrcoef([area, aspect, place_y, place_x]) - np.eye(4)
    assert abs(correlation).max() < 6.5 / math.sqrt(N)


@pytest.mark.parametrize(
    ("H", "W", "scale", "ratio"),
    [(32, 32, (0.2, 1.0), (3 / 4, 4 / 3)), (24, 40, (0.5, 1.0), (0.5, 2.0)), (9, 16, (0.9, 1.0), (0.5, 1.6))],
)
def test_boxes_are_distributed_as_torchvisions(H, W, scale, ratio):
    """Small images: rounding, rejection and the fallback matter. The oracle is torchvision's own draw."""
    M = 4_000
    oracle = v2.RandomResizedCrop(H, scale=scale, ratio=ratio)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        drawn = [oracle.make_params([torch.empty(3, H, W)]) for _ in range(M)]
    boxes = draw(Policy(scale=scale, ratio=ratio), N, (3, H, W), generator()).box
    top, left, height, width = boxes.unbind(1)
    assert (top >= 0).all() and (left >= 0).all() and (height >= 1).all() and (width >= 1).all()  # noqa: PT018
    assert (top + height <= H).all()
    assert (left + width <= W).all()
    for name, ours in {"top": top, "left": left, "height": height, "width": width}.items():
        theirs = np.array([d[name] for d in drawn])
        assert ks_2samp(ours.numpy(), theirs, method="asymp").statistic < ks_bound(N, M), name
    theirs = np.array([d["height"] * d["width"] for d in drawn])
    assert ks_2samp((height * width).numpy(), theirs, method="asymp").statistic < ks_bound(N, M)


@pytest.mark.parametrize(("H", "W"), [(10, 40), (40, 10), (20, 20)])
def test_fallback_is_torchvisions_central_crop(H, W):
    """Crops of the whole area with an aspect that never fits."""
    ratio = (0.5, 0.6) if H == W else (3 / 4, 4 / 3)
    oracle = v2.RandomResizedCrop(8, scale=(1.0, 1.0), ratio=ratio).make_params([torch.empty(3, H, W)])
    boxes = draw(Policy(scale=(1, 1), ratio=ratio), 100, (3, H, W), generator()).box
    assert boxes.unique(dim=0).tolist() == [[oracle[k] for k in ("top", "left", "height", "width")]]


def test_rates():
    policy = Policy(flip=0.3, jitter=0.7, gray=0.15, blur=0.4, solarise=0.25)
    params = draw(policy, N, (3, 8, 8), generator())
    rates = {
        "flip": params.flip,
        "jitter": params.brightness != 1,
        "gray": params.gray,
        "blur": params.blur > 0,
        "solarise": params.solarise,
    }
    for name, happened in rates.items():
        assert abs(happened.float().mean() - getattr(policy, name)) < rate_bound(N), name
    for a, b in itertools.combinations(rates.values(), 2):  # each decides for itself
        assert abs((a & b).float().mean() - a.float().mean() * b.float().mean()) < 2 * rate_bound(N)
    jittered = params.brightness != 1
    for name in ("contrast", "saturation"):  # the four are jittered together
        assert torch.equal(getattr(params, name) != 1, jittered)
    assert torch.equal(params.hue != 0, jittered)


def test_strengths():
    """Uniform in their ranges and independent, among the samples that take the step."""
    policy = Policy(jitter=0.7, brightness=0.4, contrast=0.8, saturation=1.5, hue=0.2, blur=0.6, blur_sigma=(0.5, 1.5))
    params = draw(policy, N, (3, 8, 8), generator())
    both = (params.brightness != 1) & (params.blur > 0)
    ranges = {"brightness": (0.6, 1.4), "contrast": (0.2, 1.8), "saturation": (0, 2.5), "hue": (-0.2, 0.2)}
    values = []
    for name, (low, high) in {**ranges, "blur": (0.5, 1.5)}.items():
        value = getattr(params, name)[both].double().numpy()
        values.append(value)
        distance = ks_1samp(value, lambda t, a=low, b=high: np.clip((t - a) / (b - a), 0, 1)).statistic
        assert distance < ks_bound(len(value)), name
    correlation = np.corrcoef(values) - np.eye(len(values))
    assert abs(correlation).max() < 6.5 / math.sqrt(len(values[0]))


def test_never_and_always():
    never = draw(Policy(flip=0, jitter=0, gray=0), 1000, (3, 8, 8), generator())
    assert not never.flip.any()
    used = {f.name for f in fields(never) if getattr(never, f.name) is not None}
    assert used == {"shape", "size", "box", "flip"}  # what a policy cannot use is not drawn
    always = draw(Policy(flip=1, jitter=1, gray=1, solarise=1, cutout=1), 1000, (3, 8, 8), generator())
    assert always.flip.all() and always.gray.all() and always.solarise.all()  # noqa: PT018
    assert (always.cutout[:, 2] > 0).all()


# --- per sample, reproducible, apart ----------------------------------------------------------------------------------


def test_draws_of_a_batch_differ():
    params = draw(replace(FULL, jitter=1), 256, (3, 64, 64), generator())
    assert len(params.box.unique(dim=0)) > 250
    for name in ("brightness", "contrast", "saturation", "hue"):
        assert len(getattr(params, name).unique()) > 250
    x = mild(n=1, side=64).expand(256, -1, -1, -1)  # one image, 256 views
    assert len(apply(x, params).flatten(1).unique(dim=0)) == 256


def test_samples_do_not_look_at_each_other():
    x = torch.randint(0, 256, (6, 4, 15, 15), dtype=torch.uint8, generator=generator())
    params = draw(replace(FULL, size=10), 6, (4, 15, 15), generator())
    together = apply(x, params)
    for i in range(6):
        alone = {k: v[i : i + 1] for k, v in vars(params).items() if isinstance(v, Tensor)}
        torch.testing.assert_close(apply(x[i : i + 1], replace(params, **alone))[0], together[i], rtol=0, atol=1e-6)
    others = 255 - x
    others[2] = x[2]
    assert torch.equal(apply(others, params)[2], together[2])


def test_same_seed_same_batch():
    x = torch.rand(8, 4, 12, 12)
    first, second = (view(x, FULL, generator(3)) for _ in range(2))
    assert torch.equal(first, second)
    assert not torch.equal(first, view(x, FULL, generator(4)))
    torch.manual_seed(5)
    state = torch.get_rng_state()
    view(x, FULL, generator())
    assert torch.equal(torch.get_rng_state(), state)  # the global generator is left alone
    first = view(x, FULL, None)  # unless it is asked for
    torch.set_rng_state(state)
    assert torch.equal(view(x, FULL, None), first)


def test_apply_is_deterministic_and_changes_nothing():
    x = torch.rand(4, 4, 9, 9)
    params = draw(FULL, 4, (4, 9, 9), generator())
    before = {k: v.clone() for k, v in vars(params).items() if isinstance(v, Tensor)}
    original = x.clone()
    assert torch.equal(apply(x, params), apply(x, params))
    assert torch.equal(x, original)
    for name, value in before.items():
        assert torch.equal(getattr(params, name), value)


def test_policies_that_differ_in_one_step_agree_in_the_others():
    plain, blurred = (draw(replace(FULL, blur=p, noise=0), 50, (3, 20, 20), generator()) for p in (0, 1))
    for name in ("box", "flip", "brightness", "contrast", "saturation", "hue", "gray", "solarise", "cutout"):
        assert torch.equal(getattr(plain, name), getattr(blurred, name))


def test_views():
    x = torch.randint(0, 256, (5, 3, 16, 16), dtype=torch.uint8, generator=generator())
    first, second = views(x, [Policy(), Policy()], generator())
    assert first.shape == second.shape == x.shape
    assert not torch.equal(first, second)
    crops = [Policy(size=16)] * 2 + [Policy(size=6, scale=(0.05, 0.14))] * 4
    assert [tuple(v.shape) for v in views(x, crops, generator())] == [(5, 3, 16, 16)] * 2 + [(5, 3, 6, 6)] * 4
    one_by_one = generator()
    for v in views(x, crops, generator()):
        assert torch.equal(v, view(x, crops[0] if v.shape[-1] == 16 else crops[2], one_by_one))


# --- any input --------------------------------------------------------------------------------------------------------

unit = st.floats(0, 1)


@settings(max_examples=100, deadline=None)
@given(
    n=st.integers(0, 5),
    C=st.sampled_from([1, 3, 4]),
    H=st.integers(1, 24),
    W=st.integers(1, 24),
    size=st.none() | st.integers(1, 24),
    dtype=st.sampled_from([torch.uint8, torch.float32, torch.float64, torch.float16]),
    strength=st.floats(0, 3),
    chances=st.tuples(unit, unit, unit, unit, unit, unit),
    noise=st.floats(0, 2),
    seed=st.integers(0, 2**32),
)
def test_any_input_gives_pixels_within_0_and_1(n, C, H, W, size, dtype, strength, chances, noise, seed):
    names = ("flip", "jitter", "gray", "blur", "solarise", "cutout")
    policy = Policy(size=size, brightness=strength, contrast=strength, saturation=strength, noise=noise)
    policy = replace(policy, **dict(zip(names, chances)))
    x = torch.randint(0, 256, (n, C, H, W), dtype=torch.uint8, generator=generator(seed))
    x = x if dtype == torch.uint8 else (x / 255).to(dtype)
    got = view(x, policy, generator(seed))
    assert got.shape == (n, min(C, 3), size or H, size or W)
    assert got.dtype == torch.float32
    assert got.is_contiguous()
    assert torch.isfinite(got).all()
    assert ((got >= 0) & (got <= 1)).all()
    assert ((to_float(x) >= 0) & (to_float(x) <= 1)).all()


def test_uint8_and_float_agree():
    x = torch.randint(0, 256, (8, 3, 16, 16), dtype=torch.uint8, generator=generator())
    params = draw(replace(FULL, solarise=0), 8, (3, 16, 16), generator())  # solarise jumps: an ulp would show
    torch.testing.assert_close(apply(x, params), apply(x / 255, params), rtol=0, atol=2e-6)


def test_memory_layout_does_not_matter():
    x = torch.rand(4, 3, 10, 10)
    params = draw(FULL, 4, (3, 10, 10), generator())
    last = x.contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(apply(last, params), apply(x, params))


def test_default_dtype_does_not_matter():
    x = torch.randint(0, 256, (4, 3, 10, 10), dtype=torch.uint8)
    want = view(x, FULL, generator())
    try:
        torch.set_default_dtype(torch.float64)
        assert torch.equal(view(x, FULL, generator()), want)
    finally:
        torch.set_default_dtype(torch.float32)


def test_views_are_differentiable_in_the_pixels():
    x = mild(n=2, side=6).requires_grad_()
    view(x, Policy(blur=0.5), generator()).sum().backward()
    assert torch.isfinite(x.grad).all()
    assert x.grad.abs().sum() > 0


@pytest.mark.parametrize("C", [1, 3, 4])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_runs_on_a_device_that_is_not_there(C, dtype):
    """`meta` refuses to look at values, fake CUDA refuses to mix devices: see architecture.md, scale and devices."""
    shape = (4, C, 16, 16)
    got = view(torch.empty(shape, dtype=dtype, device="meta"), replace(FULL, size=8), generator())
    assert got.device.type == "meta"
    assert got.shape == (4, min(C, 3), 8, 8)
    with FakeTensorMode(), torch.device("cuda"):
        x = torch.empty(shape, dtype=dtype)
        first, second = views(x, [replace(FULL, size=8), Policy()], generator())
        assert first.device.type == second.device.type == to_float(x).device.type == "cuda"
        assert first.shape == (4, min(C, 3), 8, 8)
        params = draw(FULL, 4, shape[1:], generator())
        assert {x.device.type for x in vars(params).values() if isinstance(x, Tensor)} == {"cpu"}
        assert {x.device.type for x in matrices(params.to("cuda")) if x is not None} == {"cuda"}


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="cuda: no GPU")
def test_cuda_agrees_with_the_cpu():
    x = torch.randint(0, 256, (8, 4, 16, 16), dtype=torch.uint8, generator=generator())
    params = draw(replace(FULL, solarise=0), 8, (4, 16, 16), generator())
    torch.testing.assert_close(apply(x.cuda(), params).cpu(), apply(x, params), rtol=0, atol=1e-5)


# --- plain data and bad input -----------------------------------------------------------------------------------------


def test_policy_is_plain_data():
    policy = Policy(size=20, scale=[0.1, 1], flip=1, blur_sigma=(np.float64(0.1), 1))
    assert Policy(**asdict(policy)) == policy
    assert Policy(**json.loads(json.dumps(asdict(policy)))) == policy  # JSON has no tuples
    plain = {x for v in asdict(policy).values() for x in (map(type, v) if isinstance(v, tuple) else [type(v)])}
    assert plain == {int, float}


@pytest.mark.parametrize(
    "bad",
    [
        {"flip": -0.1}, {"flip": 1.5}, {"jitter": float("nan")}, {"gray": "often"}, {"blur": None}, {"hue": 0.6},
        {"brightness": -1}, {"contrast": float("inf")}, {"noise": -0.1}, {"solarise": 2}, {"cutout": [0.1, 0.2]},
        {"scale": (1.0, 0.2)}, {"scale": (0.0, 1.0)}, {"scale": (0.5, 1.5)}, {"scale": 0.5}, {"scale": (0.2, 0.5, 1)},
        {"ratio": (0, 1)}, {"ratio": (4 / 3, 3 / 4)}, {"ratio": ("a", "b")}, {"blur_sigma": (-1, 1)},
        {"cutout_side": 1.1}, {"size": 0}, {"size": -3}, {"size": 3.5}, {"size": (32, 32)}, {"saturation": True * 200},
    ],
)  # fmt: skip
def test_bad_policies_are_refused_in_one_sentence(bad):
    ((name, value),) = bad.items()
    with pytest.raises(ValueError, match=rf"^Policy: {name}=.* should be .*\.$") as error:
        Policy(**bad)
    assert repr(value) in str(error.value)


def test_policy_cannot_be_changed():
    with pytest.raises(AttributeError):
        Policy().flip = 2


@pytest.mark.parametrize("C", [0, 2, 5])
def test_other_channel_counts_are_refused(C):
    x = torch.rand(2, C, 4, 4)
    for call in (lambda: draw(Policy(), 2, (C, 4, 4), None), lambda: view(x, Policy(), None), lambda: to_float(x)):
        with pytest.raises(ValueError, match=rf"\({C}, 4, 4\).*1 \(grey\), 3 \(RGB\) or 4 \(RGBA\)"):
            call()


def test_other_shapes_and_dtypes_are_refused():
    x = torch.rand(2, 3, 4, 4)
    with pytest.raises(ValueError, match=r"images are \(2, 3, 4, 4\), but params were drawn for \(3, 3, 4, 4\)"):
        apply(x, draw(Policy(), 3, (3, 4, 4), None))
    with pytest.raises(ValueError, match=r"expected \(C, H, W\)"):
        view(x[0], Policy(), None)
    for call in (lambda y: view(y, Policy(), None), to_float):
        with pytest.raises(TypeError, match=r"torch.int64; expected uint8"):
            call(x.long())


def test_yiq_there_and_back():
    there, back = (torch.tensor(m, dtype=torch.float64) for m in (augment.TO_YIQ, augment.FROM_YIQ))
    torch.testing.assert_close(back @ there, torch.eye(3, dtype=torch.float64), rtol=0, atol=1e-9)


def test_shrinking_keeps_the_mean_and_is_antialiased():
    x = torch.rand(3, 2, 16, 12, generator=torch.Generator().manual_seed(0))
    small = augment.shrink(x, 0.5)
    assert small.shape == (3, 2, 8, 6)
    assert torch.allclose(small.mean((2, 3)), x.mean((2, 3)), atol=0.03)
    checkers = (torch.arange(16)[:, None] + torch.arange(16)[None]).fmod(2).float().expand(1, 1, 16, 16)
    assert augment.shrink(checkers, 0.5)[..., 2:-2, 2:-2].std() < 0.01  # what is too fine to be seen becomes grey
    assert augment.shrink(x, 1.0) is x
    assert augment.shrink(x, 0.01).shape == (3, 2, 2, 2)  # a network that halves needs two


def test_floats_up_to_255_are_refused_and_arrays_are_named():
    x = torch.full((1, 3, 4, 4), 255.0)
    for take in (lambda x: evaluation.features(nn.Identity(), x), lambda x: view(x, Policy(), None)):
        with pytest.raises(ValueError, match="Images are floats from 255 to 255; expected 0 to 1: divide by 255"):
            take(x)
        for wrong in (x / 127.5 - 3, torch.full_like(x, torch.nan)):
            with pytest.raises(ValueError, match="expected 0 to 1: not normalised"):
                take(wrong)
    picture = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0)).round()
    larger = torch.nn.functional.interpolate(picture, scale_factor=2, mode="bicubic")
    assert larger.min() < -0.1  # a little too far is no mistake
    assert view(larger, Policy(), None).isfinite().all()
    with pytest.raises(TypeError, match="Images are a ndarray; expected a tensor"):
        augment.to_float(x.numpy())

"""`arrays`: every layout gives the same pictures, and what does not fit is refused in one sentence."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sslkit.datasets import arrays, load

RGB = np.random.default_rng(0).integers(0, 256, (16, 3, 8, 8), dtype=np.uint8)
LABELS = np.arange(16) % 2


@pytest.mark.parametrize(
    "images",
    [
        RGB,
        RGB.transpose(0, 2, 3, 1),
        torch.from_numpy(RGB),
        RGB / 255,
        (RGB / 255).astype(np.float32),
        torch.from_numpy(RGB).permute(0, 2, 3, 1).double() / 255,
        list(RGB),
        np.broadcast_to(RGB, RGB.shape),
        np.asfortranarray(RGB),
    ],
)
def test_every_layout_and_scale_is_the_same_picture(images):
    data = arrays(images, LABELS)
    assert torch.equal(data.images, torch.from_numpy(RGB))
    assert data.images.is_contiguous()
    assert data.labels.tolist() == LABELS.tolist()
    assert [len(data.train), len(data.val), len(data.test)] == [12, 2, 2]


@pytest.mark.parametrize(
    ("shape", "layout", "expected"),
    [
        ((5, 28, 28), None, (1, 28, 28)),
        ((5, 28, 28, 1), None, (1, 28, 28)),
        ((5, 1, 28, 28), None, (1, 28, 28)),
        ((5, 6, 7, 4), None, (4, 6, 7)),
        ((5, 4, 6, 7), None, (4, 6, 7)),
        ((5, 3, 9, 4), "NCHW", (3, 9, 4)),
        ((5, 3, 9, 4), "NHWC", (4, 3, 9)),
    ],
)
def test_the_channels_are_found_or_named(shape, layout, expected):
    assert arrays(np.zeros(shape, np.uint8), layout=layout).shape == expected


def test_labels_may_be_any_integers_strings_or_absent():
    assert arrays(RGB).labels is None
    data = arrays(RGB, ["dog", "cat"] * 8)
    assert data.names == ("cat", "dog")
    assert data.labels.tolist() == [1, 0] * 8
    data = arrays(RGB, [7, -2] * 8)
    assert data.names == ("-2", "7")
    assert data.labels.tolist() == [1, 0] * 8
    data = arrays(RGB, torch.tensor([2, 0] * 8), names=("a", "b", "c"))
    assert data.names == ("a", "b", "c")
    assert data.labels.tolist() == [2, 0] * 8
    data = arrays(RGB, np.array(["dog", "cat"] * 8, dtype=object))  # as pandas keeps strings
    assert (data.names, data.labels.tolist()) == (("cat", "dog"), [1, 0] * 8)
    assert arrays(RGB, [5] * 16).names == ("5",)  # one class is a set, even if not one to classify


def test_groups_are_not_divided():
    data = arrays(RGB, groups=["b", "a", "c", "d"] * 4, seed=3)
    assert data.group_names == ("a", "b", "c", "d")
    for group in range(4):
        assert len(data.split[data.groups == group].unique()) == 1


def test_npz_files_round_trip(tmp_path):
    np.savez(tmp_path / "mine.npz", images=RGB, labels=LABELS)
    np.savez(tmp_path / "keras.npz", x=RGB, y=LABELS)
    for data in (arrays(tmp_path / "mine.npz"), load(str(tmp_path / "keras.npz"))):
        assert data.fingerprint() == arrays(RGB, LABELS).fingerprint()
    assert data.name == "keras"
    (tmp_path / "broken.npz").write_bytes(b"PK no zip")
    np.savez(tmp_path / "other.npz", weights=RGB)
    np.savez(tmp_path / "objects.npz", images=np.array([{}, None], dtype=object))
    for name, error, message in (
        ("broken.npz", ValueError, "broken.npz is not an .npz file"),
        ("objects.npz", ValueError, "objects.npz is not an .npz file of plain arrays"),
        ("other.npz", ValueError, "holds \\['weights'\\], but pictures are expected under 'images'"),
        ("missing.npz", FileNotFoundError, "There is no file .*missing.npz"),
    ):
        with pytest.raises(error, match=message):
            arrays(tmp_path / name)


def zeros(*shape, dtype=np.uint8):
    return np.zeros(shape, dtype)


@pytest.mark.parametrize(
    ("images", "labels", "more", "error", "message"),
    [
        (zeros(0, 3, 8, 8), None, {}, ValueError, r"shape \(0, 3, 8, 8\)"),
        (zeros(4, 3, 0, 8), None, {}, ValueError, r"shape \(4, 3, 0, 8\)"),
        (zeros(8, 8), None, {}, ValueError, r"shape \(8, 8\), but pictures are expected"),
        (zeros(32, 32, 3), None, {}, ValueError, r"shape \(32, 32, 3\), but pictures are expected"),
        (zeros(4, 2, 8, 8), None, {}, ValueError, "C = 1, 3 or 4"),
        (zeros(4, 5, 3, 8, 8), None, {}, ValueError, "C = 1, 3 or 4"),
        (zeros(4, 3, 8, 3), None, {}, ValueError, "say layout='NCHW' or layout='NHWC'"),
        (zeros(4, 3, 8, 8), None, {"layout": "NHWC"}, ValueError, "say layout='NCHW', not 'NHWC'"),
        (zeros(4, 3, 8, 8, dtype=np.int64), None, {}, TypeError, "images are int64; give uint8"),
        (zeros(4, 3, 8, 8, dtype=bool), None, {}, TypeError, "images are bool"),
        (zeros(4, 3, 8, 8, dtype=complex), None, {}, TypeError, "images are complex128"),
        (["a.png", "b.png"], None, {}, ValueError, "images have shape"),
        ([zeros(3, 8, 8), zeros(3, 9, 9)], None, {}, TypeError, "datasets.folder"),
        (None, None, {}, TypeError, "images must be one array"),
        (zeros(4, 3, 8, 8) + 7.0, None, {}, ValueError, "floats from 7 to 7.*divide by 255"),
        (zeros(4, 3, 8, 8) - 1.5, None, {}, ValueError, "undo their normalisation"),
        (zeros(4, 3, 8, 8), [0, 1, 0], {}, ValueError, r"labels have shape \(3,\), but there are 4 images"),
        (zeros(4, 3, 8, 8), np.eye(4, dtype=int), {}, ValueError, r"labels have shape \(4, 4\)"),
        (zeros(4, 3, 8, 8), [0.0, 1.0, 0.5, 1.0], {}, TypeError, "labels must be integers or strings.*float64"),
        (zeros(4, 3, 8, 8), [0, None, 1, 1], {}, TypeError, "labels must be one array; of one type"),
        (zeros(4, 3, 8, 8), [0, 1, 2, 1], {"names": ("a", "b")}, ValueError, "labels go from 0 to 2"),
        (zeros(4, 3, 8, 8), list("abab"), {"names": ("a", "b")}, TypeError, "labels must be integers that index names"),
        (zeros(4, 3, 8, 8), None, {"groups": [1, 2]}, ValueError, "groups have shape"),
        (zeros(4, 3, 8, 8), None, {"val": 0.5, "test": 0.5}, ValueError, "leave something to train on"),
    ],
)
def test_what_does_not_fit_is_refused(images, labels, more, error, message):
    with pytest.raises(error, match=message):
        arrays(images, labels, **more)


@settings(max_examples=40, deadline=None)
@given(st.sampled_from([float("nan"), float("inf"), -float("inf")]), st.integers(0, 15), st.integers(0, 63))
def test_one_bad_pixel_anywhere_is_found_and_its_image_named(value, image, pixel):
    x = (RGB / 255).astype(np.float32)
    x[image].reshape(-1)[pixel] = value
    with pytest.raises(ValueError, match=f"1 images have NaN or infinite pixels, the first is image {image}"):
        arrays(x)


@settings(max_examples=40, deadline=None)
@given(st.floats(-1e30, 1e30, allow_nan=False).filter(lambda v: v < 0 or v > 1))
def test_one_pixel_out_of_range_is_refused(value):
    x = RGB / 255
    x[3, 1, 4, 1] = value
    with pytest.raises(ValueError, match="but 0 to 1 is expected"):
        arrays(x)


def test_floats_are_rounded_to_the_nearest_of_256():
    x = np.linspace(0, 1, 64 * 64).reshape(1, 64, 64)
    restored = arrays(x).images[0, 0].double() / 255
    assert (restored - torch.from_numpy(x[0])).abs().max() <= 0.5 / 255 + 1e-12

"""The scikit-learn transformer: its own checks, pipelines, and every form in which pictures come."""

import pickle
import subprocess
import sys
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import check_estimator

import sslkit
from sslkit import Embedding, evaluation, nets

CPU = {"device": "cpu", "precision": "float32", "channels_last": False}
EXPECTED_FAILURES = {}  # name: reason. Nothing has to be excused.
SKIPPED = {
    "check_array_api_input"
}  # scikit-learn runs it only if SciPy's array API is switched on for the whole process


def quick(**options):
    return Embedding(**{"steps": 2, "batch_size": 16, "options": CPU, **options})


@pytest.fixture(scope="module")
def pictures(tiny_shapes):
    return tiny_shapes.images[:60].numpy()  # (60, 3, 16, 16)


@pytest.mark.slow
def test_scikit_learns_own_checks(capsys):
    """They give it tables of any width, which become pictures that are one pixel high."""
    results = check_estimator(
        quick(image_shape=(1, 1, -1)), expected_failed_checks=EXPECTED_FAILURES, on_fail=None, on_skip=None
    )
    count = Counter(result["status"] for result in results)
    with capsys.disabled():
        print(f"\nscikit-learn's estimator checks for Embedding: {dict(count)}")
    assert not {r["check_name"]: str(r["exception"]) for r in results if r["status"] == "failed"}
    assert {r["check_name"] for r in results if r["status"] == "skipped"} <= SKIPPED
    assert count["xfail"] == len(EXPECTED_FAILURES)
    assert count["passed"] >= 40


def test_in_a_pipeline_it_learns_digits_without_their_labels():
    X, y = load_digits(return_X_y=True)  # (1797, 64), floats from 0 to 16
    pipeline = make_pipeline(
        Embedding(steps=60, image_shape=(8, 8), options={**CPU, "encoder": nets.small_resnet(1, widths=(16, 32))}),
        LogisticRegression(max_iter=1000),
    )
    assert pipeline.fit(X[:1200], y[:1200]).score(X[1200:], y[1200:]) > 0.8
    assert pipeline[0].history_.step == 60


def test_it_is_what_pretrain_gives(pictures):
    data = sslkit.datasets.Images(torch.from_numpy(pictures), None, torch.zeros(60, dtype=torch.uint8))
    run = sslkit.pretrain("vicreg", data, steps=3, seed=4, batch_size=16, marks=0, progress=False, **CPU)
    mine = quick(method="vicreg", steps=3, seed=4).fit(pictures)
    assert np.array_equal(mine.transform(pictures), run.embed(data).numpy())
    assert mine.transform(pictures).dtype == np.float32
    assert list(mine.get_feature_names_out()[:2]) == ["embedding0", "embedding1"]
    assert len(mine.get_feature_names_out()) == mine.encoder_.dim


def test_every_form_of_the_same_pictures(pictures):
    expected = quick().fit_transform(pictures)
    same = {
        "channels last": (pictures.transpose(0, 2, 3, 1), {}),
        "rows": (pictures.reshape(60, -1), {"image_shape": (3, 16, 16)}),
        "a shape that decides": (pictures, {"image_shape": (3, 16, 16)}),
        "rows, one side open": (pictures.reshape(60, -1), {"image_shape": (3, -1, 16)}),
    }
    for name, (X, options) in same.items():
        assert np.array_equal(quick(**options).fit_transform(X), expected), name
    grey = pictures[:, 0]
    assert np.array_equal(quick().fit_transform(grey), quick(image_shape=(16, 16)).fit_transform(grey.reshape(60, -1)))


def test_the_range_of_numbers_is_learnt(pictures):
    floats = pictures / 255.0
    low, high = floats.min(), floats.max()
    wide = quick().fit(3 * floats - 7)
    assert wide.pixel_range_ == pytest.approx((3 * low - 7, 3 * high - 7))
    assert np.allclose(wide.transform(3 * floats - 7), quick().fit(floats).transform(floats), atol=0.05)
    assert np.array_equal(
        wide.transform(np.full((1, 3, 16, 16), 99.0)), wide.transform(np.full((1, 3, 16, 16), 3 * high - 7))
    )
    assert np.isfinite(quick().fit_transform(np.ones((20, 1, 8, 8)))).all()
    signed = (pictures.astype(np.int16) - 128).astype(np.int8)  # from -128 to 127: their difference is not an int8
    assert np.allclose(quick().fit_transform(signed), quick().fit_transform(signed.astype(np.float64)), atol=1e-5)


def test_clone_pickle_and_what_was_given_stay(pictures):
    encoder = nets.small_resnet(widths=(8, 16))
    before = encoder.body[0].weight.clone()
    mine = quick(options={**CPU, "encoder": encoder}).fit(pictures)
    assert torch.equal(encoder.body[0].weight, before)  # not trained in place
    assert mine.encoder_.dim == 16
    stored = pickle.dumps(mine)
    assert len(stored) < 200_000  # the pictures are not in it
    assert np.array_equal(pickle.loads(stored).transform(pictures), mine.transform(pictures))
    assert not hasattr(clone(mine), "encoder_")
    assert clone(mine).get_params()["steps"] == 2
    assert np.array_equal(
        evaluation.features(mine.encoder_, torch.from_numpy(pictures)).numpy(), mine.transform(pictures)
    )


@pytest.mark.parametrize(
    ("options", "shape", "message"),
    [
        ({}, (20, 64), r"X has rows of 64 numbers: say image_shape=\(C, H, W\)"),
        ({"image_shape": (3, 4, 4)}, (20, 64), r"X has 64 columns, which are no image_shape=\(3, 4, 4\)"),
        ({"image_shape": (2, 4, 8)}, (20, 64), "images have shape"),
        ({}, (20, 3, 8, 3), r"\(N, C, H, W\) or \(N, H, W, C\): give the first, and say image_shape"),
        ({"method": "simclear"}, (20, 1, 8, 8), "Unknown method 'simclear'. Did you mean 'simclr'"),
        ({"steps": 0}, (20, 1, 8, 8), "steps is 0"),
        ({"image_shape": (6, 8, 3)}, (20, 144), r"image_shape is \(6, 8, 3\), but channels come first"),
        (
            {"image_shape": (-1, 8, 3)},
            (20, 144),
            r"image_shape is \(-1, 8, 3\), but channels come first: .*\(N, H, W, C\)",
        ),
        ({"image_shape": 28}, (20, 784), r"image_shape is 28; give whole numbers, \(C, H, W\) or \(H, W\)"),
        ({"image_shape": 28}, (20, 1, 28, 28), "image_shape is 28; give"),
        ({"image_shape": "3,4,4"}, (20, 48), "image_shape is '3,4,4'; give"),
        ({"image_shape": (4.0, 12.0)}, (20, 48), r"image_shape is \(4.0, 12.0\); give"),
        ({"image_shape": (48,)}, (20, 48), r"image_shape is \(48,\); give"),
        ({"image_shape": (2, 3, 4, 4)}, (20, 96), r"image_shape is \(2, 3, 4, 4\); give"),
        (
            {"image_shape": (3, 4, 4)},
            (20, 3, 8, 8),
            r"pictures of shape \(3, 8, 8\), channels first, but image_shape is \(3, 4, 4\)",
        ),
        (
            {"image_shape": (8, 4)},
            (20, 8, 8),
            r"pictures of shape \(1, 8, 8\), channels first, but image_shape is \(8, 4\)",
        ),
        (
            {"image_shape": (8, 8, 3)},
            (20, 8, 8, 3),
            r"pictures of shape \(3, 8, 8\), channels first, but image_shape is \(8, 8, 3\)",
        ),
        ({"options": {"steps": 3, "seed": 1}}, (20, 1, 8, 8), r"options has 'seed': say Embedding\(seed=1\)"),
        ({"options": {"batch_size": 3}}, (20, 1, 8, 8), r"options has 'batch_size': say Embedding\(batch_size=3\)"),
        ({"options": {"method": "vicreg"}}, (20, 1, 8, 8), r"options has 'method': say Embedding\(method='vicreg'\)"),
        ({"options": {"data": 3}}, (20, 1, 8, 8), "options has 'data': the pictures are X"),
        ({"batch_size": None}, (20, 1, 8, 8), "batch_size is None; it must be a whole number of at least 2"),
        ({"batch_size": "16"}, (20, 1, 8, 8), "batch_size is '16'; it must be"),
    ],
)
def test_bad_input_is_one_sentence(options, shape, message):
    with pytest.raises(ValueError, match=message):
        quick(**options).fit(np.zeros(shape))


def test_what_was_stopped_is_not_fitted(pictures, monkeypatch):
    fit = sslkit.train.fit
    monkeypatch.setattr("sslkit.run.fit", lambda *args, **how: replace(fit(*args, **how), step=1))
    with pytest.raises(KeyboardInterrupt):
        sslkit.Embedding("simclr", steps=2, batch_size=16).fit(pictures)


def test_options_are_a_dictionary(pictures):
    with pytest.raises(TypeError, match=r"options is \['lr'\]; give a dictionary"):
        quick(options=["lr"]).fit(pictures)


def test_pictures_of_another_size(pictures):
    with pytest.raises(ValueError, match=r"X has pictures of shape \(3, 8, 8\), but fit saw \(3, 16, 16\)"):
        quick().fit(pictures).transform(pictures[:, :, :8, :8])


def test_floats_for_an_encoder_of_bytes(pictures):
    """From 0 to 1 they would all become black, and no number would say so."""
    mine, floats = quick().fit(pictures), pictures / 255.0
    with pytest.raises(ValueError, match=r"X is float64 with 1 as its largest number, but fit saw uint8.*X \* 255"):
        mine.transform(floats / floats.max())
    with pytest.raises(ValueError, match="X is float32 with "):
        mine.transform(floats.astype(np.float32))
    expected = mine.transform(pictures)
    assert np.allclose(mine.transform(pictures.astype(np.float64)), expected, atol=1e-5)
    assert np.array_equal(
        mine.transform(np.zeros_like(floats)), mine.transform(np.zeros_like(pictures))
    )  # black is black
    wide = quick().fit(pictures.astype(np.float64))  # floats from the start, but up to 255
    with pytest.raises(ValueError, match="fit saw float64 up to 255"):
        wide.transform(floats)
    assert np.allclose(quick().fit(floats).transform(pictures), expected, atol=0.5)  # the other way round all is said


def test_rows_and_pictures_are_the_same(pictures):
    rows = pictures.reshape(60, -1)
    mine = quick(image_shape=(3, 16, 16)).fit(rows)
    expected = mine.transform(rows)
    assert np.array_equal(mine.transform(pictures), expected)
    assert np.array_equal(mine.transform(pictures.transpose(0, 2, 3, 1)), expected)
    other = quick(image_shape=(3, 16, 16)).fit(pictures)
    assert np.array_equal(other.transform(rows), expected)
    with pytest.raises(
        ValueError, match=r"X has pictures of shape \(3, 8, 8\), channels first, but image_shape is \(3, 16, 16\)"
    ):
        mine.transform(pictures[:, :, :8, :8])
    with pytest.raises(ValueError, match="X has 700 features, but Embedding is expecting 768 features"):
        other.transform(rows[:, :700])
    with pytest.raises(ValueError, match="X has rows of 768 numbers: say image_shape"):
        quick().fit(pictures).transform(rows)
    narrow = quick(image_shape=(8, 4)).fit(rows[:, :32])
    assert np.array_equal(narrow.transform(rows[:, :32].reshape(60, 8, 4)), narrow.transform(rows[:, :32]))
    flat = quick(image_shape=(1, 1, -1)).fit(rows)  # one pixel high, which the network sees twice
    assert np.array_equal(flat.transform(rows[:, None, None]), flat.transform(rows))


def test_importing_sslkit_does_not_import_scikit_learn():
    code = "import sslkit, sys; assert 'sklearn' not in sys.modules; sslkit.Embedding; assert 'sklearn' in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_shape_decides_which_axis_is_the_channels():
    assert quick(image_shape=(3, 8, 3)).fit(np.random.default_rng(0).random((20, 3, 8, 3))).image_shape_ == (3, 8, 3)

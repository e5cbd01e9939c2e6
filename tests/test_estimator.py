"""The scikit-learn transformer: its own checks, pipelines, and every form in which pictures come."""

import pickle
import subprocess
import sys
from collections import Counter

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
    ],
)
def test_bad_input_is_one_sentence(options, shape, message):
    with pytest.raises(ValueError, match=message):
        quick(**options).fit(np.zeros(shape))


def test_pictures_of_another_size(pictures):
    with pytest.raises(ValueError, match=r"X has pictures of shape \(3, 8, 8\), but fit saw \(3, 16, 16\)"):
        quick().fit(pictures).transform(pictures[:, :, :8, :8])


def test_importing_sslkit_does_not_import_scikit_learn():
    code = "import sslkit, sys; assert 'sklearn' not in sys.modules; sslkit.Embedding; assert 'sklearn' in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_shape_decides_which_axis_is_the_channels():
    assert quick(image_shape=(3, 8, 3)).fit(np.random.default_rng(0).random((20, 3, 8, 3))).image_shape_ == (3, 8, 3)

"""Scores: the numbers, their intervals, and what happens to bad input."""

import math
import subprocess
import sys

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.metrics import r2_score

from sslkit import evaluation
from sslkit.evaluation import Score, accuracy, r2


def coin(n, p, seed):
    return torch.rand(n, generator=torch.Generator().manual_seed(seed)) < p


def test_score_reads_well():
    score = Score(0.7412, 0.7188, 0.76, 2000)
    assert str(score) == "0.74 [0.72, 0.76]"
    assert float(score) == 0.7412
    with pytest.raises(AttributeError):
        score.value = 1.0


def test_interval_covers_the_truth_as_often_as_it_says():
    """400 images, true accuracy 0.7, 200 experiments: coverage is 0.94 +- 0.017, so 0.85 is more than five sd away."""
    scores = [accuracy(coin(400, 0.7, seed)) for seed in range(200)]
    coverage = np.mean([score.low <= 0.7 <= score.high for score in scores])
    width = np.mean([score.high - score.low for score in scores])
    assert 0.85 <= coverage <= 0.995
    assert width == pytest.approx(2 * 1.96 * math.sqrt(0.7 * 0.3 / 400), rel=0.1)


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_interval_equals_the_binomial_one(p):
    """Resampling n zeros and ones is drawing from a binomial. 1,000 draws find its quantile to 0.085 sd: allow 0.5."""
    correct = coin(500, p, 1)
    score = accuracy(correct)
    share = correct.float().mean().item()
    low, high = stats.binom.ppf([0.025, 0.975], 500, share) / 500
    sd = math.sqrt(share * (1 - share) / 500)
    assert score.value == pytest.approx(share)
    assert abs(score.low - low) < 0.5 * sd
    assert abs(score.high - high) < 0.5 * sd


@pytest.mark.parametrize("n", [1, 5, 2000])
def test_all_right_or_all_wrong_is_not_certainty(n):
    wilson = stats.binomtest(n, n).proportion_ci(method="wilson")
    right, wrong = accuracy(torch.ones(n)), accuracy(torch.zeros(n))
    assert (right.value, right.high) == (1, 1)
    assert right.low == pytest.approx(wilson.low, abs=1e-4)
    assert (wrong.value, wrong.low) == (0, 0)
    assert wrong.high == pytest.approx(1 - wilson.low, abs=1e-4)


def test_interval_of_several_draws_includes_the_spread_between_draws():
    one = coin(1000, 0.5, 0)
    same = accuracy(torch.stack([one] * 5, 1))
    assert same.value == accuracy(one).value
    assert same.high - same.low == pytest.approx(accuracy(one).high - accuracy(one).low, rel=1e-4)
    unlike = accuracy(torch.stack([coin(1000, p, i) for i, p in enumerate([0.1, 0.3, 0.5, 0.7, 0.9])], 1))
    assert unlike.high - unlike.low > 5 * (same.high - same.low)
    assert unlike.n == 1000


@pytest.mark.parametrize("draws", [2, 3, 5])
def test_few_draws_are_not_taken_for_many(draws):
    """Of 400 measurements whose luck lies in the draw of labels, nearly all intervals hold the true accuracy. Resampling
    three draws would reach 80 %, five 88 %."""
    generator = torch.Generator().manual_seed(draws)
    hits = 0
    for _ in range(400):
        chances = 0.6 + 0.05 * torch.randn(draws, generator=generator)
        score = accuracy((torch.rand(1000, draws, generator=generator) < chances).float())
        hits += score.low <= 0.6 <= score.high
    assert 0.91 < hits / 400 < 0.99


@pytest.mark.parametrize("d", [1, 2])
def test_r2_equals_sklearn(d):
    target = torch.randn(300, d, generator=torch.Generator().manual_seed(0)) + 5
    residual = torch.randn(300, d, generator=torch.Generator().manual_seed(1)) * 0.6
    score = r2(residual, target)
    expected = r2_score(target, target - residual, multioutput="variance_weighted")
    assert score.value == pytest.approx(expected, abs=1e-4)
    assert score.low < score.value < score.high
    assert score.n == 300


def test_r2_interval_covers_the_truth():
    """y = s + e with variances 1 and 0.25, predicted by s: R^2 is 0.8. Wide bounds as above."""

    def one(seed):
        signal, noise = torch.randn(2, 300, 1, generator=torch.Generator().manual_seed(seed))
        return r2(0.5 * noise, signal + 0.5 * noise)

    scores = [one(seed) for seed in range(200)]
    assert 0.83 <= np.mean([score.low <= 0.8 <= score.high for score in scores]) <= 1


def test_r2_of_a_target_that_does_not_vary_is_not_a_number():
    score = r2(torch.ones(10, 1), torch.full((10, 1), 3.0))
    assert math.isnan(score.value)
    assert str(score) == "nan [nan, nan]"


def test_scores_are_repeatable_and_leave_the_global_generator_alone():
    state = torch.random.get_rng_state()
    assert accuracy(coin(50, 0.5, 3)) == accuracy(coin(50, 0.5, 3))
    assert len({accuracy(coin(997, 0.5, 3), seed=seed) for seed in range(5)}) > 1
    assert torch.equal(state, torch.random.get_rng_state())


X, Y = torch.randn(12, 4, generator=torch.Generator().manual_seed(0)), torch.arange(12) % 3
BAD = {
    "no images": (X[:0], Y[:0], "at least one image"),
    "one dimension": (X[:, 0], Y, r"\(N, (D|4)\)"),
    "pictures": (X.reshape(12, 1, 2, 2), Y, r"\(N, (D|4)\)"),
    "NaN": (X.clone().index_fill_(0, torch.tensor([2]), torch.nan), Y, "4 NaN or infinite"),
    "infinite": (X.clone().index_fill_(1, torch.tensor([1]), torch.inf), Y, "12 NaN or infinite"),
    "no labels": (X, None, "labels are missing"),
    "too few labels": (X, Y[:5], r"shape \(12,\)"),
    "one-hot labels": (X, torch.eye(3)[Y], r"shape \(12,\)"),
    "float labels": (X, Y.float(), "integers"),
}


@pytest.mark.parametrize("case", BAD)
@pytest.mark.parametrize("side", ["train", "test"])
@pytest.mark.parametrize("measure", ["knn", "linear_probe", "few_label", "retrieval"])
def test_bad_input_is_one_clear_sentence(measure, side, case):
    bad_x, bad_y, message = BAD[case]
    arguments = (bad_x, bad_y, X, Y) if side == "train" else (X, Y, bad_x, bad_y)
    with pytest.raises(ValueError, match=message) as error:
        getattr(evaluation, measure)(*arguments)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("measure", ["knn", "linear_probe", "few_label", "retrieval"])
def test_features_of_two_encoders_are_refused(measure):
    with pytest.raises(ValueError, match=r"\(N, 4\)"):
        getattr(evaluation, measure)(X, Y, torch.randn(6, 5), Y[:6])


@pytest.mark.parametrize("measure", ["knn", "linear_probe", "retrieval"])
def test_numpy_arrays_and_other_integers_are_welcome(measure):
    function = getattr(evaluation, measure)
    expected = function(X, Y, X, Y)
    assert (
        function(X.double().numpy(), Y.to(torch.uint8), X.half().float().numpy() * 0 + X.numpy(), Y.numpy()) == expected
    )


def test_import_is_light():
    code = (
        "import sys, sslkit.evaluation; "
        "print([m for m in ('torchvision', 'sklearn', 'scipy', 'matplotlib', 'PIL', 'pandas') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_names_for_labels_are_explained():
    x = torch.eye(4)
    with pytest.raises(TypeError, match="train labels must be whole numbers"):
        evaluation.knn(x, list("abab"), x, list("abab"))

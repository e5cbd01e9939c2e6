"""Linear probes: as good as scikit-learn's, blind to the test split, and clear about bad input."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from sslkit.evaluation import _probe, few_label, fit_linear, linear_probe
from sslkit.evaluation._probe import DECAYS, Axes, hold_out, logistic, principal_axes


def objective(z, y, weight, bias, decay):
    logits = z.double() @ weight.double() + bias.double()
    return (F.cross_entropy(logits, y) + decay / 2 * weight.double().square().sum()).item()


def by_sklearn(z, y, decay):
    """sklearn minimises C * sum of losses + |W|^2 / 2 with a free intercept: C = 1 / (n decay)."""
    fitted = LogisticRegression(C=1 / (len(y) * decay), tol=1e-8, max_iter=20000).fit(z.double().numpy(), y.numpy())
    weight, bias = torch.from_numpy(fitted.coef_.T), torch.from_numpy(fitted.intercept_)
    if weight.shape[1] == 1:  # two classes: one column, shared between the two of a softmax
        weight, bias = torch.cat([-weight, weight], 1) / 2, torch.cat([-bias, bias]) / 2
    return weight, bias


def hard(n, dim, classes, seed=0):
    """Overlapping classes in badly conditioned coordinates: scales from 1 to 1000, strongly correlated."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.randint(classes, (n,), generator=generator)
    x = torch.randn(n, dim, generator=generator) + 0.5 * torch.randn(classes, dim, generator=generator)[y]
    mix = torch.randn(dim, dim, generator=generator) * torch.logspace(0, -2, dim)
    return (x @ mix) * torch.logspace(0, 3, dim) + 100, y


@pytest.mark.parametrize(("n", "dim", "classes"), [(800, 30, 4), (60, 200, 3)])
def test_the_minimum_is_as_deep_as_sklearns(n, dim, classes):
    x, y = hard(n, dim, classes)
    z = (x - x.mean(0)) / x.std(0, correction=0)
    for decay, weight, bias in logistic(Axes(x), y, classes, DECAYS):
        assert objective(z, y, weight, bias, decay) <= objective(z, y, *by_sklearn(z, y, decay), decay) + 1e-4


def test_the_minimum_of_two_classes_is_sklearns():
    """sklearn penalises one column w, a softmax two, w/2 and -w/2: half the penalty, so twice the decay is equal."""
    x, y = hard(300, 10, 2)
    z = (x - x.mean(0)) / x.std(0, correction=0)
    _, weight, bias = next(logistic(Axes(x), y, 2, [0.02]))
    expected, intercept = by_sklearn(z, y, 0.01)
    assert objective(z, y, weight, bias, 0.02) <= objective(z, y, expected, intercept, 0.02) + 1e-4


@pytest.mark.parametrize("classes", [2, 10, 60])
def test_strong_decays_need_few_evaluations_however_many_classes(classes, monkeypatch):
    """With one bound on the curvature for any number of classes, 10 take 35 to 43 evaluations, and 60 take 60 to 72."""
    x, y = hard(1500, 40, classes)
    count, softmax = [], torch.Tensor.log_softmax
    monkeypatch.setattr(torch.Tensor, "log_softmax", lambda z, dim: count.append(dim) or softmax(z, dim))
    list(logistic(Axes(x), y, classes, [1.0, 0.1]))
    assert len(count) <= 30


def test_warm_starts_do_not_change_the_answer():
    x, y = hard(500, 20, 3)
    z = (x - x.mean(0)) / x.std(0, correction=0)
    for decay, weight, bias in logistic(Axes(x), y, 3, DECAYS):
        _, cold_weight, cold_bias = next(logistic(Axes(x), y, 3, [decay]))
        gap = objective(z, y, weight, bias, decay) - objective(z, y, cold_weight, cold_bias, decay)
        assert abs(gap) < 1e-4


def test_predictions_equal_sklearns_pipeline():
    """Half a percent may differ: images on the boundary, where float32 decides."""
    x, y = hard(900, 20, 4)
    probe = fit_linear(x[:600], y[:600], decays=(0.01,))
    scaler = StandardScaler().fit(x[:600].double().numpy())
    fitted = LogisticRegression(C=1 / (600 * 0.01), tol=1e-8, max_iter=20000)
    fitted.fit(scaler.transform(x[:600].double().numpy()), y[:600].numpy())
    expected = torch.from_numpy(fitted.predict(scaler.transform(x[600:].double().numpy())))
    assert (probe.predict(x[600:]) == expected).float().mean() >= 0.995


@pytest.mark.parametrize(("n", "dim"), [(50, 8), (8, 50), (30, 30), (1, 5)])
def test_principal_axes_are_an_orthonormal_basis_of_the_rows(n, dim):
    x = torch.randn(n, dim, generator=torch.Generator().manual_seed(0))
    squares, axes = principal_axes(x)
    assert axes.shape == (dim, min(n, dim))
    assert torch.allclose(axes.T @ axes, torch.eye(min(n, dim)), atol=1e-5)
    assert torch.allclose(x @ axes @ axes.T, x, atol=1e-4)
    assert torch.allclose((x @ axes).square().mean(0), squares, atol=1e-4)
    assert (squares.diff() >= 0).all()


def test_the_decay_is_chosen_by_validation_images():
    """Few images and many noisy dimensions: the decays differ, and the one that validation images like best is taken."""
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(3000) % 3
    x = torch.randn(3000, 250, generator=generator)
    x[:, :50] += 0.35 * torch.randn(3, 50, generator=generator)[y]
    train, val = slice(0, 150), slice(150, None)
    chosen = fit_linear(x[train], y[train], x[val], y[val])
    right = {d: (fit_linear(x[train], y[train], decays=(d,)).predict(x[val]) == y[val]).sum().item() for d in DECAYS}
    assert (
        right[chosen.decay] >= max(right.values()) - 5
    )  # from a warm start an image at the boundary may fall otherwise
    assert max(right.values()) > min(right.values())
    wrong = fit_linear(x[train], y[train], x[train], y[train])  # its own training images cannot tell: all is right
    assert wrong.decay == max(DECAYS)


def test_weaker_decays_are_tried_until_validation_accuracy_falls_by_more_than_luck(monkeypatch):
    """A decay is the number of 64 validation images that its probe gets right: what is tried, and what is taken."""
    tried = []

    def logistic(axes, target, n_classes, decays):
        for decay in decays:
            tried.append(decay)
            yield decay, torch.zeros(2, 2), torch.zeros(2)

    monkeypatch.setattr(_probe, "logistic", logistic)
    monkeypatch.setattr(_probe.LinearProbe, "predict", lambda self, x: (torch.arange(64) >= right[self.decay]).long())
    x, y = torch.rand(8, 2), torch.arange(8) % 2
    right = {50.0: 24, 40.0: 32, 30.0: 32, 20.0: 28, 10.0: 33, 9.0: 28, 8.0: 64}  # the standard error of 32 or 33 is 4
    chosen = fit_linear(x, y, torch.rand(64, 2), torch.zeros(64, dtype=torch.long), decays=tuple(right))
    assert tried == [50.0, 40.0, 30.0, 20.0, 10.0, 9.0]
    assert chosen.decay == 10.0


def test_a_probe_that_is_always_wrong_is_a_probe(blobs):
    x, y = blobs(100)
    assert fit_linear(x, y, x, y.max() + 1 + y).decay == max(DECAYS)


def test_equal_accuracies_go_to_the_strongest_decay(blobs):
    x, y = blobs(200, spread=0.01)
    assert fit_linear(x, y, x, y).decay == max(DECAYS)
    assert fit_linear(x, y, x, y, decays=(1e-3, 0.5, 1e-2)).decay == 0.5


def test_without_validation_images_a_fifth_of_each_class_is_put_aside():
    y = torch.tensor([7] * 50 + [2] * 13 + [5] * 4)
    held = hold_out(y, seed=0)
    assert [(held & (y == label)).sum().item() for label in (7, 2, 5)] == [10, 2, 0]
    assert not torch.equal(held, hold_out(y, seed=1))


def test_without_validation_images_the_probe_is_fitted_on_all(blobs, monkeypatch):
    x, y = blobs(200)
    sizes = []
    original = _probe.logistic
    monkeypatch.setattr(_probe, "logistic", lambda axes, *a: sizes.append(len(axes.along)) or original(axes, *a))
    assert fit_linear(x, y).decay in DECAYS
    assert sizes == [200 - hold_out(y, seed=0).sum().item(), 200]
    assert fit_linear(x[:6], torch.arange(6) % 2).decay == _probe.FEW_LABEL_DECAY  # three of a class: none to spare


def test_the_test_split_decides_nothing(blobs, monkeypatch):
    """Whatever the test images and labels are, the same classifier is fitted; and it is asked once."""
    (x, y), (val_x, val_y), (test_x, test_y) = blobs(200, spread=3.0), blobs(80, spread=3.0, seed=1), blobs(80, seed=2)
    fitted, asked, tried = [], [], []
    original = _probe.fit_linear
    monkeypatch.setattr(_probe, "fit_linear", lambda *a, **k: fitted.append(original(*a, **k)) or fitted[-1])
    predict = _probe.LinearProbe.predict
    monkeypatch.setattr(_probe.LinearProbe, "predict", lambda self, x: asked.append(len(x)) or predict(self, x))
    shuffled = test_y[torch.randperm(80)]
    for images, labels in [(test_x, test_y), (test_x, shuffled), (test_x[:33] * 100, test_y[:33])]:
        asked.clear()
        linear_probe(x, y, images, labels, val_x=val_x, val_y=val_y)
        tried.append(len(asked) - 1)
        assert asked == [80] * tried[0] + [len(labels)]
    assert 2 <= tried[0] <= len(DECAYS)
    first, *others = fitted
    for other in others:
        assert other.decay == first.decay
        assert torch.equal(other.weight, first.weight)


def test_random_labels_are_guessed_at_chance():
    """1,000 test images, chance 0.25, sd 0.0137: 0.07 is five sd. On training images it has learned them by heart."""
    generator = torch.Generator().manual_seed(0)
    x, test_x = torch.randn(300, 100, generator=generator), torch.randn(1000, 100, generator=generator)
    y, test_y = torch.randint(4, (300,), generator=generator), torch.randint(4, (1000,), generator=generator)
    assert abs(linear_probe(x, y, test_x, test_y).value - 0.25) < 0.07
    assert linear_probe(x, y, x, y, decays=(1e-4,)).value > 0.6


def test_units_and_names_do_not_matter(blobs):
    (x, y), (test_x, test_y) = blobs(300, spread=2.0), blobs(200, spread=2.0, seed=1)
    expected = linear_probe(x, y, test_x, test_y)
    unit = torch.logspace(-3, 3, x.shape[1])
    assert abs(linear_probe(x * unit + 5, y, test_x * unit + 5, test_y).value - expected.value) <= 0.01
    renamed = linear_probe(x, -3 * y - 10, test_x, -3 * test_y - 10)
    assert abs(renamed.value - expected.value) <= 0.01  # classes come in another order: one or two at the boundary


def test_dimensions_that_do_not_vary_are_ignored(blobs):
    (x, y), (test_x, test_y) = blobs(300), blobs(100, seed=1)
    dead, moved = torch.full((300, 3), 7.0), torch.full((100, 3), 1e6)  # constant in training, not in the test
    with_dead = linear_probe(torch.cat([x, dead], 1), y, torch.cat([test_x, moved], 1), test_y)
    assert with_dead == linear_probe(x, y, test_x, test_y)
    majority = (test_y == y.mode().values).double().mean().item()
    assert linear_probe(dead, y, moved, test_y).value == pytest.approx(majority)


def test_a_probe_can_be_asked_later(blobs):
    x, y = blobs(300, spread=0.5)
    probe = fit_linear(x, y + 10)
    assert probe.weight.shape == (16, 4)
    assert set(probe.predict(x).tolist()) == {10, 11, 12, 13}
    assert (probe.predict(x[:1]) == y[:1] + 10).all()
    with pytest.raises(ValueError, match=r"\(N, 16\)"):
        probe.predict(x[:, :5])


def test_classes_that_training_never_saw_are_wrong(blobs):
    x, y = blobs(100, spread=0.1)
    assert linear_probe(x, y, x, y + 50).value == 0


@pytest.mark.parametrize("decays", [(), (0.0,), (1.0, -1.0)])
def test_impossible_decays_are_refused(blobs, decays):
    with pytest.raises(ValueError, match="decays above 0"):
        fit_linear(*blobs(20), decays=decays)


def test_one_class_is_refused(blobs):
    x, _ = blobs(20)
    one = torch.zeros(20, dtype=torch.long)
    for measure in (linear_probe, few_label):
        with pytest.raises(ValueError, match="needs two classes"):
            measure(x, one, x, one)


# ---- few labels


def test_few_label_uses_as_many_labels_as_it_says(blobs, monkeypatch):
    (x, y), (test_x, test_y) = blobs(400), blobs(100, seed=1)
    seen = []
    original = _probe.logistic
    monkeypatch.setattr(_probe, "logistic", lambda z, y, *a: seen.append(y.bincount().tolist()) or original(z, y, *a))
    scores = few_label(x, y, test_x, test_y, budgets=(1, 7), draws=3)
    assert seen == [[1] * 4] * 3 + [[7] * 4] * 3
    assert list(scores) == [1, 7]
    assert all(score.n == 100 for score in scores.values())
    seen.clear()
    few_label(x, y, test_x, test_y, budgets=(10**6,), draws=1)  # a class gives all it has
    assert seen == [y.bincount().tolist()]


def test_few_label_draws_differ_and_are_repeatable(blobs):
    (x, y), (test_x, test_y) = blobs(400, spread=2.0), blobs(300, spread=2.0, seed=1)
    options = {"budgets": (1,), "draws": 5}
    first = few_label(x, y, test_x, test_y, **options)
    assert first == few_label(x, y, test_x, test_y, **options)
    assert first != few_label(x, y, test_x, test_y, seed=7, **options)
    alone = [few_label(x, y, test_x, test_y, budgets=(1,), draws=1, seed=seed)[1].value for seed in range(5)]
    assert len(set(alone)) > 1
    assert first[1].value == pytest.approx(np.mean(alone), abs=1e-6)


def test_all_labels_are_the_linear_probe_and_more_labels_help(blobs):
    (x, y), (test_x, test_y) = blobs(800, spread=2.5), blobs(1000, spread=2.5, seed=1)
    scores = few_label(x, y, test_x, test_y)
    assert list(scores) == [1, 5, 10, 50, None]
    assert scores[None] == linear_probe(x, y, test_x, test_y)
    assert scores[1].value + 0.1 < scores[50].value <= scores[None].value + 0.05
    assert scores[1].high - scores[1].low > scores[None].high - scores[None].low


@pytest.mark.parametrize("wrong", [{"draws": 0}, {"budgets": (0,)}, {"budgets": (5, -1)}])
def test_few_label_refuses_impossible_options(blobs, wrong):
    with pytest.raises(ValueError, match="few_label needs"):
        few_label(*blobs(20), *blobs(20), **wrong)


def test_a_dimension_of_rounding_is_no_feature(blobs):
    """Its own tiny mean is no measure: beside the others it does not vary, and would be a feature made of rounding."""
    x, y = blobs(200)
    rounding = 1e-20 * torch.randn(200, 1, generator=torch.Generator().manual_seed(0))
    probe = fit_linear(torch.cat([x, rounding], 1), y, decays=(1e-2,))
    assert (probe.weight[-1] == 0).all()
    awake = torch.cat([x, torch.full((200, 1), 0.5)], 1)  # and when it speaks it changes nothing
    assert torch.equal(probe.predict(awake), fit_linear(x, y, decays=(1e-2,)).predict(x))

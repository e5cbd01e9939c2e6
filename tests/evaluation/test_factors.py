"""Factor probes against scikit-learn's ridge regression."""

import math

import pytest
import torch
from sklearn.linear_model import Ridge as SklearnRidge
from sklearn.preprocessing import StandardScaler

from sslkit.evaluation import factors, linear_probe
from sslkit.evaluation._factors import ridge
from sslkit.evaluation._probe import Axes

N = 600


@pytest.fixture
def world():
    """Features (N, 12) that hold a circle and a kind, but not the noise factor; the size is known for two thirds."""
    generator = torch.Generator().manual_seed(0)
    angle = 2 * math.pi * torch.rand(N, generator=generator)
    circle = torch.stack([angle.cos(), angle.sin()], 1)
    size, noise = torch.rand(N, 1, generator=generator), torch.randn(N, 1, generator=generator)
    kind = torch.randint(3, (N,), generator=generator)
    seen = torch.cat([circle, size, torch.eye(3)[kind]], 1) @ torch.randn(6, 12, generator=generator)
    x = seen + 0.1 * torch.randn(N, 12, generator=generator)
    size = size.clone()
    size[::3] = torch.nan
    return x, {"hue": circle, "size": size, "noise": noise, "kind": kind}


def cut(world, *bounds):
    x, values = world
    return x[slice(*bounds)], {name: value[slice(*bounds)] for name, value in values.items()}


def halves(world):
    return (*cut(world, 0, 300), *cut(world, 300, None))


@pytest.mark.parametrize("decay", [1.0, 1e-2, 1e-4])
@pytest.mark.parametrize(("n", "dim"), [(200, 20), (30, 80)])
def test_ridge_equals_sklearn(n, dim, decay):
    """sklearn minimises the sum of squares + alpha |W|^2: alpha = n decay."""
    generator = torch.Generator().manual_seed(0)
    x, new = torch.randn(n, dim, generator=generator) * 3 + 1, torch.randn(50, dim, generator=generator) * 3 + 1
    y = x[:, :2] + torch.randn(n, 2, generator=generator)
    scaler = StandardScaler().fit(x.double().numpy())
    oracle = SklearnRidge(alpha=n * decay).fit(scaler.transform(x.double().numpy()), y.double().numpy())
    expected = torch.from_numpy(oracle.predict(scaler.transform(new.double().numpy()))).float()
    axes = Axes(x)
    _, weight, bias = next(ridge(axes, y, [decay]))
    predicted = axes.standardise(new) @ weight + bias
    assert torch.allclose(predicted, expected, rtol=1e-2, atol=5e-2 if decay < 1e-3 else 5e-3)


def test_axes_that_are_known_change_nothing(world):
    train_x, train_factors, test_x, test_factors = halves(world)
    how = {"val_x": test_x[:100], "val_factors": {name: value[:100] for name, value in test_factors.items()}}
    alone = factors(train_x, train_factors, test_x, test_factors, **how)
    assert factors(train_x, train_factors, test_x, test_factors, **how, axes=Axes(train_x)) == alone
    probe = (train_x, train_factors["kind"], test_x, test_factors["kind"])
    assert linear_probe(*probe, axes=Axes(train_x)) == linear_probe(*probe)


def test_what_is_there_is_found_and_noise_is_not(world):
    scores = factors(*halves(world))
    assert scores["hue"].value > 0.9
    assert scores["size"].value > 0.6
    assert abs(scores["noise"].value) < 0.15
    assert scores["kind"].value > 0.95
    assert [scores[name].n for name in ("hue", "size", "kind")] == [300, 200, 300]


def test_rows_without_a_value_are_as_if_they_were_not_there(world):
    x, values, test_x, test_values = halves(world)
    known, test_known = (~v["size"].isnan().flatten() for v in (values, test_values))
    with_gaps = factors(x, values, test_x, test_values, val_x=x, val_factors=values)["size"]
    only = factors(
        x[known], {"size": values["size"][known]}, test_x[test_known], {"size": test_values["size"][test_known]},
        val_x=x[known], val_factors={"size": values["size"][known]},
    )["size"]  # fmt: skip
    assert with_gaps.value == pytest.approx(only.value, abs=1e-5)


def test_classes_are_a_linear_probe(world):
    x, values, test_x, test_values = halves(world)
    val_x, val_values = cut(world, 200, 300)
    scores = factors(x, values, test_x, test_values, val_x=val_x, val_factors=val_values)
    expected = linear_probe(x, values["kind"], test_x, test_values["kind"], val_x=val_x, val_y=val_values["kind"])
    assert scores["kind"] == expected


def test_the_decay_is_chosen_on_validation_images():
    """As many dimensions as images, and noise: only a strong decay works, and the training images do not tell."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(900, 80, generator=generator)
    y = {"hue": x[:, :10].sum(1, keepdim=True) + 5 * torch.randn(900, 1, generator=generator)}
    train, val, test = ((x[part], {"hue": y["hue"][part]}) for part in (slice(80), slice(80, 300), slice(300, None)))
    honest = factors(*train, *test, val_x=val[0], val_factors=val[1])["hue"]
    fooled = factors(*train, *test, val_x=train[0], val_factors=train[1])["hue"]
    assert honest.value > fooled.value + 0.3


def test_a_factor_that_nobody_has_is_not_a_number(world):
    x, values, test_x, test_values = halves(world)
    nothing = {"size": torch.full((300, 1), torch.nan)}
    assert math.isnan(factors(x, nothing, test_x, test_values)["size"].value)
    assert math.isnan(factors(x, {"size": values["size"]}, test_x, nothing)["size"].value)
    same = {"size": torch.ones(300, 1)}
    assert math.isnan(factors(x, same, test_x, same)["size"].value)
    assert factors(x, {}, test_x, {}) == {}


def test_missing_or_short_factors_are_named(world):
    x, values, test_x, test_values = halves(world)
    with pytest.raises(ValueError, match="Factor 'hue' needs one row"):
        factors(x, values, test_x, {})
    with pytest.raises(ValueError, match="Factor 'hue' needs one row"):
        factors(x, values, test_x, {"hue": test_values["hue"][:7]})
    with pytest.raises(ValueError, match="Factor 'hue' needs one row"):
        factors(x, values, test_x, test_values, val_x=x, val_factors={})
    with pytest.raises(ValueError, match="NaN or infinite"):
        factors(x * torch.nan, values, test_x, test_values)

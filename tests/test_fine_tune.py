"""Learning with labels on top: classes, numbers, few labels, a frozen encoder."""

import copy

import pytest
import torch

import sslkit
from sslkit import augment, nets, recipes
from sslkit.fine_tune import fine_tune, supervised_ceiling

QUICK = dict(batch_size=32, device="cpu", precision="float32", channels_last=False)


def encoder():
    torch.manual_seed(0)
    return nets.small_resnet(widths=(8, 16))


def test_classification_learns_and_leaves_the_encoder_alone(tiny_shapes):
    net = encoder()
    before = copy.deepcopy(net.state_dict())
    colours = copy.copy(tiny_shapes)
    colours.labels = (tiny_shapes.factors["ground_hue"][:, 0] > 0).long()  # easy: warm or cold ground
    colours.names = ("cold", "warm")
    model, score = fine_tune(net, colours, steps=60, encoder_lr=1.0, **QUICK)
    assert score.value > 0.7
    assert score.n == len(tiny_shapes.test)
    assert all(torch.equal(a, b) for a, b in zip(before.values(), net.state_dict().values()))
    assert model.predict(tiny_shapes.test.images).shape == (50, 2)


def test_regression_of_a_factor(tiny_shapes):
    _, score = fine_tune(encoder(), tiny_shapes, target="ground_hue", steps=80, encoder_lr=1.0, **QUICK)
    assert score.value > 0.3


def test_a_regressor_tells_the_numbers_themselves(tiny_shapes):
    ages = copy.copy(tiny_shapes)
    ages.factors = {"age": 1000 + 100 * tiny_shapes.factors["ground_hue"][:, :1]}
    model, score = fine_tune(encoder(), ages, target="age", steps=80, encoder_lr=1.0, **QUICK)
    told, true = model.predict(ages.test.images), ages.test.factors["age"]
    assert (told.mean() - true.mean()).abs() < 40
    assert score.value > 0.3
    assert 1 - ((true - told) ** 2).sum() / ((true - true.mean()) ** 2).sum() == pytest.approx(score.value, abs=1e-3)


def test_what_was_stopped_is_no_result(tiny_shapes, monkeypatch):
    monkeypatch.setattr("sslkit.fine_tune.fit", lambda *_: sslkit.train.History(step=3))
    with pytest.raises(KeyboardInterrupt):
        fine_tune(encoder(), tiny_shapes, steps=4, **QUICK)


@pytest.mark.parametrize(("split", "part"), [(2, "test"), (0, "training")])
def test_a_target_that_is_not_known_where_it_is_needed(tiny_shapes, split, part):
    some = copy.copy(tiny_shapes)
    some.factors = {"age": torch.where(tiny_shapes.split == split, torch.inf, 1.0)[:, None]}
    with pytest.raises(
        ValueError,
        match=f"^'age' is known of too few {part} pictures of 'shapes'; two are needed to learn, one to test",
    ):
        fine_tune(encoder(), some, target="age", steps=4, **QUICK)


def test_factor_that_some_pictures_do_not_have(tiny_shapes):
    _, score = fine_tune(encoder(), tiny_shapes, target="angle", steps=2, **QUICK)
    known = ~tiny_shapes.test.factors["angle"].isnan().any(1)
    assert score.n == int(known.sum()) < len(tiny_shapes.test)


def test_few_labels_are_few(tiny_shapes):
    model, _ = fine_tune(encoder(), tiny_shapes, per_class=2, steps=2, **QUICK)
    assert torch.bincount(model.targets).tolist() == [2] * 8


def test_zero_encoder_rate_freezes_weights_and_norms(tiny_shapes):
    net = encoder()
    model, _ = fine_tune(net, tiny_shapes, encoder_lr=0.0, steps=3, **QUICK)
    assert all(torch.equal(a, b) for a, b in zip(net.state_dict().values(), model.encoder.state_dict().values()))


def test_what_does_not_learn_has_no_backward_pass(tiny_shapes):
    net = encoder()
    model, _ = fine_tune(net, tiny_shapes, encoder_lr=0.0, steps=1, **QUICK)
    assert all(p.grad is None for p in model.encoder.parameters())
    assert model.head.weight.grad is not None
    assert all(p.requires_grad for p in net.parameters())


@pytest.mark.parametrize("size", [(32, 64), (17, 5), (28, 32), (8, 60)])
def test_a_view_of_the_whole_shows_all_of_it(size):
    data = sslkit.datasets.arrays(torch.randint(0, 256, (20, 3, *size), dtype=torch.uint8))
    policy = augment.Policy(**recipes.whole(data), jitter=0.0, gray=0.0)
    [view] = augment.views(data.images, [policy], torch.Generator().manual_seed(0))
    torch.testing.assert_close(view, data.images / 255)


def test_predicting_leaves_every_mode_as_it_was(tiny_shapes):
    model, _ = fine_tune(encoder(), tiny_shapes, steps=1, **QUICK)
    model.train()
    model.encoder.eval()
    model.predict(tiny_shapes.test.images[:4])
    assert model.training
    assert not model.encoder.training


def test_ceiling_is_a_score(tiny_shapes):
    assert 0 <= supervised_ceiling(encoder(), tiny_shapes, minutes=0.02).value <= 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, "steps is 0"),
        ({"steps": 2, "minutes": 1}, "minutes=1 and steps=2 are two budgets"),
        ({"per_class": -1}, "per_class is -1"),
        ({"per_class": 0}, "per_class is 0"),
        ({"per_class": 1.5}, "per_class is 1.5; give a whole number"),
        ({"encoder_lr": -1.0}, "encoder_lr is -1.0"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"marks": 3}, "marks is no option of fine_tune"),
        ({"target": "x", "per_class": 1}, "per_class is 1, but 'x' is a number and has no classes"),
    ],
)
def test_bad_numbers(tiny_shapes, options, message):
    with pytest.raises(ValueError, match=message):
        fine_tune(encoder(), tiny_shapes, **QUICK | {"steps": 1} | options)
    with pytest.raises(TypeError, match="encoder is a Identity; give an encoder"):
        fine_tune(torch.nn.Identity(), tiny_shapes, steps=1)
    with pytest.raises(TypeError, match="data is a str; give Images"):
        fine_tune(encoder(), "shapes", steps=1)
    with pytest.raises(ValueError, match="'shapes' has no test pictures"):
        fine_tune(encoder(), tiny_shapes[tiny_shapes.split != 2], steps=1)


def test_bad_targets(tiny_shapes):
    with pytest.raises(ValueError, match=r"Unknown target 'hues'\. Did you mean 'hue'"):
        fine_tune(encoder(), tiny_shapes, target="hues", steps=1)
    odd = copy.copy(tiny_shapes)
    odd.labels, odd.names = tiny_shapes.labels - 1, ()
    with pytest.raises(ValueError, match="labels has classes down to -1; they are numbered from 0"):
        fine_tune(encoder(), odd, steps=1)
    unlabelled = copy.copy(tiny_shapes)
    unlabelled.labels = None
    with pytest.raises(ValueError, match="has no labels to learn from"):
        fine_tune(encoder(), unlabelled, steps=1)

"""SimSiam: the stop-gradient, the predictor, and its learning rate that does not fall."""

import pytest
import torch

from sslkit import nets
from sslkit.losses import cosine_distance
from sslkit.methods import Batch, SimSiam
from sslkit.schedules import warmup_cosine


def simsiam(**options):
    torch.manual_seed(0)
    return SimSiam(nets.small_resnet(widths=(8,)), head=(16, 16), **options).eval()


def views():
    return [torch.rand(6, 3, 8, 8) for _ in range(2)]


@pytest.mark.parametrize("predictor", [True, False])
@pytest.mark.parametrize("stop_gradient", [True, False])
def test_loss_and_its_gradient_are_what_the_docstring_says(predictor, stop_gradient):
    method, (one, two) = simsiam(predictor=predictor, stop_gradient=stop_gradient), views()
    z1, z2 = (method.head(method.encoder(view)) for view in (one, two))
    p1, p2 = (method.predictor(z) if predictor else z for z in (z1, z2))
    t1, t2 = (z.detach() if stop_gradient else z for z in (z1, z2))
    expected = (cosine_distance(p1, t2) + cosine_distance(p2, t1)) / 2
    loss = method(Batch([one, two], torch.arange(6)))["loss"]
    assert torch.allclose(loss, expected, atol=1e-6)
    weight = method.encoder.body[0].weight
    got, want = (torch.autograd.grad(x, weight)[0] for x in (loss, expected))
    assert torch.allclose(got, want, atol=1e-6)


def test_the_projection_ends_in_a_norm_without_scale():
    method = simsiam().train()
    z = method.head(method.encoder(torch.rand(64, 3, 8, 8)))
    assert torch.allclose(z.mean(dim=0), torch.zeros(16), atol=1e-5)
    assert torch.allclose(z.std(dim=0, correction=0), torch.ones(16), atol=0.05)
    assert list(method.head[-1].parameters()) == []


def test_the_predictors_learning_rate_stays_up():
    method, steps, warmup = simsiam(), 1000, 50  # the loop's default: 5 %
    predictor = {id(p) for p in method.predictor.parameters()}
    rates = {True: [], False: []}
    for step in range(steps):
        schedule = warmup_cosine(step, steps=steps, warmup=warmup)
        for group in method.param_groups(step / steps):
            kinds = {id(p) in predictor for p in group["params"]}
            assert len(kinds) == 1
            rates[kinds.pop()].append(schedule * group["lr"])
    learnt = torch.tensor(rates[True]).view(steps, 2)[warmup:]
    others = torch.tensor(rates[False]).view(steps, 2)[warmup:]
    assert learnt.min() > 0.99
    assert learnt.max() < 1.12
    assert others.min() < 1e-5
    assert all(group["lr"] < float("inf") for group in method.param_groups(1.0))


def test_without_predictor_there_is_nothing_to_hold_up():
    groups = simsiam(predictor=False).param_groups(0.5)
    assert [len(group["params"]) > 0 for group in groups] == [True, True, False, False]


def test_minus_one_when_all_agree_collapsed_or_not():
    method, same = simsiam(predictor=False), torch.rand(6, 3, 8, 8)
    loss = method(Batch([same, same], torch.arange(6)))["loss"].item()
    assert method.reference_values(6) == {"collapsed": -1.0, "bound": -1.0}
    assert loss == pytest.approx(-1.0, abs=1e-5)

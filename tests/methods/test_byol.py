"""BYOL: predictions of the student against projections of the teacher."""

import pytest
import torch

from sslkit import nets, recipes
from sslkit.losses import cosine_distance
from sslkit.methods import BYOL, Batch


def byol(**options):
    torch.manual_seed(0)
    method = BYOL(nets.small_resnet(widths=(8,)), head=(16, 8), **options).eval()
    torch.nn.init.normal_(method.teacher.network[1][0].weight)  # another network than the student
    return method


def views():
    return [torch.rand(6, 3, 8, 8) for _ in range(2)]


@pytest.mark.parametrize("predictor", [True, False])
@pytest.mark.parametrize("stop_gradient", [True, False])
def test_loss_is_what_the_docstring_says(predictor, stop_gradient):
    method, (one, two) = byol(predictor=predictor, stop_gradient=stop_gradient), views()
    z1, z2 = (method.head(method.encoder(view)) for view in (one, two))
    t1, t2 = (method.teacher.network(view) for view in (one, two)) if stop_gradient else (z1, z2)
    p1, p2 = (method.predictor(z) if predictor else z for z in (z1, z2))
    expected = 4 + 2 * (cosine_distance(p1, t2) + cosine_distance(p2, t1))
    assert torch.allclose(method(Batch([one, two], torch.arange(6)))["loss"], expected, atol=1e-5)
    assert any(key.startswith("predictor") for key in method.state_dict()) == predictor


def test_switches_are_in_the_spec():
    method = byol(predictor=False, stop_gradient=False)
    again = recipes.build(method.spec, method.encoder.spec)
    assert isinstance(again.predictor, torch.nn.Identity)
    assert not again.stop_gradient


def test_zero_when_all_agree_collapsed_or_not():
    method = byol(predictor=False, stop_gradient=False)
    same = torch.rand(6, 3, 8, 8)
    loss = method(Batch([same, same], torch.arange(6)))["loss"].item()
    assert method.reference_values(6) == {"collapsed": 0.0, "bound": 0.0}
    assert loss == pytest.approx(0.0, abs=1e-5)

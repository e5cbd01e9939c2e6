"""LeJEPA's wiring: directions are drawn in `collect`, from its generator, once per step."""

import pytest
import torch

from sslkit import nets, seeds
from sslkit.losses import lejepa
from sslkit.methods import LeJEPA


def build(**options):
    torch.manual_seed(0)
    return LeJEPA(nets.small_resnet(widths=(8,), norm="group"), head=(16, 8), norm="group", **options)


def collect(method, step=0):
    images = torch.randint(0, 256, (6, 3, 8, 8), dtype=torch.uint8, generator=seeds.generator(0))
    return method.collect(images, torch.arange(6), None, seeds.generator("step", step))


def test_directions_follow_the_generator():
    method = build(n_directions=11)
    one, again, other = collect(method), collect(method), collect(method, step=1)
    assert one.noise.shape == (8, 11)
    assert torch.equal(one.noise, again.noise)
    assert not torch.equal(one.noise, other.noise)
    assert build().spec["n_directions"] == 256


def test_loss_is_lejepa_of_the_projections_and_directions():
    method = build(lambda_=0.3, n_directions=11)
    batch = collect(method)
    z1, z2 = (method.head(method.encoder(view)) for view in batch.views)
    got, expected = method(batch), lejepa(z1, z2, batch.noise, lambda_=0.3)
    assert set(got) == {"loss", "invariance", "sigreg"}
    for name, value in expected.items():
        assert torch.allclose(got[name], value, atol=1e-6)
    assert method.reference_values(6)["collapsed"] == pytest.approx(0.3 * 2.41, abs=0.01)

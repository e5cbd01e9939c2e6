"""SupCon's wiring: it reads the labels of the batch, and says so when there are none."""

import pytest
import torch

from sslkit import datasets, nets, train
from sslkit.losses import sup_con
from sslkit.methods import Batch, SimCLR, SupCon


def build(method=SupCon, **options):
    torch.manual_seed(0)
    return method(nets.small_resnet(widths=(8,), norm="group"), head=(16, 8), norm="group", **options)


def views(n=6):
    return [torch.rand(n, 3, 8, 8, generator=torch.Generator().manual_seed(i)) for i in range(2)]


def test_loss_is_sup_con_of_the_projections_and_labels():
    method, labels = build(temperature=0.3), torch.tensor([0, 1, 0, 2, 1, 0])
    z1, z2 = (method.head(method.encoder(view)) for view in views())
    loss = method(Batch(views(), torch.arange(6), labels))["loss"]
    assert torch.allclose(loss, sup_con(z1, z2, labels, temperature=0.3), atol=1e-6)


def test_with_the_index_as_pseudo_label_it_is_simclr():
    batch = Batch(views(), torch.arange(6), labels=torch.arange(6))
    assert torch.allclose(build()(batch)["loss"], build(SimCLR, temperature=0.1)(batch)["loss"], atol=1e-6)


def test_without_labels_it_says_what_is_missing(tiny_shapes):
    message = r"^SupCon learns from labels, and these pictures have none\. SimCLR"
    with pytest.raises(ValueError, match=message):
        build()(Batch(views(), torch.arange(6)))
    unlabelled = datasets.arrays(tiny_shapes.images[:40])
    with pytest.raises(ValueError, match=message):
        train.fit(build(), unlabelled, train.TrainConfig(steps=1, batch_size=8, marks=0))


def test_fit_hands_it_the_labels(tiny_shapes):
    history = train.fit(build(), tiny_shapes, train.TrainConfig(steps=2, batch_size=8, marks=0, device="cpu"))
    assert history.step == 2

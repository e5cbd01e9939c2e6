"""kNN, retrieval and the perturbed queries, against scikit-learn and plain loops."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.neighbors import KNeighborsClassifier

from sslkit.evaluation import _retrieval, knn, perturb, retrieval


@pytest.mark.parametrize("k", [1, 5, 20])
@pytest.mark.parametrize("temperature", [0.07, 0.5])
def test_knn_equals_sklearn(blobs, k, temperature):
    """One test image in 1,300 may fall differently: float32 against float64 at a tie."""
    (x, y), (test_x, _) = blobs(500, spread=2.0), blobs(1300, spread=2.0, seed=1)  # more than one chunk
    oracle = KNeighborsClassifier(
        k, metric="cosine", algorithm="brute", weights=lambda distance: np.exp((1 - distance) / temperature)
    )
    expected = torch.from_numpy(oracle.fit(x.double().numpy(), y.numpy()).predict(test_x.double().numpy()))
    assert knn(x, y, test_x, expected, k=k, temperature=temperature).value >= 1 - 1 / 1300


def test_knn_with_fewer_images_than_neighbours(blobs):
    x, y = blobs(7)
    assert knn(x, y, x, y, k=7) == knn(x, y, x, y, k=1000)


def test_knn_survives_extreme_temperatures(blobs):
    (x, y), (test_x, test_y) = blobs(200), blobs(100, seed=1)
    coldest = knn(x, y, test_x, test_y, temperature=1e-6)
    assert coldest == knn(x, y, test_x, test_y, k=1)  # only the nearest counts
    majority = knn(x, y, test_x, test_y, k=200, temperature=1e6)
    assert majority.value == pytest.approx((test_y == y.mode().values).float().mean().item())


@given(st.integers(0, 10**6))
@settings(max_examples=20, deadline=None)
def test_knn_depends_on_neither_order_nor_length_nor_names(seed):
    generator = torch.Generator().manual_seed(seed)
    x, test_x = torch.randn(2, 40, 6, generator=generator)
    y, test_y = torch.randint(3, (2, 40), generator=generator)
    expected = knn(x, y, test_x, test_y)
    order = torch.randperm(40, generator=generator)
    stretched = test_x * (0.1 + torch.rand(40, 1, generator=generator))
    assert knn(x[order], y[order], stretched, test_y).value == expected.value
    assert knn(x, 1000 - 7 * y, test_x, 1000 - 7 * test_y).value == pytest.approx(expected.value, abs=0.051)  # ties


def test_knn_counts_an_unknown_class_as_wrong(blobs):
    x, y = blobs(50, spread=0.1)
    assert knn(x, y, x, y + 100).value == 0
    assert knn(x, torch.zeros(50, dtype=torch.long), x, torch.zeros(50, dtype=torch.long)).value == 1


@pytest.mark.parametrize("wrong", [{"k": 0}, {"k": 2.5}, {"temperature": 0.0}, {"temperature": float("nan")}])
def test_knn_refuses_impossible_options(blobs, wrong):
    with pytest.raises(ValueError, match="k is a whole number from 1, temperature above 0"):
        knn(*blobs(10), *blobs(10), **wrong)


def naive(query, query_ids, gallery, gallery_ids, k, itself):
    recall, precision = [], []
    for i, (q, wanted) in enumerate(zip(query.double(), query_ids)):
        cosine = [float(q @ g / q.norm() / g.norm()) for g in gallery.double()]
        order = [j for j in sorted(range(len(cosine)), key=lambda j: -cosine[j]) if itself or i != j][:k]
        hits = [bool(gallery_ids[j] == wanted) for j in order]
        recall.append(any(hits))
        precision.append(sum(hits) / k)
    return np.mean(recall), np.mean(precision)


@pytest.mark.parametrize("itself", [True, False])
@pytest.mark.parametrize("k", [1, 4])
def test_retrieval_equals_a_loop(blobs, k, itself):
    x, y = blobs(60, spread=2.0)
    query, query_ids = (x, y) if not itself else blobs(60, spread=2.0, seed=1)
    recall, precision = naive(query, query_ids, x, y, k, itself)
    assert retrieval(query, query_ids, x, y, k=k, itself=itself).value == pytest.approx(recall, abs=1e-6)
    assert retrieval(query, query_ids, x, y, k=k, itself=itself, precision=True).value == pytest.approx(
        precision, abs=1e-6
    )


def test_retrieval_of_oneself_and_of_many_queries(blobs):
    x, _ = blobs(1500)
    ids = torch.arange(1500)
    assert retrieval(x, ids, x, ids).value == 1
    assert retrieval(x, ids, x, ids, itself=False).value == 0  # nobody else has this id
    order = torch.randperm(1500)
    assert retrieval(x, ids, x[order], ids[order]).value == 1


def test_a_collapsed_encoder_does_not_retrieve():
    ids = torch.arange(100)
    for x in (torch.zeros(100, 8), torch.ones(100, 8)):
        assert retrieval(x, ids, x, ids).value <= 0.05


@pytest.mark.parametrize("wrong", [{"k": 0}, {"k": 11}, {"k": 10, "itself": False}])
def test_retrieval_refuses_impossible_options(blobs, wrong):
    with pytest.raises(ValueError, match="cannot be found"):
        retrieval(*blobs(10), *blobs(10), **wrong)
    with pytest.raises(ValueError, match="cannot be found"):
        retrieval(*blobs(9), *blobs(10), itself=False)


# ---- perturb


def square(n=300, channels=4):
    """A red square of 12x12 in the middle of 32x32; transparent (and black) elsewhere."""
    images = torch.zeros(n, channels, 32, 32, dtype=torch.uint8)
    images[:, 0, 10:22, 10:22] = 255
    images[:, 3:, 10:22, 10:22] = 255
    return images


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_perturb_without_change_is_the_picture(channels):
    images = torch.randint(0, 256, (5, channels, 9, 14), dtype=torch.uint8, generator=generator())
    images[:, 3:] = 255
    same = perturb(images, generator(), shift=0, scale=(1, 1))
    assert same.dtype == torch.uint8
    assert same.shape == (5, min(channels, 3), 9, 14)
    assert (same.int() - images[:, :3].int()).abs().max() <= 1


def test_perturb_moves_and_shrinks_as_it_says():
    """Place and size of the square: within the bounds, and spread evenly over them (sd 2.31 and 0.072)."""
    white = square(channels=3)
    white[:, 1:] = white[:, :1]
    mass = perturb(white, generator())[:, 0].float() / 255  # (N, 32, 32)
    pixel = torch.arange(32.0)
    size = mass.sum(dim=(1, 2)).sqrt() / 12
    x = (mass.sum(1) * pixel).sum(1) / mass.sum(dim=(1, 2)) - 15.5
    y = (mass.sum(2) * pixel).sum(1) / mass.sum(dim=(1, 2)) - 15.5
    assert 0.73 < size.min() < 0.78 < 0.97 < size.max() < 1.02
    assert abs(size.std().item() - 0.072) < 0.02
    for shift in (x, y):
        assert 3 < shift.abs().max() < 4.1
        assert abs(shift.std().item() - 2.31) < 0.5
        assert abs(shift.mean().item()) < 0.7  # 5 sd of the mean
    assert abs(torch.corrcoef(torch.stack([x, y, size])).triu(1)).max() < 0.3  # 5 sd


def test_perturb_puts_every_picture_on_its_own_ground():
    out = perturb(square(), generator()).float()
    ground = out[:, :, 0, 0]
    assert (ground[:, :, None] == out[:, :, 0, :]).all()
    assert len(ground.unique(dim=0)) > 290
    assert (ground.mean(0) - 127.5).abs().max() < 25  # uniform: sd of the mean 4.2
    red = torch.tensor([255.0, 0, 0])
    low, high = torch.minimum(ground, red), torch.maximum(ground, red)  # a mixture of the two, no dark fringe
    assert (out >= low[:, :, None, None] - 1).all()
    assert (out <= high[:, :, None, None] + 1).all()


def test_perturb_is_seeded_and_leaves_its_input_alone():
    images, state = square(6), torch.random.get_rng_state()
    copy = images.clone()
    assert torch.equal(perturb(images, generator(1)), perturb(images, generator(1)))
    assert not torch.equal(perturb(images, generator(1)), perturb(images, generator(2)))
    assert torch.equal(images, copy)
    assert torch.equal(state, torch.random.get_rng_state())
    assert perturb(images[:0], generator()).shape == (0, 3, 32, 32)


@pytest.mark.parametrize("images", [torch.rand(2, 3, 8, 8), torch.zeros(3, 8, 8, dtype=torch.uint8)])
def test_perturb_refuses_what_it_cannot_read(images):
    with pytest.raises(ValueError, match="uint8 pictures"):
        perturb(images)


def test_many_pictures_are_perturbed_in_pieces_with_the_same_result(monkeypatch):
    """As floats they are many times as large, so they are not all floats at once."""
    images = torch.randint(0, 256, (1100, 4, 6, 6), dtype=torch.uint8, generator=generator())
    whole, pieces = _retrieval._moved, []

    def moved(*part):
        pieces.append(part)
        return whole(*part)

    monkeypatch.setattr(_retrieval, "_moved", moved)
    found = perturb(images, generator(1))
    assert max(len(part[0]) for part in pieces) <= 512
    assert torch.equal(found, whole(*map(torch.cat, zip(*pieces))))

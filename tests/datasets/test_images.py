"""`Images`, its splits and its fingerprint."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sslkit.datasets import Images
from sslkit.datasets._images import draw_split, with_test


def some(n=20, **more):
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (n, 3, 4, 5), generator=generator).byte()
    parts = {
        "labels": torch.arange(n) % 2,
        "split": torch.tensor([0, 0, 0, 1, 2] * (n // 5)).byte(),
        "factors": {"kind": torch.arange(n), "size": torch.rand(n, 1)},
        "groups": torch.arange(n) // 2,
        "names": ("cat", "dog"),
    }
    return Images(images, **{**parts, **more})


def test_a_part_keeps_everything_that_belongs_to_its_pictures():
    data = some(masks=torch.arange(20 * 20).reshape(20, 1, 4, 5).byte())
    for index in (slice(3, 9), torch.tensor([5, 2]), torch.arange(20) > 11, [1, 4], 7, np.int64(7), torch.tensor(7)):
        rows = torch.arange(20)[index].reshape(-1)
        part = data[index]
        assert len(part) == len(rows)
        for name in ("images", "labels", "split", "groups", "masks"):
            assert torch.equal(getattr(part, name), getattr(data, name)[rows]), name
        assert torch.equal(part.factors["kind"], rows)
        assert torch.equal(part.factors["size"], data.factors["size"][rows])
        assert part.names == data.names


def test_the_three_splits_are_a_partition():
    data = some()
    parts = [data.train, data.val, data.test]
    assert [len(part) for part in parts] == [12, 4, 4]
    assert sorted(torch.cat([part.factors["kind"] for part in parts]).tolist()) == list(range(20))
    assert all((part.split == number).all() for number, part in enumerate(parts))


def test_a_split_in_one_piece_is_a_view_and_an_empty_one_is_allowed():
    data = some(split=torch.tensor([0] * 15 + [2] * 5).byte())
    assert data.train.images.data_ptr() == data.images.data_ptr()
    assert data.test.images.data_ptr() == data.images[15:].data_ptr()
    assert len(data.val) == 0
    assert data.val.shape == data.shape == (3, 4, 5)


def test_it_says_what_it_is():
    assert repr(some()) == "images: 20 images of 3x4x5 (12 train, 4 val, 4 test), 2 classes, factors: kind, size"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": torch.zeros(20, 3, 4, 5)}, "uint8.*torch.float32.*arrays converts"),
        ({"images": torch.zeros(20, 4, 5).byte()}, r"\(20, 4, 5\)"),
        ({"images": torch.zeros(20, 5, 4, 2).byte()}, r"C = 1, 3 or 4.*\(20, 5, 4, 2\)"),
        ({"images": torch.zeros(20, 2, 5, 3).byte()}, r"C = 1, 3 or 4"),
        ({"images": [1, 2]}, "a list"),
        (
            {"images": np.zeros((20, 3, 4, 5), np.uint8)},
            r"not uint8 of shape \(20, 3, 4, 5\), a ndarray; datasets.arrays",
        ),
        ({"labels": np.zeros(20, int)}, r"labels must be a tensor \(N,\) of torch.int64, not int64 of shape \(20,\)"),
        ({"labels": torch.zeros(20)}, "labels must be .*not torch.float32"),
        ({"labels": [0] * 20}, r"labels must be .*not a list"),
        ({"split": torch.zeros(20)}, r"split must be a tensor \(N,\) of torch.uint8"),
        ({"groups": torch.zeros(20, 1).long()}, r"groups must be .*of shape \(20, 1\)"),
        ({"labels": torch.zeros(19).long()}, "labels has 19 entries, but there are 20 images"),
        ({"split": torch.zeros(3).byte()}, "split has 3 entries"),
        ({"groups": torch.zeros(21).long()}, "groups has 21 entries"),
        ({"factors": {"hue": torch.zeros(2, 2)}}, "hue has 2 entries"),
        (
            {"factors": {"hue": torch.zeros(20)}},
            r"factor 'hue' is torch.float32 of shape \(20,\); it must be a tensor: int64 \(N,\) for a class",
        ),
        ({"factors": {"kind": [0] * 20}}, r"factor 'kind' is a list; it must be a tensor"),
        ({"factors": {"kind": torch.zeros(20).int()}}, r"factor 'kind' is torch.int32"),
        ({"factors": {"kind": torch.zeros(20, 1).long()}}, r"factor 'kind' is torch.int64 of shape \(20, 1\)"),
        ({"masks": torch.zeros(2, 1, 4, 5).byte()}, "masks has 2 entries"),
        ({"labels": torch.full((20,), 2)}, "labels go from 2 to 2, but there are 2 class names"),
        ({"labels": torch.full((20,), -1)}, "labels go from -1"),
        ({"split": torch.full((20,), 3, dtype=torch.uint8)}, "split holds a 3; it is 0 for train"),
    ],
)
def test_parts_that_do_not_fit_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        replace(some(), **change)


def test_a_split_that_was_set_by_hand_is_checked():
    for wrong in ([0] * 20, np.zeros(20, np.uint8), torch.zeros(3).byte()):
        data = some()
        data.split = wrong
        with pytest.raises(ValueError, match=r"split (must|has)"):
            data.train  # noqa: B018


def test_no_pictures_are_pictures_too():
    assert len(some()[[]]) == 0


def test_the_fingerprint_sees_every_change_and_nothing_else():
    data = some()
    prints = {data.fingerprint()}
    assert some().fingerprint() in prints
    pixel = data.images.clone()
    pixel[7, 1, 2, 3] += 1
    changed = [
        replace(data, images=pixel),
        replace(data, labels=1 - data.labels),
        replace(data, labels=None),
        replace(data, split=data.split.flip(0)),
        replace(data, groups=data.groups.flip(0)),
        replace(data, names=("cow", "dog")),
        data[:19],
    ]
    prints |= {other.fingerprint() for other in changed}
    assert len(prints) == 1 + len(changed)
    strided = replace(data, images=data.images.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2))
    assert strided.fingerprint() == data.fingerprint()


# ---- splits

shares = st.floats(0, 0.45)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 400), st.integers(1, 6), shares, shares, st.integers(0, 10_000))
def test_totals_are_exact_classes_in_proportion_and_seeds_repeat(n, n_classes, val, test, seed):
    labels = torch.randint(0, n_classes, (n,), generator=torch.Generator().manual_seed(seed))
    split = draw_split(labels, None, n, seed=seed, val=val, test=test)
    assert torch.equal(split, draw_split(labels, None, n, seed=seed, val=val, test=test))
    assert split.dtype == torch.uint8
    for number, share in ((1, val), (2, test)):
        wanted = round(share * n)
        total = int((split == number).sum())
        assert total == (max(wanted, 1) if share and n >= 3 else wanted)
        for label in range(n_classes):
            size = int((labels == label).sum())
            got = int(((split == number) & (labels == label)).sum())
            # One unit for the class, and its part of the K units by which all may be off together; for two cuts.
            assert abs(got - total * size / n) <= 2 * (1 + n_classes * size / n)


@settings(max_examples=60, deadline=None)
@given(st.integers(3, 300), st.integers(1, 60), st.integers(0, 10_000), st.booleans())
def test_no_group_is_divided(n, n_groups, seed, labelled):
    generator = torch.Generator().manual_seed(seed)
    groups = torch.randint(0, n_groups, (n,), generator=generator) * 7 - 3  # any numbers will do
    labels = torch.randint(0, 3, (n,), generator=generator) if labelled else None
    split = draw_split(labels, groups, n, seed=seed)
    for group in groups.unique():
        assert len(split[groups == group].unique()) == 1
    if len(groups.unique()) >= 3:
        assert set(split.tolist()) == {0, 1, 2}


def test_another_seed_is_another_split_and_every_picture_can_be_drawn():
    splits = torch.stack([draw_split(None, None, 64, seed=seed) for seed in range(200)])
    assert len(splits.unique(dim=0)) == 200
    # Each picture is in the test split with probability 1/8; 200 draws miss one with probability 3e-12.
    assert (splits == 2).any(0).all()


@pytest.mark.parametrize(("val", "test"), [(-0.1, 0.2), (0.5, 0.5), (0.1, 1.0), (float("nan"), 0.1)])
def test_shares_that_leave_nothing_are_refused(val, test):
    with pytest.raises(ValueError, match="leave something to train on"):
        draw_split(None, None, 10, val=val, test=test)


def test_an_official_test_part_stays_and_is_drawn_when_missing():
    labels = torch.arange(80) % 4
    split = with_test(labels, 20, seed=0, val=0.125)
    assert len(split) == 100
    assert (split[80:] == 2).all()
    assert [(split[:80] == number).sum() for number in range(3)] == [70, 10, 0]
    split = with_test(labels, 0, seed=0, val=0.125)
    assert [(split == number).sum() for number in range(3)] == [60, 10, 10]

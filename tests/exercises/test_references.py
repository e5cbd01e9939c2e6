"""What the checks call right is right: each reference against the package, another library or a closed form."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from sslkit.exercises import find


def test_nt_xent_equals_a_numpy_loop_and_its_collapsed_value():
    rng = np.random.default_rng(0)
    z1, z2 = rng.normal(size=(5, 4)), rng.normal(size=(5, 4))
    z = [v / np.sqrt((v**2).sum()) for v in [*z1, *z2]]
    total = 0.0
    for i in range(10):
        others = [math.exp(z[i] @ z[k] / 0.3) for k in range(10) if k != i]
        total -= math.log(math.exp(z[i] @ z[(i + 5) % 10] / 0.3) / sum(others))
    reference = find("03a").reference
    assert float(reference(torch.tensor(z1), torch.tensor(z2), temperature=0.3)) == pytest.approx(total / 10, rel=1e-10)
    same = torch.ones(6, 3)
    assert float(reference(same, same, temperature=0.3)) == pytest.approx(math.log(11), rel=1e-6)


@pytest.mark.parametrize("temperature", [0.05, 0.5, 3.0])
def test_forces_are_the_derivative_and_sum_to_zero(temperature):
    s = torch.linspace(-0.9, 0.8, 7, dtype=torch.float64, requires_grad=True)
    loss = -s[2] / temperature + torch.logsumexp(s / temperature, dim=0)
    forces = find("03b").reference(s.detach(), 2, temperature=temperature)
    torch.testing.assert_close(forces, torch.autograd.grad(loss, s)[0])
    assert abs(float(forces.sum())) < 1e-9


@pytest.mark.parametrize(
    ("size", "top", "height", "out"), [(8, 0, 8, 8), (8, 2, 5, 8), (32, 3, 20, 32), (32, 5, 26, 12), (9, 8, 1, 4)]
)
def test_crop_matrix_equals_torchvision(size, top, height, out):
    from torchvision.transforms.v2.functional import resized_crop

    x = torch.rand(1, size, 3, generator=torch.Generator().manual_seed(0))
    expected = resized_crop(x, top, 0, height, 3, [out, 3], antialias=True)
    matrix = find("02a").reference(size, top, height, out)
    torch.testing.assert_close(matrix @ x[0], expected[0], atol=1e-5, rtol=1e-5)
    flipped = find("02a").reference(size, top, height, out, flip=True)
    torch.testing.assert_close(flipped @ x[0], expected[0].flip(0), atol=1e-5, rtol=1e-5)


def test_crop_matrix_equals_the_packages():
    from dataclasses import replace

    from sslkit import augment

    params = augment.draw(augment.Policy(size=6, blur=0.0), 1, (1, 8, 8), torch.Generator().manual_seed(0))
    params = replace(params, box=torch.tensor([[0, 2, 8, 5]]), flip=torch.tensor([True]))
    _, columns, *_ = augment.matrices(params)
    torch.testing.assert_close(columns[0], find("02a").reference(8, 2, 5, 6, flip=True))


def test_learning_rate_by_hand():
    rate = find("04a").reference
    assert [rate(s, steps=6, peak=2.0, warmup=2) for s in (0, 1, 2, 4)] == pytest.approx([1.0, 2.0, 2.0, 1.0])


def test_rankme_by_hand_and_as_the_collapse_report_has_it():
    from sslkit import evaluation

    rankme = find("04b").reference
    assert float(rankme(torch.eye(5))) == pytest.approx(5, rel=1e-4)
    assert float(rankme(torch.ones(9, 4))) == pytest.approx(1, rel=1e-4)
    x = torch.randn(64, 8, generator=torch.Generator().manual_seed(0))
    assert float(evaluation.collapse(x)["rankme"]) == pytest.approx(float(rankme(x)), rel=1e-3)


def test_neighbour_recall_is_the_maps():
    from sslkit import maps

    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(80, 6, generator=generator), torch.randn(80, 2, generator=generator)
    assert float(maps.neighbour_recall(x, y, k=7)) == pytest.approx(find("05a").reference(x, y, k=7), abs=1e-6)
    assert find("05a").reference(x, x, k=7) == 1.0


def test_noise_twin_has_the_moments_and_no_clusters():
    (features,), _ = find("05b").probes[0].make()
    twin = find("05b").reference(features, generator=torch.Generator().manual_seed(5))
    torch.testing.assert_close(twin.mean(0), features.mean(0), atol=0.2, rtol=0)
    torch.testing.assert_close(twin.T.cov(), features.T.cov(), atol=0.5, rtol=0)
    gap = ((features[:, 0] - 3).abs() < 0.5).float().mean(), ((twin[:, 0] - 3).abs() < 0.5).float().mean()
    assert gap[0] < 0.01 < 0.1 < gap[1]  # between the clusters there is nothing; in the twin there is


def test_knn_predict_equals_sklearn_and_the_packages_score():
    from sklearn.neighbors import KNeighborsClassifier

    from sslkit import evaluation

    args, kwargs = find("06a").probes[0].make()
    train_x, train_y, test_x = args
    predicted = find("06a").reference(*args, **kwargs)
    weights = lambda distance: np.exp((1 - distance) / kwargs["temperature"])
    oracle = KNeighborsClassifier(kwargs["k"], metric="cosine", weights=weights).fit(train_x, train_y)
    assert np.array_equal(oracle.predict(test_x), predicted.numpy())
    test_y = torch.arange(40) % 5
    score = evaluation.knn(train_x, train_y, test_x, test_y, **kwargs)
    assert float(score) == pytest.approx(float((predicted == test_y).float().mean()), abs=1e-6)


def test_nearest_by_hand():
    corner = torch.tensor([[1.0, 0.0], [10.0, 1.0], [0.0, 3.0], [-1.0, 5.0]])
    assert find("00b").reference(corner).tolist() == [1, 0, 3, 2]
    assert F.cosine_similarity(corner[0], corner[1], dim=0) > 0.99


def test_the_honest_protocol_is_below_the_leaky_one_on_average():
    """Choosing on the test split can only help its own number: that is why it is a mistake."""
    exercise = find("06b")
    leaky = next(m.wrong for m in exercise.mistakes if "best on the test split" in m.name)
    honest, best = (
        [exercise.observe(f, probe)["accuracy"] for probe in exercise.probes] for f in (exercise.reference, leaky)
    )
    assert all(b >= h for b, h in zip(best, honest))
    assert sum(best) > sum(honest)


def test_divergence_is_torchs():
    from torch.distributions import Normal, kl_divergence

    mean, log_variance = torch.randn(2, 5, 3, generator=torch.Generator().manual_seed(0))
    oracle = kl_divergence(Normal(mean, (log_variance / 2).exp()), Normal(0.0, 1.0)).sum(1).mean()
    torch.testing.assert_close(find("10a").reference(mean, log_variance), oracle)


def test_masked_loss_of_flat_guesses_is_known_and_the_visible_do_not_count():
    target = torch.randn(3, 6, 12, generator=torch.Generator().manual_seed(0))
    mask = torch.arange(6).expand(3, 6) < 4
    loss = find("10b").reference
    assert float(loss(torch.zeros(3, 6, 12), target, mask)) == pytest.approx(11 / 12, rel=1e-4)
    wild = torch.where(mask[:, :, None], 0.0, 1e3).expand(3, 6, 12)
    assert float(loss(wild, target, mask)) == pytest.approx(11 / 12, rel=1e-4)


def test_paired_difference_is_the_interval_of_a_paired_t_test():
    from scipy.stats import t as student
    from scipy.stats import ttest_rel

    for probe in find("11a").probes:
        (a, b, t), _ = probe.make()
        assert t == pytest.approx(student.ppf(0.975, len(a) - 1), abs=1e-3)
        difference, half = find("11a").reference(a, b, t)
        low, high = ttest_rel(a.double(), b.double()).confidence_interval(0.95)
        assert float(difference - half) == pytest.approx(low, abs=0.01)
        assert float(difference + half) == pytest.approx(high, abs=0.01)


def test_rank_correlation_is_scipys():
    from scipy.stats import spearmanr

    rank_correlation = find("11b").reference
    for probe in find("11b").probes:
        (x, y), _ = probe.make()
        assert float(rank_correlation(x, y)) == pytest.approx(spearmanr(x, y).statistic, abs=1e-9)
        assert float(rank_correlation(x, x.exp())) == pytest.approx(1)
        assert float(rank_correlation(x, -x)) == pytest.approx(-1)


def test_gather_backward_is_autograds():
    """Two processes that compute different losses of the same gathered rows: the gradient of their sum."""
    mine = [torch.randn(3, 4, generator=torch.Generator().manual_seed(i), requires_grad=True) for i in range(2)]
    both = [torch.cat([z.detach() for z in mine]).requires_grad_() for _ in range(2)]
    losses = [lambda z: z.square().sum(), lambda z: z.exp().mean()]
    asked = torch.stack([torch.autograd.grad(loss(z), z)[0] for loss, z in zip(losses, both)])
    whole = torch.autograd.grad(sum(loss(torch.cat(mine)) for loss in losses), mine)
    for rank in range(2):
        torch.testing.assert_close(find("13b").reference(asked, rank), whole[rank])


def test_a_large_batch_in_pieces_has_the_gradient_of_one():
    exercise = find("13a")
    at_once = next(m.wrong for m in exercise.mistakes if m.name == "the whole batch at once")
    for probe in exercise.probes:
        pieces, whole = (exercise.observe(f, probe) for f in (exercise.reference, at_once))
        for fact in ("loss", "gradient of the weights"):
            torch.testing.assert_close(pieces[fact], whole[fact])
        assert pieces["passes with a graph"].startswith("encode, backward, encode")


def test_recall_by_hand():
    recall = find("14a").reference
    scores = torch.tensor([[9.0, 1.0, 8.0, 3.0, 2.0], [5.0, 4.0, 3.0, 2.0, 1.0]])
    known = torch.tensor([[1, 0, 0, 0, 0], [0, 1, 0, 0, 0]]).bool()
    held_out = torch.tensor([[0, 0, 1, 0, 1], [0, 0, 0, 1, 0]]).bool()
    assert float(recall(scores, known, held_out, 2)) == pytest.approx((1 / 2 + 0) / 2)
    assert float(recall(scores, known, held_out, 3)) == pytest.approx((2 / 2 + 1) / 2)


def test_correlation_is_numpys_and_blind_to_light_and_contrast():
    (windows, template), _ = find("14b").probes[0].make()
    expected = [np.corrcoef(window.flatten(), template.flatten())[0, 1] for window in windows]
    found = find("14b").reference(windows, template)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    torch.testing.assert_close(find("14b").reference(0.1 + 0.5 * windows, template), found, atol=1e-5, rtol=1e-4)
    assert float(find("14b").reference(template[None], template)) == pytest.approx(1, abs=1e-5)


def test_a_split_by_group_has_what_sklearns_has_and_enough_pictures():
    """scikit-learn takes a share of the groups; whole groups on one side is what both promise."""
    from sklearn.model_selection import GroupShuffleSplit

    for probe in find("12a").probes:
        (groups, share), _ = probe.make()
        for seed in range(20):
            test = find("12a").reference(groups, torch.Generator().manual_seed(seed), share)
            _, theirs = next(GroupShuffleSplit(1, test_size=share, random_state=seed).split(groups, groups=groups))
            for chosen in (test, torch.isin(torch.arange(len(groups)), torch.from_numpy(theirs))):
                assert not set(groups[chosen].tolist()) & set(groups[~chosen].tolist())
            assert share * len(groups) <= test.sum() < share * len(groups) + groups[test].bincount().max()


def test_near_duplicates_are_sklearns_cosines():
    from sklearn.metrics.pairwise import cosine_similarity

    for probe in find("12b").probes:
        (z, threshold), _ = probe.make()
        close = np.triu(cosine_similarity(z.double().numpy()) >= threshold, 1)
        assert np.array_equal(find("12b").reference(z, threshold).numpy(), np.argwhere(close))
    assert [len(find("12b").reference(*probe.make()[0])) for probe in find("12b").probes][2] == 0

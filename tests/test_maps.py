"""Maps: against scikit-learn, against brute force, and where the answer is known."""

import threading
import time
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from sklearn.manifold import trustworthiness as sklearn_trustworthiness

from sslkit import evaluation, maps


def cloud(n=120, d=8, seed=0):
    """Points with a different spread along each axis, so that principal axes are well defined."""
    noise = torch.randn(n, d, generator=torch.Generator().manual_seed(seed))
    return noise * torch.logspace(0, -1, d) + 3.0


def clusters(n=90, d=60, apart=12.0, seed=0):
    """Three Gaussian clusters; their labels."""
    g = torch.Generator().manual_seed(seed)
    y = torch.arange(n) % 3
    return torch.randn(n, d, generator=g) + apart * torch.randn(3, d, generator=g)[y], y


def correlation(a, b):
    return np.corrcoef(a.flatten(), b.flatten())[0, 1]


# PCA


@pytest.mark.parametrize("shape", [(120, 8), (8, 120), (30, 30)])
def test_pca_equals_scikit_learn_including_the_sign(shape):
    x = cloud(*shape)
    engine = PCA(4, svd_solver="full").fit(x.double().numpy())
    y = maps.pca(x, dim=4)
    assert y.dtype == torch.float32
    np.testing.assert_allclose(y, engine.transform(x.double().numpy()), atol=1e-5)
    share = (y.var(0).sum() / x.var(0).sum()).item()  # as the docstring says
    assert share == pytest.approx(engine.explained_variance_ratio_.sum(), rel=1e-5)


def test_pca_does_not_depend_on_where_the_cloud_is_and_survives_collapse():
    x = cloud()
    torch.testing.assert_close(maps.pca(x), maps.pca(x + 100), atol=1e-4, rtol=0)
    assert not maps.pca(torch.ones(20, 5)).any()


# t-SNE


def test_tsne_keeps_neighbours_together():
    x, y = clusters()  # 60 dimensions, so that the reduction to 50 takes part
    m = maps.tsne(x, perplexity=8)
    assert m.shape == (90, 2)
    assert m.dtype == torch.float32
    assert (y[maps.neighbours(m, k=5)] == y[:, None]).float().mean() > 0.95


def test_one_thread_at_a_time_works_with_scikit_learn(monkeypatch):
    """t-SNE beside k-means in two threads: each changes the number of BLAS threads under the other."""
    inside, most = [], []

    def slow(fit):
        def watched(self, *data):
            inside.append(1)
            most.append(len(inside))
            time.sleep(0.3)
            inside.pop()
            return fit(self, *data)

        return watched

    monkeypatch.setattr(TSNE, "fit_transform", slow(TSNE.fit_transform))
    monkeypatch.setattr(KMeans, "fit_predict", slow(KMeans.fit_predict))
    x = cloud(80)
    works = [lambda: maps.tsne(x, perplexity=8), lambda: evaluation.k_means(x.float(), 3)]
    threads = [threading.Thread(target=work) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1, 1]


def test_only_a_random_start_depends_on_the_seed():
    x = cloud(80)
    first, again, other = (maps.tsne(x, perplexity=8, init="random", seed=seed) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert (first - other).abs().mean() > 0.1
    assert torch.equal(maps.tsne(x, perplexity=8, seed=0), maps.tsne(x, perplexity=8, seed=1))


def test_tsne_started_from_a_map_stays_with_it():
    x = cloud(80)
    m = maps.tsne(x, perplexity=8)
    assert correlation(maps.tsne(x, perplexity=8, init=m), m) > 0.9
    assert correlation(maps.tsne(x, perplexity=8, init=-m), m) < -0.9  # so it is the start that decides


def test_a_collapsed_encoder_is_one_point():
    x = torch.full((60, 5), 0.3) + 1e-9 * torch.randn(60, 5)
    assert not maps.tsne(x, perplexity=5).any()


# Snapshots of a training run


def drifting(n=80, s=3):
    random, (trained, _) = cloud(n, 60, seed=1), clusters(n, apart=3.0)
    return torch.stack([(1 - a) * random + a * trained for a in torch.linspace(0.3, 1, s)])


def test_aligned_pca_shows_every_snapshot_on_the_axes_of_the_last():
    x = drifting()
    y = maps.aligned(x)
    assert y.shape == (3, 80, 2)
    torch.testing.assert_close(y[-1], maps.pca(x[-1]))
    stretched = torch.stack([2 * x[-1] + 7, x[-1]])
    torch.testing.assert_close(maps.aligned(stretched)[0], 2 * maps.pca(x[-1]))  # one scale, each centred


def test_aligned_tsne_moves_smoothly_and_knows_nothing_of_the_future():
    x = drifting()
    y = maps.aligned(x, method="tsne", perplexity=8)
    first = maps.tsne(x[0], perplexity=8)
    torch.testing.assert_close(y[0], first / first.std())
    torch.testing.assert_close(y.flatten(1).std(1), torch.ones(3))
    assert torch.equal(y[:2], maps.aligned(x[:2], method="tsne", perplexity=8))
    assert min(correlation(a, b) for a, b in pairwise(y)) > 0.9
    for a, b in zip(x, y):
        assert maps.trustworthiness(a, b) > maps.trustworthiness(a, maps.pca(a)) - 0.02


def test_aligned_tsne_goes_through_a_collapse():
    x = drifting()
    x[1] = 1.0
    y = maps.aligned(x.half(), method="tsne", perplexity=8)  # as history.snapshots stores them
    assert y.isfinite().all()
    assert not y[1].any()
    assert y[2].any()


# How far a map can be trusted


def brute_force_neighbours(x, k):
    distances = np.linalg.norm(x[:, None] - x[None, :], axis=2)
    np.fill_diagonal(distances, np.inf)
    return np.argsort(distances, axis=1)[:, :k]


@pytest.mark.parametrize("chunk", [1, 7, 64, 1000])
def test_neighbours_equal_brute_force_in_any_chunk(chunk):
    x = cloud(64)
    assert np.array_equal(maps.neighbours(x, k=5, chunk=chunk), brute_force_neighbours(x.numpy(), 5))
    some = torch.tensor([63, 0, 7, 8])
    assert np.array_equal(maps.neighbours(x, k=5, of=some, chunk=chunk), brute_force_neighbours(x.numpy(), 5)[some])


def test_no_point_is_its_own_neighbour_even_among_equals():
    near = maps.neighbours(torch.ones(20, 3), k=19)
    assert (near != torch.arange(20)[:, None]).all()


@pytest.mark.parametrize("chunk", [1, 7, 64, 1000])
@pytest.mark.parametrize("k", [1, 5, 20])
def test_trustworthiness_equals_scikit_learn_in_any_chunk(k, chunk):
    x, y = cloud(64), cloud(64, 2, seed=1)
    ours = maps.trustworthiness(x, y, k=k, chunk=chunk)
    assert ours == pytest.approx(sklearn_trustworthiness(x.numpy(), y.numpy(), n_neighbors=k), abs=1e-12)


def test_trustworthiness_by_hand():
    # On a line 0, 1, 2, 10 the map swaps the last two, so the nearest on the map are points 1, 0, 3, 2. Their true
    # ranks are 1, 1 (a tie, and ties share the better rank), 3, 1. The excess is 2; T = 1 - 2 * 2 / (4 * (8 - 3 - 1)).
    x, y = torch.tensor([[0.0], [1.0], [2.0], [10.0]]), torch.tensor([[0.0], [1.0], [10.0], [9.0]])
    assert maps.trustworthiness(x, y, k=1) == pytest.approx(0.75)


def test_a_perfect_map_is_trusted_and_a_random_one_is_not():
    x, y = cloud(300), cloud(300, 2, seed=1)
    assert maps.trustworthiness(x, 5 * x - 1) == 1
    assert maps.neighbour_recall(x, 5 * x - 1) == 1
    assert abs(maps.trustworthiness(x, y) - 0.5) < 0.1
    assert maps.neighbour_recall(x, y) < 4 * 10 / 299  # 3,000 draws, expected 10 / 299


def test_neighbour_recall_equals_counting_with_sets():
    x, y = cloud(64).numpy(), cloud(64, seed=0)[:, :2].numpy()
    pairs = zip(brute_force_neighbours(x, 7), brute_force_neighbours(y, 7))
    assert maps.neighbour_recall(x, y, k=7) == pytest.approx(np.mean([len({*a} & {*b}) / 7 for a, b in pairs]))


# The noise twin


@pytest.mark.parametrize("shape", [(200, 8), (10, 30)])
def test_the_noise_twin_has_exactly_the_same_mean_and_covariance(shape):
    x = cloud(*shape).double()
    twin = maps.noise_twin(x).double()
    torch.testing.assert_close(twin.mean(0), x.mean(0), atol=1e-5, rtol=0)
    torch.testing.assert_close(torch.cov(twin.T), torch.cov(x.T), atol=1e-5, rtol=0)


def test_the_noise_twin_has_no_clusters():
    x, _ = clusters(600, 5, apart=30.0)

    def kurtosis(points):  # 3 for a Gaussian; three far groups stay below
        along = maps.pca(points, dim=1).double()
        return (along.pow(4).mean() / along.pow(2).mean() ** 2).item()

    assert kurtosis(x) < 2.1  # three points of equal weight have 1.5, wherever they are
    assert all(2.2 < kurtosis(maps.noise_twin(x, seed)) < 3.8 for seed in range(5))  # within 4 standard deviations
    assert torch.equal(maps.noise_twin(x, 1), maps.noise_twin(x, 1))
    assert not torch.equal(maps.noise_twin(x, 1), maps.noise_twin(x, 2))


# Bad input: one sentence that says what to do


def with_nan():
    x = cloud(30)
    x[3:5] = torch.nan
    return x


BAD = {
    "dim": (lambda: maps.pca(cloud(30), dim=9), "dim is 9.*axes 1 to 8"),
    "three dimensions": (lambda: maps.pca(torch.zeros(2, 3, 4)), r"x has shape \(2, 3, 4\)"),
    "one point": (lambda: maps.pca(torch.zeros(1, 4)), "N > 1"),
    "nan": (lambda: maps.tsne(with_nan(), perplexity=5), "NaN or infinity in 2 of 30 rows"),
    "too few points": (lambda: maps.tsne(cloud(90)), "perplexity is 30.*N / 3 = 30"),
    "perplexity": (lambda: maps.tsne(cloud(30), perplexity=0), "perplexity is 0"),
    "init": (lambda: maps.tsne(cloud(30), perplexity=5, init="spectral"), "init is 'spectral'"),
    "init map": (lambda: maps.tsne(cloud(30), perplexity=5, init=cloud(29, 2)), r"init is \(29, 2\).*\(30, 2\)"),
    "k": (lambda: maps.neighbours(cloud(30), k=30), "k is 30.*1 to 29"),
    "k of trustworthiness": (lambda: maps.trustworthiness(cloud(30), cloud(30), k=15), "k is 15.*N / 2 = 15"),
    "pair": (lambda: maps.neighbour_recall(cloud(30), cloud(29)), "x has 30 points and y has 29"),
    "map with nan": (lambda: maps.trustworthiness(cloud(30), with_nan()), "y has NaN"),
    "method": (lambda: maps.aligned(torch.zeros(2, 30, 3), method="umap"), "'umap'"),
    "snapshots": (lambda: maps.aligned(cloud(30)), r"\(S, N, D\).*\(30, 8\)"),
    "twin": (lambda: maps.noise_twin(with_nan()), "NaN"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_explained_in_one_sentence(name):
    call, match = BAD[name]
    with pytest.raises(ValueError, match=match) as error:
        call()
    assert "\n" not in str(error.value)


@settings(max_examples=30, deadline=None)
@given(n=st.integers(3, 30), d=st.integers(1, 6), seed=st.integers(0, 99))
def test_any_shape_works_and_inputs_stay_untouched(n, d, seed):
    x = cloud(n, d, seed).requires_grad_()
    before = x.detach().clone()
    k = max(1, (n - 1) // 2)
    assert maps.neighbours(x, k=k).shape == (n, k)
    assert maps.trustworthiness(x, x, k=k) == pytest.approx(1)
    assert maps.noise_twin(x, seed).shape == (n, d)
    assert maps.pca(x.detach().numpy(), dim=1).shape == (n, 1)
    assert torch.equal(x, before)


def test_snapshots_may_be_a_list_and_must_be_finite():
    x = torch.randn(3, 20, 5, generator=torch.Generator().manual_seed(0)).half()
    assert torch.equal(maps.aligned(list(x)), maps.aligned(x))
    x[0, 3, 1] = torch.nan
    with pytest.raises(ValueError, match="snapshots has NaN or infinity in 1 of 60 rows"):
        maps.aligned(x)

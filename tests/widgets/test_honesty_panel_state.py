"""The honesty panel without a browser: its numbers are those of brute force, and maps are computed once."""

import threading

import numpy as np
import pytest
import torch

from sslkit import maps
from sslkit.widgets import HonestyPanel, _honesty

N = 90
GROUP = torch.arange(N) % 3
X = torch.randn(N, 6, generator=torch.Generator().manual_seed(0)) + 1.5 * torch.eye(6)[GROUP]
IMAGES = torch.rand(N, 3, 8, 8, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def panel():
    return HonestyPanel(X, GROUP, IMAGES, names=["a", "b", "c"], perplexities=(5, 20), k=6)


def nearest(points, k):
    """By brute force."""
    points = np.asarray(points, dtype=float)
    d = ((points[:, None] - points[None]) ** 2).sum(-1)
    np.fill_diagonal(d, np.inf)
    return d.argsort(1)[:, :k]


def test_recall_and_votes_equal_brute_force(panel):
    y = panel.map()
    true, seen = nearest(X, 6), nearest(y, 6)
    recall = np.mean([len(set(t) & set(s)) / 6 for t, s in zip(true, seen)])
    found = panel.measures(y)
    assert found["recall"] == pytest.approx(recall)
    for name, near in {"kNN in space": true, "kNN on the map": seen}.items():
        right = [np.bincount(GROUP[row], minlength=3).argmax() == GROUP[i] for i, row in enumerate(near)]
        assert found[name] == pytest.approx(np.mean(right))
    assert 0.9 < found["trustworthiness"] <= 1


def test_the_chosen_point_has_its_own_neighbours(panel):
    panel.point = 7
    assert set(panel.neighbours["true"]) == set(nearest(X, 6)[7])
    assert set(panel.neighbours["seen"]) == set(nearest(panel.map(), 6)[7])
    both = len(set(panel.neighbours["true"]) & set(panel.neighbours["seen"]))
    assert panel.summary.startswith(f"{both} of the 6 true neighbours of point 7")
    assert f"{both} of 6 are both" in panel.plot().caption


def test_seeds_and_perplexities_are_those_of_the_package(panel):
    for seed, perplexity in [(0, 5), (1, 20)]:
        wanted = maps.tsne(X, perplexity=perplexity, seed=seed, init="random")
        assert torch.equal(panel.map(seed=seed, perplexity=perplexity), wanted)
        panel.seed, panel.perplexity = seed, perplexity
        assert torch.equal(panel.map(), wanted)
    twin = maps.noise_twin(X)
    assert torch.equal(panel.map(twin=True), maps.tsne(twin, perplexity=20, seed=1, init="random"))


def test_a_map_is_computed_once_for_the_same_content(monkeypatch):
    new, calls = torch.randn(N, 6), []  # no map of these is remembered

    def tsne(x, **how):
        calls.append(how)
        return torch.zeros(len(x), 2)

    monkeypatch.setattr(maps, "tsne", tsne)
    monkeypatch.setattr(maps.checkpoint, "write_file", lambda *_: None)
    for panel in (HonestyPanel(new, perplexities=(5, 9)), HonestyPanel(new.clone(), perplexities=(5, 9))):
        panel.map(), panel.map(), panel.map(twin=True)
    assert len(calls) == 2
    panel.seed = 1
    panel.map()
    HonestyPanel(new + 1, perplexities=(5, 9)).map()
    assert len(calls) == 4


def test_where_somebody_waits_pca_is_shown_until_the_maps_are_there(monkeypatch):
    started, go, real = threading.Event(), threading.Event(), maps.tsne

    def slow(x, **how):
        started.set()
        assert go.wait(30)
        return real(x, **how)

    slow.__name__ = "slow"  # of which nothing is remembered
    monkeypatch.setattr(maps, "tsne", slow)
    monkeypatch.setattr(maps.checkpoint, "write_file", lambda *_: None)
    monkeypatch.setattr(_honesty, "cell", lambda: {"id": "1"})
    panel = HonestyPanel(torch.randn(N, 6), GROUP, perplexities=(5, 9))
    assert panel.box  # at once
    assert started.wait(30)
    assert panel._figure.value.count("still PCA") >= 2
    assert "Computing t-SNE" in panel._status.value
    assert 'value="0"' in panel._readout.value
    panel.perplexity = 5  # another one is asked for meanwhile
    go.set()
    panel.wait(60)
    assert "still PCA" not in panel._figure.value
    assert "neighbours of point 0" in panel._status.value
    assert panel._readout.value == ""
    panel.show = "all seeds and perplexities"
    assert panel._figure.value.count("still PCA") >= 2  # two of the four are known
    panel.wait(60)
    assert "4 maps" in panel._figure.value
    assert "still PCA" not in panel._figure.value


def test_where_nobody_waits_the_first_figure_is_the_final_one(panel):
    fresh = HonestyPanel(X, GROUP, perplexities=(5, 20), k=6)
    assert "still PCA" not in fresh._repr_mimebundle_()["text/html"]
    assert not fresh._job.running


def test_shuffled_labels_are_as_frequent_and_fit_nothing(panel):
    panel.colour = "shuffled labels"
    shuffled = panel._coloured()
    assert torch.equal(shuffled.bincount(), GROUP.bincount())
    assert not torch.equal(shuffled, GROUP)
    panel.colour = "none"
    assert panel._coloured() is None
    panel.colour = "labels"
    assert torch.equal(panel._coloured(), GROUP)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_both_figures_say_their_measures(panel, theme):
    panel.theme, panel.show = theme, "one map and its noise twin"
    assert f"recall {panel.state['measures']['features']['recall']:.2f}" in panel.plot().caption
    panel.show = "all seeds and perplexities"
    assert panel.plot().caption.startswith("4 maps.")
    panel.show = "one map and its noise twin"


def test_nothing_is_computed_at_construction_and_points_are_few(monkeypatch):
    monkeypatch.setattr(maps, "tsne", None)
    large = HonestyPanel(torch.randn(1100, 4), torch.arange(1100) % 2)
    assert 200 <= len(large.x) <= 400
    assert torch.equal(large.labels, (torch.arange(1100) % 2)[:: 1100 // len(large.x) + (1100 % len(large.x) > 0)])
    assert large.perplexities == (5, 30, 80)
    assert HonestyPanel(torch.randn(60, 4)).perplexities == (5,)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (dict(features=torch.randn(5)), r"shape \(5,\), but must be \(N, D\)"),
        (dict(features=torch.full((90, 2), torch.nan)), "finite"),
        (dict(features=X, labels=GROUP[:5]), "5 labels, but 90 features"),
        (dict(features=X, images=IMAGES[:3]), "3 images, but 90"),
        (dict(features=X, k=60), "k is 60, but 90 points"),
        (dict(features=X, perplexities=(5, 40)), "from 1 to below 30"),
    ],
)
def test_bad_input_is_one_sentence(given, says):
    with pytest.raises(ValueError, match=says):
        HonestyPanel(**given)


def test_what_is_not_offered_is_said(panel):
    with pytest.raises(ValueError, match="seed is 9, but must be one of 0, 1"):
        panel.seed = 9
    with pytest.raises(ValueError, match="point is 90, but must be one of 0 to 89"):
        panel.point = 90

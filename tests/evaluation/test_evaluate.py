"""The whole evaluation: its table, its honesty about what cannot be measured, and clustering."""

import itertools
import json
import math
import re
import warnings
from html.parser import HTMLParser

import pytest
import torch
import torch.nn.functional as F

from sslkit import datasets
from sslkit.evaluation import Score, Table, baselines, clustering, collapse, evaluate, retrieval

OPTIONS = {"budgets": (1, 5), "draws": 2}


def feature_sets(data, seed=0):
    """ "good" features know the label, "noise" knows nothing. In the form of `split_features`."""
    generator = torch.Generator().manual_seed(seed)
    sets = {"this encoder": {}, "random encoder": {}}
    for split in ("train", "val", "test"):
        part = getattr(data, split)
        y = torch.zeros(len(part), dtype=torch.long) if part.labels is None else part.labels
        sets["this encoder"][split] = F.one_hot(y, 12) + 0.2 * torch.randn(len(part), 12, generator=generator)
        sets["random encoder"][split] = torch.randn(len(part), 5, generator=generator)
    for features in sets.values():
        features["shifted"] = features["test"] + 0.01
    return sets


@pytest.fixture
def factors():
    generator = torch.Generator().manual_seed(1)
    return {
        "hue": F.normalize(torch.randn(160, 2, generator=generator), dim=1),
        "shape": torch.arange(160) % 3,  # the label itself
        "kind": torch.randint(2, (160,), generator=generator),
        "concept": torch.arange(160),  # every picture is one of its own
    }


def test_the_table_of_everything(pictures, factors):
    data = pictures(factors=factors)
    sets = feature_sets(data) | baselines(data)
    state = torch.random.get_rng_state()
    table = evaluate(sets, data, **OPTIONS)
    assert torch.equal(state, torch.random.get_rng_state())
    assert list(table.columns) == ["this encoder", "random encoder", "raw pixels", "PCA", "chance"]
    assert table.measurements == [
        "linear probe", "kNN", "1 label per class", "5 labels per class", "clusters (NMI)", "finds shifted copy",
        "hue (R²)", "kind (accuracy)",
    ]  # fmt: skip
    assert table["linear probe", "this encoder"].value > 0.95
    assert table["linear probe", "this encoder"].n == len(data.test)
    assert table["kNN", "this encoder"].value > 0.95
    assert table["clusters (NMI)", "this encoder"] > 0.9
    assert table["finds shifted copy", "this encoder"].value > 0.9
    assert list(table.collapse) == ["this encoder", "random encoder", "raw pixels", "PCA"]
    notes = " ".join(table.notes)
    assert "concept" in notes
    assert "shape" not in notes  # it is the label, which has been asked for
    assert "bootstrap" in notes
    assert table.collapse["this encoder"]["verdict"] in notes
    assert evaluate(sets, data, **OPTIONS).to_dict() == table.to_dict()


def test_chance_is_chance(pictures, factors):
    data = pictures(factors=factors)
    chance = evaluate(feature_sets(data), data, **OPTIONS).columns["chance"]
    share = {c: (data.test.labels == c).double().mean().item() for c in range(3)}
    assert chance["linear probe"] == pytest.approx(share[data.train.labels.mode().values.item()])
    assert chance["kNN"] == pytest.approx(1 / 3, abs=0.05)
    assert chance["finds shifted copy"] <= 0.1
    assert 0 <= chance["clusters (NMI)"] < 0.1  # of shuffled labels; few pictures agree a little by luck
    assert chance["hue (R²)"] == pytest.approx(0, abs=0.1)


def test_the_summary_says_how_far_above_the_best_baseline(pictures):
    data = pictures()
    table = evaluate(feature_sets(data), data, **OPTIONS)
    best = max(table[row, "random encoder"].value for row in ("linear probe", "kNN"))
    [note] = [note for note in table.notes if "best baseline" in note]
    gain = table["linear probe", "this encoder"].value - best
    assert f"{gain:.2f} above the best baseline, {best:.2f} (random encoder, " in note
    worse = evaluate(dict(reversed(feature_sets(data).items())), data, **OPTIONS)
    assert any("below the best baseline" in note for note in worse.notes)
    alone = evaluate({"mine": feature_sets(data)["this encoder"]}, data, **OPTIONS)
    assert not any("best baseline" in note for note in alone.notes)


def without(data, split):
    data.split[data.split == split] = 0 if split else 1
    return data


@pytest.mark.parametrize(
    ("change", "note", "missing"),
    [
        (lambda make: make(labels=False), "No labels: only collapse, retrieval", "linear probe"),
        (lambda make: make(classes=1), "one class only.*: label", "linear probe"),
        (lambda make: make(classes=160), "lacks those of most test pictures: label", "kNN"),
        (lambda make: without(make(), 2), "Nothing can be measured", "finds shifted copy"),
        (lambda make: without(make(), 0), "Nothing can be measured", "finds shifted copy"),
        (
            lambda make: make(n=20, classes=4),
            "a class with fewer pictures gives all it has; the smallest has 3",
            "nothing",
        ),
        (lambda make: make(n=8, classes=2), "unknown: this is one image|bootstrap over test", "nothing"),
    ],
    ids=["no labels", "one class", "unseen classes", "no test", "no training", "few of a class", "eight pictures"],
)
def test_what_cannot_be_measured_is_said(pictures, change, note, missing):
    data = change(pictures)
    generator = torch.Generator().manual_seed(0)
    sizes = {"train": len(data.train), "val": len(data.val), "test": len(data.test), "shifted": len(data.test)}
    sets = {"this encoder": {split: torch.randn(n, 6, generator=generator) for split, n in sizes.items()}}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        table = evaluate(sets, data, **OPTIONS)
    assert re.search(note, " ".join(table.notes))
    assert missing not in table.measurements
    assert str(table)
    json.dumps(table.to_dict(), allow_nan=False)


def test_without_labels_there_is_still_something_to_see(pictures):
    data = pictures(labels=False)
    table = evaluate(feature_sets(data), data)
    assert table.measurements == ["finds shifted copy"]
    assert "verdict" in table.collapse["this encoder"]


def test_without_validation_pictures(pictures, factors):
    data = without(pictures(factors=factors), 1)
    table = evaluate(feature_sets(data), data, **OPTIONS)
    assert table["linear probe", "this encoder"].value > 0.95
    assert math.isfinite(table["hue (R²)", "this encoder"].value)


def test_a_diverged_encoder_is_named(pictures):
    data = pictures()
    sets = feature_sets(data)
    sets["this encoder"]["train"][3] = torch.nan
    with pytest.raises(ValueError, match="12 NaN or infinite"):
        evaluate(sets, data)


def test_test_labels_change_nothing_but_the_score(pictures):
    """With the test labels shuffled every score is that of guessing; nothing was learned from them before."""
    data = pictures(n=640)
    sets = feature_sets(data)
    data.labels[data.split == 2] = data.labels[data.split == 2][torch.randperm(160)]
    table = evaluate(sets, data, **OPTIONS)
    for row in ("linear probe", "kNN", "5 labels per class"):
        assert abs(table[row, "this encoder"].value - 1 / 3) < 0.19  # five sd of 160 guesses


def test_drawings_of_two_artists(pictures):
    """Queries by artist 0, gallery by artist 1, found if they draw the same thing; a third artist does not matter."""
    data = pictures(n=480, factors={"artist": torch.arange(480) % 3})
    data.groups = torch.arange(480) // 3
    sets = feature_sets(data)
    drawn = torch.randn(40, 12, generator=torch.Generator().manual_seed(0))[torch.arange(120) // 3]
    sets["this encoder"]["test"] = drawn
    sets["this encoder"]["shifted"] = -drawn
    table = evaluate(sets, data, **OPTIONS)
    score = table["other artist's drawing", "this encoder"]
    assert (score.value, score.n) == (1, 40)
    assert table["the same, shifted", "this encoder"].value < 0.2
    assert table["other artist's drawing", "random encoder"].value < 0.3
    data.factors["artist"] = torch.zeros_like(data.factors["artist"])
    assert "other artist's drawing" not in evaluate(sets, data, **OPTIONS).measurements


# ---- the table itself


@pytest.fixture
def table():
    table = Table("shapes: 3 pictures & <friends>")
    table.add("this encoder", {"kNN": Score(0.741, 0.72, 0.76, 2000), "hue (R²)": Score(-0.001, -0.02, 0.01, 2000)})
    table.add("chance", {"kNN": 0.125})
    table.add("this encoder", {"angle (R²)": Score(math.nan, math.nan, math.nan, 0)})
    table.notes.append("One sentence that is rather long, " * 5)
    table.collapse["this encoder"] = collapse(torch.eye(3))
    return table


def test_table_access(table):
    assert table["kNN", "this encoder"].value == 0.741
    assert table["kNN", "chance"] == 0.125
    assert table.measurements == ["kNN", "hue (R²)", "angle (R²)"]
    with pytest.raises(ValueError, match="Did you mean 'chance'"):
        table["kNN", "chanse"]
    with pytest.raises(ValueError, match="Unknown measurement 'knn'"):
        table["knn", "chance"]


def test_table_as_text(table):
    text = str(table)
    assert repr(table) == text
    assert "0.74 ±0.02" in text
    assert " 0.00 ±0.01" in text  # never -0.00
    assert "nan" not in text
    assert max(map(len, text.splitlines())) <= 80
    header, knn = (next(line for line in text.splitlines() if word in line) for word in ("encoder", "kNN"))
    assert header.index("encoder") + len("encoder") == knn.index("±0.02") + len("±0.02")  # columns line up


def test_the_usual_table_fits_into_80_columns_and_more_go_below():
    rows = {f"{n} labels per class": Score(0.5, 0.4, 0.6, 10) for n in (5, 10, 50)} | {
        "x (R²)": Score(-0.1, -0.2, 0, 9)
    }
    table = Table()
    for name in ("this encoder", "random encoder", "raw pixels", "PCA"):
        table.add(name, rows)
    table.add("chance", {name: 0.1 for name in rows})
    assert max(map(len, str(table).splitlines())) <= 80
    assert str(table).count("5 labels per class") == 1
    for name in ("supervised", "another encoder"):
        table.add(name, rows)
    assert max(map(len, str(table).splitlines())) <= 80
    assert str(table).count("10 labels per class") == 2
    assert str(Table("nothing")) == "nothing"


class Outline(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.open = [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes).get("scope")))
        self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_table_as_html_is_accessible_and_escaped(table):
    html = table._repr_html_()
    outline = Outline(html)
    assert not outline.open
    count = outline.tags.count
    assert (count(("caption", None)), count(("th", "col")), count(("th", "row")), count(("td", None))) == (1, 3, 3, 6)
    assert "<friends>" not in html
    assert "0.74 [0.72, 0.76]" in html


def test_table_as_dictionary(table):
    found = table.to_dict()
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["columns"]["this encoder"]["kNN"] == {"value": 0.741, "low": 0.72, "high": 0.76, "n": 2000}
    assert found["columns"]["this encoder"]["angle (R²)"]["value"] is None
    assert found["columns"]["chance"]["kNN"] == 0.125
    assert len(found["collapse"]["this encoder"]["spectrum"]) == 3


# ---- clustering


def test_perfect_clusters_under_any_name(blobs):
    x, y = blobs(200, spread=0.01)
    for labels in (y, 100 - 7 * y):
        assert clustering(x, labels) == pytest.approx({"nmi": 1, "ari": 1, "accuracy": 1})
    assert clustering(x * 50, y, seed=3)["ari"] == pytest.approx(1)


def test_accuracy_is_that_of_the_best_naming(blobs):
    from sklearn.cluster import KMeans
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

    x, y = blobs(300, spread=1.5)
    cluster = torch.from_numpy(KMeans(4, n_init=4, random_state=0).fit_predict(F.normalize(x, dim=1).numpy())).long()
    best = max((torch.tensor(names)[cluster] == y).double().mean().item() for names in itertools.permutations(range(4)))
    found = clustering(x, y)
    assert 0.3 < best < 0.99
    assert found["accuracy"] == pytest.approx(best)
    assert found["nmi"] == pytest.approx(normalized_mutual_info_score(y, cluster))
    assert found["ari"] == pytest.approx(adjusted_rand_score(y, cluster))


def test_noise_and_collapse_have_no_clusters(blobs):
    generator = torch.Generator().manual_seed(0)
    noise, y = torch.randn(1000, 10, generator=generator), torch.randint(5, (1000,), generator=generator)
    assert abs(clustering(noise, y)["ari"]) < 0.03
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert clustering(torch.ones(50, 4), torch.arange(50) % 5)["nmi"] == pytest.approx(0, abs=1e-9)
        assert clustering(torch.randn(5, 3), torch.zeros(5, dtype=torch.long))["accuracy"] == 1
    with pytest.raises(ValueError, match="labels are missing"):
        clustering(noise, None)


def test_retrieval_across_groups_needs_no_more_than_indices(blobs):
    """What a data set with two artists does: queries by one, gallery by the other, ids are the things they draw."""
    x, _ = blobs(60, dim=30)
    thing, artist = torch.arange(60) % 30, torch.arange(60) // 30
    x = x[thing] + 0.01 * x
    score = retrieval(x[artist == 0], thing[artist == 0], x[artist == 1], thing[artist == 1])
    assert (score.value, score.n) == (1, 30)


def test_a_number_is_not_the_label_because_its_whole_part_is(pictures):
    data = pictures()
    data.factors = {"weight": (data.labels + 0.9 * torch.rand(len(data)))[:, None], "same": data.labels.clone()}
    rows = evaluate(feature_sets(data), data, **OPTIONS).measurements
    assert "weight (R²)" in rows
    assert not any("same" in row for row in rows)


def test_chance_of_clusters_is_what_many_small_classes_get_by_luck():
    """Noise with 40 classes of five has an NMI of about 0.7 with them."""
    noise, labels = torch.randint(0, 256, (400, 3, 8, 8), dtype=torch.uint8), torch.arange(400) % 40
    data = datasets.arrays(noise, labels.numpy(), val=0.25, test=0.5)
    features = {
        "noise": {s: torch.randn(len(x), 6) for s, x in (("train", data.train), ("val", data.val), ("test", data.test))}
    }
    features["noise"]["shifted"] = features["noise"]["test"]
    table = evaluate(features, data, budgets=(1,), draws=1)
    assert table["clusters (NMI)", "chance"] > 0.4
    assert abs(table["clusters (NMI)", "noise"] - table["clusters (NMI)", "chance"]) < 0.15

"""The race: every row is written once, a stopped race goes on, and its tables say what the records say."""

import json
from functools import partial

import numpy as np
import pytest

from sslkit import datasets, race


@pytest.fixture
def tiny(monkeypatch):
    monkeypatch.setattr(race.datasets, "load", lambda name: datasets.shapes(n=400))
    # Number format and memory layout are chosen by timing them, and a busy machine may choose otherwise the next time.
    monkeypatch.setattr(race, "pretrain", partial(race.pretrain, precision="float32", channels_last=False))


def run(folder, **options):
    return list(
        race.race(folder, **{"methods": ["simclr", "vicreg"], "data": ["shapes"], "seeds": [0], "steps": 2} | options)
    )


def test_one_record_per_row_and_finished_rows_are_skipped(tiny, tmp_path):
    first = run(tmp_path)
    assert [r["method"] for r in first] == ["baselines", "simclr", "vicreg"]
    assert run(tmp_path) == []
    (tmp_path / "shapes-vicreg-0.json").unlink()
    [again] = run(tmp_path)
    assert again["method"] == "vicreg"
    assert again["columns"] == first[2]["columns"]  # the same seed, the same steps, the same result
    assert race.read(tmp_path) == json.loads(json.dumps([first[0], first[1], again]))


def test_a_record_says_how_it_was_made(tiny, tmp_path):
    record = run(tmp_path, methods=["simclr"])[1]
    assert record["card"]["training"]["steps"] == record["card"]["steps_done"] == 2
    assert record["card"]["method"]["name"] == "simclr"
    assert record["parameters"] > 0
    assert {"threads", "torch", "sslkit"} <= set(record["machine"])
    assert {"linear probe", "kNN", "RankMe", "10 labels per class"} <= set(record["columns"]["this encoder"])


def test_a_minute_is_a_number_of_steps(tiny, tmp_path, monkeypatch):
    """What SimCLR's speed and the method's cost make of it, and the speed is that of the first day."""
    monkeypatch.setattr(race.doctor, "costs", lambda: {"methods": {"simclr": 1.0, "vicreg": 1.5}})
    monkeypatch.setattr(race.doctor, "speed", lambda data: 2.0)
    options = {"methods": ["simclr", "vicreg"], "data": ["shapes"], "seeds": [0]}
    steps = lambda **more: [row[2]["steps"] for row in race.missing(tmp_path, **options, **more)]
    assert steps(minutes=0.5) == [60, 60, 40]
    monkeypatch.setattr(race.doctor, "speed", lambda data: 7.0)
    assert steps() == [240, 240, 160]
    assert steps(steps=3) == [3, 3, 3]
    assert race.read(tmp_path) == []


def test_the_vision_transformer_runs_beside_mae(tiny, tmp_path):
    _, record = run(tmp_path, methods=[race.ON_VIT])
    assert record["method"] == race.ON_VIT
    assert record["card"]["encoder"]["name"] == "tiny_vit"


def test_divergence_is_a_row(tiny, tmp_path, monkeypatch):
    def diverge(*args, **options):
        raise FloatingPointError("The loss is nan at step 1.")

    monkeypatch.setattr(race, "pretrain", diverge)
    record = run(tmp_path, methods=["simclr"])[1]
    assert "nan" in record["diverged"]
    assert "simclr | diverged (seed 0)" in race.tables(race.read(tmp_path))


def test_unknown_method_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(ValueError, match="simclr"):
        run(tmp_path / "race", methods=["simclear"])
    assert not (tmp_path / "race").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, "steps is 0"),
        ({"steps": -3}, "steps is -3"),
        ({"seeds": []}, "one seed at least"),
        ({"data": ["digits", "nosuch"]}, "Unknown data set 'nosuch'"),
    ],
)
def test_wrong_arguments_are_refused_before_anything_is_trained(tmp_path, options, message):
    arguments = {"methods": ["simclr"], "data": ["digits"], "seeds": [0], "steps": 2, **options}
    with pytest.raises(ValueError, match=message):
        race.missing(tmp_path / "new", **arguments)
    assert not (tmp_path / "new").exists()


def test_a_folder_of_pictures_has_its_records_among_the_others():
    one, other = (race.row_name(f"{place}/pictures", "simclr", 0) for place in ("a", "b"))
    assert "/" not in one
    assert one.startswith("pictures-")
    assert one != other


@pytest.mark.parametrize("minutes", [0, -1.0, float("inf"), float("nan")])
def test_no_time_is_refused_before_anything_is_written(tmp_path, minutes):
    with pytest.raises(ValueError, match=f"minutes is {minutes}; give a time above 0"):
        run(tmp_path / "race", steps=None, minutes=minutes)
    assert not (tmp_path / "race").exists()


def test_tables_are_sorted_means_with_their_spread():
    def record(method, seed, probe):
        score = {"value": probe, "low": 0, "high": 1, "n": 10}
        columns = {"this encoder": {"linear probe": score, "RankMe": 10.0 * probe}, "chance": {"linear probe": 0.1}}
        return {"data": "shapes", "method": method, "seed": seed, "columns": columns, "card": {"steps_done": 100}}

    baseline = {"random encoder": {"linear probe": {"value": 0.3}, "RankMe": 2.0}, "chance": {"linear probe": 0.1}}
    records = [record("good", 0, 0.8), record("good", 1, 0.6), record("bad", 0, 0.2)]
    records.append({"data": "shapes", "method": "baselines", "seed": 0, "columns": baseline})
    lines = race.tables(records).splitlines()
    assert lines[0] == "### `shapes`"
    assert [line.split(" | ")[0] for line in lines[4:]] == ["| good", "| *random encoder*", "| bad"]
    assert "0.70 ± 0.14 | 7.0 ± 1.4 | 100 | 2 |" in lines[4]
    [(name, figure)] = race.figures(records).items()
    assert name == "shapes"
    assert figure.caption.endswith("To be beaten: chance 0.10, random encoder 0.30.")
    assert figure.alt == "shapes. Best first: good 0.70, bad 0.20."
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["good", "bad"]
    [figure] = race.figures([*records, record("supcon", 0, 0.9)]).values()
    assert figure.axes[0].get_yticklabels()[0].get_text() == "supcon (saw labels)"


def test_records_without_labels_are_no_figure():
    record = {"data": "mine", "seed": 0, "columns": {"this encoder": {"RankMe": 3.0}, "PCA": {"RankMe": 2.0}}}
    assert race.figures([record | {"method": "simclr"}]) == {}


def test_rows_of_another_length_are_not_taken_as_done(tiny, tmp_path):
    run(tmp_path, methods=["simclr"])
    for methods in (["simclr"], ["vicreg"]):  # asked for again, or ranked beside others
        with pytest.raises(ValueError, match="has a row of 2 steps of simclr on shapes, this race 3"):
            run(tmp_path, methods=methods, steps=3)


def npz(path, n=400, seed=0, **more):
    path.parent.mkdir(exist_ok=True)
    np.savez(path, x=np.random.default_rng(seed).integers(0, 256, (n, 3, 8, 8), dtype=np.uint8), **more)
    return str(path)


def test_pictures_of_the_same_name_are_not_pooled(tmp_path):
    labels = {"y": np.arange(400) % 2}
    files = [npz(tmp_path / place / "mine.npz", seed=i, **labels) for i, place in enumerate("ab")]
    run(tmp_path / "race", methods=["simclr"], data=files)
    assert race.tables(race.read(tmp_path / "race")).count("### `mine.npz-") == 2


def test_pictures_that_no_race_can_have_are_refused_at_once(tmp_path):
    with pytest.raises(ValueError, match=r"nameless\.npz has no labels, and a race ranks methods by them"):
        run(tmp_path / "race", data=["shapes", npz(tmp_path / "nameless.npz")])
    few = npz(tmp_path / "few.npz", n=100, y=np.arange(100) % 2)
    with pytest.raises(ValueError, match=r"A race has batches of 256 pictures, but .*few\.npz has 76 to train on"):
        run(tmp_path / "race", data=["shapes", few])
    assert not (tmp_path / "race").exists()


def test_other_files_are_passed_over_and_damaged_ones_named(tmp_path):
    (tmp_path / "package.json").write_text('{"name": "mine"}')
    (tmp_path / "list.json").write_text("[1, 2]")
    assert race.read(tmp_path) == []
    (tmp_path / "shapes-simclr-0.json").write_text('{"columns": ')
    with pytest.raises(ValueError, match=r"shapes-simclr-0\.json is damaged.*delete it"):
        race.read(tmp_path)


def test_a_row_is_measured_once(tiny, tmp_path):
    """Asked for twice, or written meanwhile by another process: it is not trained again, and not written over."""
    asked = {"methods": ["simclr", "simclr"], "data": ["shapes", "shapes"]}
    assert [record["method"] for record in run(tmp_path, **asked)] == ["baselines", "simclr"]
    other = tmp_path / "other"
    rows = race.race(other, methods=["simclr"], data=["shapes"], seeds=[0], steps=2)
    assert next(iter(rows))["method"] == "baselines"
    (other / "shapes-simclr-0.json").write_text(record := (tmp_path / "shapes-simclr-0.json").read_text())
    (other / "foreign.json").write_text('{"columns": ["a", "b"]}')
    assert list(rows) == []
    assert (other / "shapes-simclr-0.json").read_text() == record
    assert [r["method"] for r in race.read(other)] == ["baselines", "simclr"]


def test_one_name_is_one_method_and_one_data_set(tmp_path):
    rows = race.missing(tmp_path, methods="simclr", data="digits", seeds=[0], steps=2)
    assert [row[:2] for row in rows if row[1] != "baselines"] == [("digits", "simclr")]

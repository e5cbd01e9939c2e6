"""The prediction card without a browser: nothing runs before a prediction, and the log is plain JSON."""

import json

import pytest

from sslkit.widgets import Predict, _predict


@pytest.fixture(autouse=True)
def empty_log(monkeypatch):
    monkeypatch.setattr(_predict, "_LOG", [])


def card(answer=(4.0, 5.0, 6.0), **options):
    calls = []

    def measure():
        calls.append(1)
        return answer

    made = Predict("How many views differ?", measure, **options)
    made.calls = calls
    return made


def test_the_whole_cycle(tmp_path):
    one = card(unit="views", file=tmp_path / "a" / "log.json")
    assert one.state["locked"]
    assert "locked" in one.summary
    with pytest.raises(ValueError, match="first record"):
        one.run()
    with pytest.raises(ValueError, match="run first"):
        one.explain("because")
    assert not one.calls

    one.predict(3.2, low=2, high=7)
    assert not one.state["locked"]
    assert "Predicted (◆): 3.2 (2 to 7) views. Not measured yet." in one.plot().caption
    one.run()
    one.run()
    assert one.calls == [1]
    assert one.state["measured"] == [4.0, 5.0, 6.0]
    assert one.hit is True
    assert "Measured: 4 to 6 views." in one.plot().caption

    one.explain('  Quotes " and <b>, שלום, 🙂. ')
    entry = {
        "question": "How many views differ?", "low": 2.0, "guess": 3.2, "high": 7.0, "measured": [4.0, 5.0, 6.0],
        "hit": True, "why": 'Quotes " and <b>, שלום, 🙂.',
    }  # fmt: skip
    assert one.log == [entry]
    assert json.loads((tmp_path / "a" / "log.json").read_text()) == [entry]
    with pytest.raises(ValueError, match="too late"):
        one.predict(5)


def test_all_cards_write_into_one_log_and_it_tells_the_calibration(tmp_path):
    for kept in (None, tmp_path / "log.json"):
        for low in (0, 5.5):
            one = card(file=kept)
            one.predict(6, low=low, high=8)
            one.run()
            one.explain("a")
            one.explain("b")  # replaces the first explanation
        assert [entry["hit"] for entry in one.log][-2:] == [True, False]
        assert "1 of 2 predictions held" in (one.summary if kept else Predict.summary.fget(one))
        assert {entry["why"] for entry in one.log} == {"b"}


@pytest.mark.parametrize(("low", "high", "hit"), [(5, 9, True), (1, 5, True), (5.1, 9, False), (1, 4.9, False)])
def test_the_range_includes_its_ends_and_the_mean_counts(low, high, hit):
    one = card([4, 6])
    one.predict((low + high) / 2, low=low, high=high)
    one.run()
    assert one.hit is hit


def test_choices():
    one = card("grey", choices=["grey", "red"])
    one.predict("red")
    one.run()
    assert one.hit is False
    assert "Not as you expected" in one.summary
    assert one.plot().caption == "Predicted (◆): red. Measured: grey."
    most = card(["red", "red", "grey"], choices=["grey", "red"])
    most.predict("red")
    most.run()
    assert most.hit is True


def test_a_number_without_a_range_is_compared_but_not_judged():
    one = card(5)
    one.predict("3,5")  # as it is written in many countries
    assert one.prediction == {"guess": 3.5}
    one.run()
    assert one.hit is None
    assert one.summary.startswith("Compare.")


@pytest.mark.parametrize(
    ("options", "prediction", "says"),
    [
        ({}, {"guess": "many"}, "guess is 'many', but must be a number"),
        ({}, {"guess": float("nan")}, "must be a number"),
        ({}, {"guess": 1, "low": 0}, "both low and high"),
        ({}, {"guess": 1, "low": 2, "high": 3}, "in this order"),
        ({"choices": ["a", "b"]}, {"guess": "c"}, "'c' is not one of the choices a, b"),
    ],
)
def test_what_is_no_prediction_is_refused(options, prediction, says):
    one = card(**options)
    with pytest.raises(ValueError, match=says):
        one.predict(**prediction)
    assert one.state["locked"]


def test_what_is_no_question_is_refused():
    with pytest.raises(ValueError, match="must be a function"):
        Predict("?", 3)
    with pytest.raises(ValueError, match="at least two"):
        Predict("?", int, choices=["one"])
    with pytest.raises(ValueError, match="nothing to draw"):
        card().plot()
    one = card("blue", choices=["a", "b"])
    one.predict("a")
    with pytest.raises(ValueError, match="not among the choices"):
        one.run()
    one = card()
    one.predict(1)
    one.run()
    with pytest.raises(ValueError, match="one sentence"):
        one.explain("  ")

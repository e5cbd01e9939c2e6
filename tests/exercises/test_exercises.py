"""The checks are checked: every known mistake is rejected under its own name, every right answer is accepted."""

from __future__ import annotations

import ast
import inspect
import runpy
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from sslkit import exercises
from sslkit.exercises import IDS, Exercise, Probe, check, find
from sslkit.exercises._framework import Zoo, judge

FILES = {path.stem: runpy.run_path(str(path)) for path in sorted(Path(__file__).with_name("answers").glob("*.py"))}
ANSWERS = {id: answer for file in FILES.values() for id, answer in file["ANSWERS"].items()}
VARIANTS = [
    (id, variant) for file in FILES.values() for id, variants in file["VARIANTS"].items() for variant in variants
]
MISTAKES = [(id, mistake) for id in IDS for mistake in find(id).mistakes]


@pytest.fixture(autouse=True)
def one_thread():
    """Tensors of a few numbers: a second thread only waits."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def stub(exercise: Exercise):
    """The function a notebook shows, as Python sees it after the cell has run."""
    names = {}
    exec(exercise.stub, names)
    return names[ast.parse(exercise.stub).body[0].name]


# --- the exercises ------------------------------------------------------------------------------------------


def test_two_exercises_for_each_of_the_first_seven_notebooks():
    assert IDS[:14] == tuple(f"{number:02d}{letter}" for number in range(7) for letter in "ab")
    assert all(find(id).id == id for id in IDS)


def test_the_zoo_is_large():
    assert len(MISTAKES) >= 40
    assert all(len(find(id).mistakes) >= 5 for id in IDS)


@pytest.mark.parametrize("id", IDS)
def test_stub_is_not_attempted_yet(id, capsys):
    result = check(id, stub(find(id)))
    assert capsys.readouterr().out == f"{id}: not attempted yet.\n"
    assert not result
    assert result.mistake is None
    assert "not attempted" in repr(result)


@pytest.mark.parametrize("id", IDS)
def test_stub_and_reference_answer_have_the_same_name_and_arguments(id):
    asked, answer = stub(find(id)), ANSWERS[id]
    assert asked.__name__ == answer.__name__
    assert inspect.signature(asked) == inspect.signature(answer)
    assert asked.__doc__
    assert asked.__name__ in find(id).prompt
    assert find(id).stub.rstrip().splitlines()[-1].startswith("    return None  # your line")


@pytest.mark.parametrize("id", IDS)
def test_words_for_people_are_sentences(id):
    exercise = find(id)
    for text in (exercise.prompt, exercise.verified, exercise.usual, *(m.hint for m in exercise.mistakes)):
        assert text.endswith((".", "?"))
        assert "  " not in text
    assert 5 <= exercise.minutes <= 15


@pytest.mark.parametrize("id", IDS)
def test_the_reference_raises_nothing_and_gives_finite_numbers(id):
    exercise = find(id)
    for probe in exercise.probes:
        facts = exercise.observe(exercise.reference, probe)
        assert "error" not in facts
        assert all(
            bool(torch.as_tensor(v).double().isfinite().all()) for v in facts.values() if isinstance(v, torch.Tensor)
        )
        assert facts.get("inputs left unchanged", True)


# --- the checks ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("id", "mistake"), MISTAKES, ids=[f"{id}: {m.name}" for id, m in MISTAKES])
def test_every_mistake_is_rejected_under_its_own_name(id, mistake, capsys):
    result = check(id, mistake.wrong)
    assert not result
    assert result.mistake == mistake.name
    assert capsys.readouterr().out == f"{id}: not yet. This equals {mistake.name}. {mistake.hint}\n"


@pytest.mark.parametrize("id", IDS)
def test_names_of_mistakes_are_different(id):
    names = [mistake.name for mistake in find(id).mistakes]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("id", IDS)
def test_every_reference_answer_is_accepted(id, capsys):
    result = check(id, ANSWERS[id])
    assert result
    assert result.mistake is None
    assert capsys.readouterr().out == f"{id}: correct. {find(id).verified}\n"


@pytest.mark.parametrize(("id", "variant"), VARIANTS, ids=[f"{id}: {v.__name__}" for id, v in VARIANTS])
def test_every_right_way_of_writing_it_is_accepted(id, variant):
    assert judge(find(id), variant).message == f"{id}: correct. {find(id).verified}"


@pytest.mark.parametrize("id", [id for id in IDS if find(id).tolerance < 0.01])
def test_no_mistake_is_close_to_right(id):
    """Each mistake would still be rejected if the tolerance were ten times larger."""
    exercise = find(id)
    for mistake in exercise.mistakes:
        loose = Exercise(**{**vars(exercise), "tolerance": 10 * exercise.tolerance, "mistakes": [mistake]})
        assert judge(loose, mistake.wrong).mistake == mistake.name


@pytest.mark.parametrize("id", ["01b", "02b", "05b"])
def test_random_answers_do_not_depend_on_luck(id):
    """Where a student draws at random, the verdict holds whatever the random numbers are."""
    exercise, answer = find(id), ANSWERS[id]
    for salt in range(20):

        def salted(*args, generator, salt=salt, **kwargs):
            seed = int(torch.randint(2**31, (), generator=generator)) + salt
            return answer(*args, generator=torch.Generator().manual_seed(seed), **kwargs)

        assert judge(exercise, salted), salt


def test_a_split_is_judged_alike_whatever_is_drawn():
    exercise, answer = find("12a"), ANSWERS["12a"]
    careless = next(mistake for mistake in exercise.mistakes if "draw again" in mistake.name)
    for salt in range(12):

        def salted(groups, generator, share, salt=salt):
            seed = int(torch.randint(2**31, (), generator=generator)) + salt
            return answer(groups, torch.Generator().manual_seed(seed), share)

        assert judge(exercise, salted), salt
        torch.manual_seed(salt)
        assert judge(exercise, careless.wrong).mistake == careless.name, salt


# --- what a check says when it knows no name for it ---------------------------------------------------------


def nt_xent(z1, z2, *, temperature=0.5):
    return ANSWERS["03a"](z1, z2, temperature=temperature)


def says(student, id="03a"):
    result = judge(find(id), student)
    assert not result
    assert result.mistake is None
    return result.message


def test_a_wrong_value_is_shown_beside_the_right_one():
    exercise = find("03a")
    args, kwargs = exercise.probes[0].make()
    right = float(exercise.reference(*args, **kwargs))
    message = says(lambda z1, z2, *, temperature: 1.25 * nt_xent(z1, z2, temperature=temperature))
    assert f"value: yours {1.25 * right:.4g}, expected {right:.4g}." in message
    assert "With 4 pairs in 3 dimensions, temperature 0.5" in message


def test_it_says_on_how_many_inputs_it_agrees():
    def only_small(z1, z2, *, temperature):
        return nt_xent(z1, z2, temperature=temperature) + (len(z1) > 6)

    assert f"It agrees on {len(find('03a').probes) - 1} of {len(find('03a').probes)} inputs." in says(only_small)


def test_a_wrong_gradient_is_found_though_the_value_is_right():
    def scaled(z1, z2, *, temperature):
        loss = nt_xent(z1, z2, temperature=temperature)
        return loss.detach() + 0.5 * (loss - loss.detach())

    assert "gradient of input 1" in says(scaled)


def test_a_plain_number_has_no_gradient():
    result = judge(find("03a"), lambda z1, z2, *, temperature: nt_xent(z1, z2, temperature=temperature).item())
    assert (not result and "gradient" in result.message) or "any gradient" in result.message


def test_an_input_that_is_changed_is_found():
    def greedy(z1, z2, *, temperature):
        loss = nt_xent(z1.clone(), z2.clone(), temperature=temperature)
        z2.mul_(2)
        return loss

    assert "inputs left unchanged: yours no, expected yes" in says(greedy)


def test_a_wrong_dtype_and_a_wrong_shape_are_found():
    assert "dtype" in says(lambda z1, z2, *, temperature: nt_xent(z1, z2, temperature=temperature).half().double())
    message = says(lambda z1, z2, *, temperature: nt_xent(z1, z2, temperature=temperature)[None])
    assert "shape of value: yours (1,), expected ()" in message


def test_an_overflow_alone_is_named():
    def overflows_quietly(z1, z2, *, temperature):
        loss = nt_xent(z1, z2, temperature=temperature)
        return loss if temperature > 0.01 else loss * torch.inf

    result = judge(find("03a"), overflows_quietly)
    assert "overflows" in result.mistake
    assert "Besides, with 6 pairs in 8 dimensions, temperature 0.005, value: yours inf" in result.message


def test_a_mistake_is_named_though_an_overflow_hides_it():
    """The usual first attempt: exp and log by hand, and something else wrong as well."""

    def self_left_in(z1, z2, *, temperature):
        z = F.normalize(torch.cat([z1, z2]), dim=1)
        e = (z @ z.T / temperature).exp()
        return -(e.roll(len(z1), dims=1).diagonal() / e.sum(dim=1)).log().mean()

    result = judge(find("03a"), self_left_in)
    assert result.mistake == "NT-Xent with the self-similarity left in"
    assert "Besides, with" in result.message
    assert "temperature 0.005" in result.message


def test_a_mistake_is_named_though_some_inputs_stop_it():
    def doubled_and_even_only(z1, z2, *, temperature):
        assert len(z1) % 2 == 0, "even batches only"
        return 2 * nt_xent(z1, z2, temperature=temperature)

    result = judge(find("03a"), doubled_and_even_only)
    assert result.mistake == "the sum of the means of the two views"
    assert "it stopped with AssertionError: even batches only" in result.message


def test_of_a_large_output_the_worst_place_is_shown():
    def slightly_off(size, top, height, out, *, flip=False):
        matrix = ANSWERS["02a"](size, top, height, out, flip=flip)
        matrix[0, 1] += 0.5
        return matrix

    assert "matrix at [0, 1]: yours 0.5, expected 0" in says(slightly_off, "02a")


# --- what a student may hand in -----------------------------------------------------------------------------


def test_an_exception_is_shown_with_the_students_line():
    def broken(z1, z2, *, temperature=0.5):
        z = torch.cat([z1, z2])
        return z @ z / temperature

    message = says(broken)
    assert "`return z @ z / temperature`" in message
    assert "RuntimeError" in message
    assert f"line {broken.__code__.co_firstlineno + 2}" in message
    assert "\n" not in message


def test_an_exception_of_a_notebook_cell_is_shown_with_its_line():
    """IPython keeps the text of its cells where Python looks for the lines of files; so does this."""
    import linecache

    cell = "def broken(z1, z2, *, temperature=0.5):\n    return z1 @ z2.T / undefined\n"
    linecache.cache["<cell 7>"] = (len(cell), None, cell.splitlines(keepends=True), "<cell 7>")
    names = {}
    exec(compile(cell, "<cell 7>", "exec"), names)
    message = says(names["broken"])
    assert "in line 2, `return z1 @ z2.T / undefined`, with NameError: name 'undefined' is not defined." in message


def test_wrong_arguments_are_said_with_the_call_that_was_made():
    message = says(lambda z1: z1)
    assert "my_nt_xent(z1, z2, *, temperature=0.5)" in message
    assert "TypeError" in message


def test_a_mask_that_fits_one_batch_only_is_caught():
    def one_size(z1, z2, *, temperature):
        if len(z1) != 4:
            raise ValueError("mask of shape (8, 8)")
        return nt_xent(z1, z2, temperature=temperature)

    assert "With 3 pairs" in says(one_size)
    assert "mask of shape (8, 8)" in says(one_size)


@pytest.mark.parametrize("error", [AssertionError(), RecursionError("deep"), IndexError("a\nb"), StopIteration()])
def test_nothing_that_a_student_raises_escapes(error):
    def raises(z1, z2, *, temperature):
        raise error

    assert type(error).__name__ in says(raises)


def test_work_without_return_is_not_called_not_attempted():
    def forgot(z1, z2, *, temperature=0.5):
        loss = nt_xent(z1, z2, temperature=temperature)  # noqa: F841

    assert says(forgot) == "03a: your function gives nothing back. Is there a `return`?"


def test_every_kind_of_stub_is_not_attempted_yet():
    def passes(z1, z2, *, temperature=0.5):
        """Words."""
        pass

    def dots(z1, z2, *, temperature=0.5): ...

    def not_implemented(z1, z2, *, temperature=0.5):
        raise NotImplementedError("your turn")

    for nothing in (passes, dots, not_implemented, None, lambda *args, **kwargs: None):
        assert says(nothing) == "03a: not attempted yet."


def test_a_constant_is_an_attempt():
    assert "expected" in says(lambda score, baselines: 0.0, "00a")


@pytest.mark.parametrize("value", [torch.tensor(1.0), 3.5, "nt_xent", [nt_xent]])
def test_a_value_instead_of_a_function(value):
    assert "give the function itself" in says(value)


@pytest.mark.parametrize("returned", ["text", {"loss": 1.0}, object(), (torch.ones(2), torch.ones(3))])
def test_strange_return_values_are_one_sentence(returned):
    for id in ("00b", "01a", "03a"):
        assert "expected" in says(lambda *args, **kwargs: returned, id)


def test_any_callable_is_welcome():
    class Loss:
        def __call__(self, z1, z2, *, temperature):
            return nt_xent(z1, z2, temperature=temperature)

    assert judge(find("03a"), Loss())
    assert judge(find("03a"), partial(nt_xent))
    assert judge(find("00b"), np.vectorize(lambda row: 0)).passed is False


def test_two_mistakes_at_once_have_no_name_but_a_reason():
    def twice_wrong(z1, z2, *, temperature):
        z = torch.cat([z1, z2])
        return F.cross_entropy(z @ z.T / temperature, torch.arange(len(z)).roll(len(z1)))

    assert "expected" in says(twice_wrong)


def test_unknown_exercise_names_the_nearest():
    with pytest.raises(ValueError, match=r"Unknown exercise '03c'.*Did you mean '03"):
        check("03c", nt_xent)
    assert find("3a") is find("03a")


def test_the_notebooks_random_numbers_are_not_touched():
    torch.manual_seed(3)
    expected = torch.rand(5)
    torch.manual_seed(3)
    check(
        "02b", lambda n_images, *, n_views, limit, generator: torch.randint(-limit, limit + 1, (n_views, n_images, 2))
    )
    check("02b", ANSWERS["02b"])
    assert torch.equal(torch.rand(5), expected)


def test_what_is_printed_is_the_same_every_time(capsys):
    for id in IDS:
        check(id, lambda *args, **kwargs: torch.ones(3))
        first = capsys.readouterr().out
        check(id, lambda *args, **kwargs: torch.ones(3))
        assert capsys.readouterr().out == first
        assert first.count("\n") == 1


def test_result_shows_itself_without_trusting_its_text():
    def broken(z1, z2, *, temperature):
        raise ValueError("<script>alert(1)</script>")

    page = judge(find("03a"), broken)._repr_html_()
    assert "<script>" not in page
    assert "<details>" in page
    assert page.count("<tr>") == len(find("03a").probes)
    zoo = Zoo()
    zoo.add("<b>bold</b>", "Hint.", lambda: 2.0)
    bold = Exercise("99a", "", "def f():", lambda: 1.0, (Probe("<i>", lambda: ((), {})),), zoo, "", "")
    result = judge(bold, lambda: 2.0)
    assert result.mistake == "<b>bold</b>"
    assert "<b>" not in result._repr_html_()
    assert "<i>" not in result._repr_html_()


def test_a_result_without_details_leaves_no_gap_in_a_notebook(monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.display.display", shown.append)
    judge(find("03a"), lambda *args, **kwargs: None)._ipython_display_()  # not attempted: the verdict has been printed
    assert shown == []
    judge(find("03a"), lambda *args, **kwargs: torch.ones(()))._ipython_display_()
    assert "<details>" in shown[0].data


def test_exercises_load_nothing_heavy():
    code = (
        "import sys, sslkit.exercises as e\n"
        "for id in e.IDS: e.find(id)\n"
        "print([m for m in ('torchvision', 'matplotlib', 'sklearn', 'ipywidgets', 'PIL') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_only_check_prints(capsys):
    for id in IDS:
        judge(find(id), ANSWERS[id])
    assert capsys.readouterr().out == ""
    assert set(exercises.__all__) >= {"check", "find", "IDS"}

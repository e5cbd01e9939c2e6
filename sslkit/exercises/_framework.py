"""How a check works: everybody's function is reduced to facts, and facts are compared.

A student whose facts equal the reference's on every probe is right. A student whose facts equal those of a known
mistake on every probe has made that mistake. Anyone else hears the first fact that differs, with both values.
"""

from __future__ import annotations

import dis
import html
import linecache
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sslkit.exercises._facts import Probe, WrongReturn, contrast, observe, said, same


@dataclass(frozen=True)
class Mistake:
    """A wrong answer that people really give: what it is, where to look, and the function that makes it."""

    name: str  # completes the sentence "This equals ..."
    hint: str  # a sentence or two for the student
    wrong: Callable


class Zoo(list[Mistake]):
    """The known mistakes of one exercise: `zoo.add(name, hint, wrong)`, or `@zoo.keep(name, hint)` above a function."""

    def add(self, name: str, hint: str, wrong: Callable) -> None:
        self.append(Mistake(name, hint, wrong))

    def keep(self, name: str, hint: str) -> Callable[[Callable], None]:
        return lambda wrong: self.add(name, hint, wrong)


@dataclass(frozen=True)
class Exercise:
    """One task of a notebook: what is asked, on what it is tried, what is right, what goes wrong."""

    id: str  # "03a": notebook 03, first exercise
    prompt: str  # the task in one sentence
    stub: str  # the code that the notebook shows; it returns None
    reference: Callable
    probes: tuple[Probe, ...]
    mistakes: Sequence[Mistake]
    verified: str  # what "correct" has verified, a sentence
    usual: str  # the usual mistake, for the teacher
    minutes: int = 10
    tolerance: float = 1e-4  # relative, and absolute below 1
    facts: Callable[[Callable, Probe], dict] | None = None  # None: `observe`, with the three settings below
    outputs: tuple[str, ...] = ("value",)  # what the function returns, in words
    gradient: bool = False  # compare gradients with respect to the arguments
    dtype: bool = False  # compare the dtypes of the outputs

    def observe(self, function: Callable, probe: Probe) -> dict:
        """All facts of `function` on `probe`; whatever it raises becomes the fact "error"."""
        try:
            if self.facts is not None:
                return self.facts(function, probe)
            return observe(function, probe, outputs=self.outputs, gradient=self.gradient, dtype=self.dtype)
        except Exception as error:
            return {"error": error}

    def difference(self, yours: dict, expected: dict) -> str | None:
        """The first fact that differs, or None. An error comes before everything."""
        facts = ("error", *expected)
        return next((f for f in facts if not same(yours.get(f), expected.get(f), self.tolerance)), None)


@dataclass(frozen=True)
class Result:
    """What a check found. It counts as true when the exercise is solved."""

    exercise: str
    passed: bool
    mistake: str | None  # the name of the known mistake, if it is one
    message: str  # what was printed
    rows: tuple[tuple[str, str], ...] = ()  # for every probe: what it is, and what differs

    def __bool__(self) -> bool:
        return self.passed

    def __repr__(self) -> str:
        state = "correct" if self.passed else self.mistake or ("not yet" if self.rows else "not attempted")
        return f"{self.exercise}: {state}"

    def _repr_html_(self) -> str:
        """The probes one by one, folded away. The verdict has been printed already, so there may be nothing to add."""
        if not self.rows:
            return ""
        cells = (f"<td>{html.escape(what)}</td><td>{html.escape(found)}</td>" for what, found in self.rows)
        table = "".join(f"<tr>{row}</tr>" for row in cells)
        return f"<details><summary>The {len(self.rows)} inputs, one by one</summary><table>{table}</table></details>"

    def _ipython_display_(self) -> None:
        """Nothing at all where there is nothing to add: an empty HTML output would leave a gap."""
        if self.rows:
            from IPython.display import HTML, display

            display(HTML(self._repr_html_()))


def judge(exercise: Exercise, student: object) -> Result:
    """Compare `student` with the reference and the known mistakes; whatever the student's code does, this returns."""

    def result(message: str, *, passed: bool = False, mistake: str | None = None) -> Result:
        return Result(exercise.id, passed, mistake, f"{exercise.id}: {message}", rows)

    rows = ()
    if student is None:
        return result("not attempted yet.")
    if not callable(student):
        kind = type(student).__name__
        return result(f"give the function itself, without brackets after its name (this is a value of type {kind}).")

    with torch.random.fork_rng(devices=[]):  # a check must not change what the notebook draws next
        yours = [exercise.observe(student, exercise.probes[0])]
        value = next(iter(yours[0].values()))
        if _is_stub(student) and (value is None or isinstance(value, NotImplementedError)):
            return result("not attempted yet.")
        if value is None:
            return result("your function gives nothing back. Is there a `return`?")
        yours += [exercise.observe(student, probe) for probe in exercise.probes[1:]]
        expected = [exercise.observe(exercise.reference, probe) for probe in exercise.probes]
        facts = [exercise.difference(y, e) for y, e in zip(yours, expected)]
        found = [f and contrast(f, y.get(f), e.get(f)) for f, y, e in zip(facts, yours, expected)]
        rows = tuple((probe.what, f or "the same") for probe, f in zip(exercise.probes, found))
        if not any(found):
            return result(f"correct. {exercise.verified}", passed=True)
        mistake, unexplained = _recognise(exercise, yours, [f is not None for f in facts])

    if mistake:
        besides = "" if unexplained is None else " Besides, with " + ", ".join(rows[unexplained]) + "."
        return result(f"not yet. This equals {mistake.name}. {mistake.hint}{besides}", mistake=mistake.name)
    first = next(i for i, f in enumerate(facts) if f)
    what, fact, good = exercise.probes[first].what, facts[first], facts.count(None)
    agrees = f" It agrees on {good} of {len(facts)} inputs." if good else ""
    if fact == "error":
        return result(f"not yet. With {what}, {_stopped(yours[first]['error'], student, exercise)}{agrees}")
    advice = next((text for start, text in ADVICE.items() if fact.startswith(start)), "")
    return result(f"not yet. With {what}, {found[first]}.{agrees}{advice}")


def _recognise(exercise: Exercise, yours: list[dict], differs: list[bool]) -> tuple[Mistake | None, int | None]:
    """The known mistake with these facts, and the first probe that it does not explain.

    Where numbers overflowed or code stopped, one mistake may hide another: at last such probes are left out.
    """
    everywhere = [i for i in range(len(yours)) if any("error" not in facts for facts in yours)]
    finite = [i for i in everywhere if all(_finite(fact) for fact in yours[i].values())]
    if not any(differs[i] for i in finite):  # right wherever it runs: what remains can only be an overflow
        finite = [] if any("error" in facts for facts in yours) else finite
    for probes in (everywhere, finite):
        for mistake in exercise.mistakes if probes else ():
            theirs = (exercise.observe(mistake.wrong, exercise.probes[i]) for i in probes)
            if all(exercise.difference(yours[i], t) is None for i, t in zip(probes, theirs)):
                return mistake, next((i for i in everywhere if i not in probes), None)
    return None, None


def _finite(fact: object) -> bool:
    if isinstance(fact, Tensor) and fact.is_floating_point():
        return bool(fact.isfinite().all())
    return not isinstance(fact, Exception)


ADVICE = {
    "gradient": " Nothing is learnt without the gradient: is something detached, rounded, or made a plain number?",
    "inputs": " Something writes into the caller's tensor: make a new one, without `+=`, `/=` or names that end in _.",
    "dtype": " Mind the dtype: it should follow from what came in.",
}


def _is_stub(function: Callable) -> bool:
    """True if the body does nothing: a docstring, `pass`, `...`, `return None` or `raise NotImplementedError`."""
    code = getattr(function, "__code__", None)
    if code is None or "NotImplementedError" in code.co_names:
        return code is not None
    idle = {"RESUME", "NOP", "POP_TOP", "LOAD_CONST", "RETURN_CONST", "RETURN_VALUE"}
    return all(instruction.opname in idle for instruction in dis.get_instructions(code))


def _stopped(error: Exception, student: Callable, exercise: Exercise) -> str:
    """What Python said, and the student's own line where it was said."""
    if isinstance(error, WrongReturn):
        return f"your function gives back {error}."
    file = getattr(getattr(student, "__code__", None), "co_filename", None)
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    if not lines:  # it never got inside
        signature = exercise.stub.removeprefix("def ").split("\n", 1)[0].rstrip(":")
        return f"`{signature}` stopped with {said(error)}."
    line = linecache.getline(file, lines[-1]).strip()
    return f"your function stopped in line {lines[-1]}, `{line}`, with {said(error)}."

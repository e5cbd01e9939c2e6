"""Exercises of the course: `check("03a", my_function)` says whether it is right, and if not, which mistake it is.

A stub that returns None is "not attempted yet": a notebook always runs to its end, solved or not.
Each notebook's two exercises live in a file of their own, with the known mistakes beside the reference.
"""

from __future__ import annotations

from importlib import import_module

from sslkit.errors import unknown
from sslkit.exercises._facts import Probe
from sslkit.exercises._framework import Exercise, Mistake, Result, judge

NOTEBOOKS = {
    "00": "_00_start_here",
    "01": "_01_why_self_supervision",
    "02": "_02_views",
    "03": "_03_contrastive_loss",
    "04": "_04_train_simclr",
    "05": "_05_look_at_embeddings",
    "06": "_06_linear_probing",
    "07": "_07_collapse_and_regularisation",
    "08": "_08_without_negatives",
    "09": "_09_what_views_teach",
    "10": "_10_generative_roots",
    "11": "_11_method_race",
    "12": "_12_your_pictures",
    "13": "_13_scale_up",
    "14": "_14_beyond_pictures",
}
IDS = tuple(number + letter for number in NOTEBOOKS for letter in "ab")

__all__ = ["IDS", "Exercise", "Mistake", "Probe", "Result", "check", "find"]


def find(exercise: str) -> Exercise:
    """The exercise of that id, for example "03a": its prompt, its stub, its probes and its known mistakes.

    Raises ValueError if there is no such exercise.
    """
    exercise = str(exercise).zfill(3)  # "3a" is "03a"
    if exercise not in IDS:
        raise unknown("exercise", exercise, IDS)
    return import_module(f"sslkit.exercises.{NOTEBOOKS[exercise[:2]]}").EXERCISES["ab".index(exercise[2])]


def check(exercise: str, student: object) -> Result:
    """Try a student's function on the exercise's inputs, print the verdict in a sentence or two, and return it.

    The verdict is "not attempted yet" (the stub still returns None), "correct" with what was verified, the known
    mistake that gives exactly what the student's function gives, or the first fact that differs, with both numbers.
    An error inside the student's function is part of the verdict. The notebook's random state stays as it was.

    Raises ValueError if there is no such exercise.
    """
    result = judge(find(exercise), student)
    print(result.message)
    return result

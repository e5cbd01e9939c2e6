"""The table of an evaluation: a row for each measurement, a column for each set of features."""

import json
from html import escape
from textwrap import fill

from torch import Tensor

from sslkit.errors import unknown
from sslkit.evaluation._score import Score

WIDTH = 80


class Table:
    """Scores by measurement and by features: `table["linear probe", "this encoder"].value`.

    columns: {features: {measurement: Score or number}}. caption: what was measured. notes: sentences that belong to it.
    collapse: {features: the report of `collapse`}. Printed, it is 80 characters wide; a notebook shows it as HTML;
    `to_dict()` has plain types only.
    """

    def __init__(self, caption: str = ""):
        self.caption, self.notes, self.columns, self.collapse = caption, [], {}, {}

    def add(self, name: str, scores: dict[str, Score | float]) -> None:
        """Add a column, or more scores to the column of that name."""
        self.columns.setdefault(name, {}).update(scores)

    @property
    def best_baseline(self) -> tuple[float, str, str]:
        """The highest linear probe or kNN beside the first column: value, measurement, column."""
        _, *others = self.columns
        return max((float(self[row, name]), row, name) for row in ("linear probe", "kNN") for name in others)

    @property
    def measurements(self) -> list[str]:
        """The names of the rows."""
        return list(dict.fromkeys(measurement for column in self.columns.values() for measurement in column))

    def __getitem__(self, key: tuple[str, str]) -> Score | float:
        measurement, name = key
        if name not in self.columns:
            raise unknown("column", name, self.columns)
        if measurement not in self.columns[name]:
            raise unknown("measurement", measurement, self.columns[name])
        return self.columns[name][measurement]

    def __str__(self) -> str:
        """Text. "0.74 ±0.02" is a value and half the width of its interval."""
        rows = self.measurements
        labels = [row.ljust(max(map(len, rows), default=0)) for row in ("", "", *rows)]
        blocks = [labels]
        for name, column in self.columns.items():
            first, _, last = name.rpartition(" ")
            cells = [first, last, *(_cell(column.get(row), "{0.value:z.2f} ±{1:.2f}") for row in rows)]
            cells = [cell.rjust(2 + max(map(len, cells))) for cell in cells]
            if len(blocks[-1][0] + cells[0]) > WIDTH:  # go on below
                blocks.append(labels)
            blocks[-1] = [line + cell for line, cell in zip(blocks[-1], cells)]
        lines = ["\n".join(map(str.rstrip, block)) for block in blocks if rows]
        notes = [fill(note, WIDTH, initial_indent="- ", subsequent_indent="  ") for note in self.notes]
        return "\n\n".join(filter(None, [fill(self.caption, WIDTH), *lines, "\n".join(notes)]))

    __repr__ = __str__

    def _repr_html_(self) -> str:
        def row(head: str, scores: list) -> str:
            best = max((float(s) for s in scores if s is not None and float(s) == float(s)), default=None)
            marks = [
                "<b>{}</b>" if s is not None and float(s) == best else "{}" for s in scores
            ]  # the highest of a row
            cells = "".join(f"<td>{mark.format(_cell(s, '{0}'))}</td>" for s, mark in zip(scores, marks))
            return f'<tr><th scope="row">{escape(head)}</th>{cells}</tr>'

        head = "".join(f'<th scope="col">{escape(name)}</th>' for name in ("measurement", *self.columns))
        columns = self.columns.values()
        body = "".join(row(name, [column.get(name) for column in columns]) for name in self.measurements)
        notes = "".join(f"<li>{escape(note)}</li>" for note in self.notes)
        caption = f"<caption>{escape(self.caption)}</caption>"
        return f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table><ul>{notes}</ul>"

    def to_dict(self) -> dict:
        """Everything as dictionaries, lists, numbers and strings. What could not be measured is None."""
        text = json.dumps(vars(self), default=lambda item: item.tolist() if isinstance(item, Tensor) else vars(item))
        return json.loads(text, parse_constant=lambda nan: None)


def _cell(score: Score | float | None, form: str) -> str:
    if score is None or float(score) != float(score):
        return "–"
    return form.format(score, (score.high - score.low) / 2) if isinstance(score, Score) else f"{score:z.2f}"

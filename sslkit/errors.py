"""Errors that teach: one sentence that says what came, what was expected and what to do."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def unknown(kind: str, name: object, known: Iterable[str]) -> ValueError:
    """The error for a name that nobody knows, with the nearest known name as a suggestion.

    >>> unknown("method", "simclear", ["simclr", "vicreg"])
    ValueError("Unknown method 'simclear'. Did you mean 'simclr'? Known: simclr, vicreg.")
    """
    known = sorted(known)
    near = get_close_matches(str(name).lower(), known, n=1, cutoff=0.5)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return ValueError(f"Unknown {kind} {name!r}.{hint} Known: {', '.join(known)}.")


def require(condition: object, message: str, error: type[Exception] = ValueError) -> None:
    """Raise `error` with this sentence unless the condition holds."""
    if not condition:
        raise error(message)

"""Facts: what a function does, reduced to names and values that can be compared and shown.

Whoever wrote a function (a student, the reference, the zoo of mistakes), the same facts are taken of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Probe:
    """One set of inputs. `make` builds them anew at every call, so that nobody can spoil them for the next."""

    what: str  # completes the sentence "With ..."
    make: Callable[[], tuple[tuple, dict]]  # -> positional and keyword arguments


def randn(seed: int, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Numbers for a probe: the same in every run."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def observe(function: Callable, probe: Probe, *, outputs: tuple[str, ...], gradient: bool, dtype: bool) -> dict:
    """The facts about a pure function of tensors: outputs, perhaps their dtypes and gradients, and untouched inputs."""
    args, kwargs = probe.make()
    before, _ = probe.make()
    returned = function(*args, **kwargs)
    if returned is None:
        return {outputs[0]: None}
    facts = dict(zip(outputs, _as_tensors(returned, len(outputs))))
    if dtype:
        facts |= {f"dtype of {name}": str(value.dtype).removeprefix("torch.") for name, value in facts.items()}
    facts["inputs left unchanged"] = all(same(a, b) for a, b in zip(args, before))
    return facts | (_gradients(function, probe) if gradient else {})


class WrongReturn(TypeError):
    """A function gave back something that cannot be compared; the text completes "it gives back ..."."""


def _as_tensors(returned: object, n: int) -> list[Tensor]:
    """What a function returned as `n` tensors; numbers, lists and NumPy arrays are welcome."""
    values = [returned] if n == 1 else list(returned) if isinstance(returned, (tuple, list)) else []
    if len(values) != n:
        raise WrongReturn(f"{_kind(returned)} where {n} values are expected")
    try:
        return [torch.as_tensor(value).detach() for value in values]
    except (TypeError, ValueError, RuntimeError):
        raise WrongReturn(f"{_kind(returned)} where numbers or tensors are expected") from None


def _kind(returned: object) -> str:
    size = f" of {len(returned)} values" if isinstance(returned, (tuple, list)) else ""
    return f"a {type(returned).__name__}{size}"


def _gradients(function: Callable, probe: Probe) -> dict:
    """The gradient of the output with respect to each argument: None if there is none, an error if there was one."""
    args, kwargs = probe.make()
    leaves = [a.requires_grad_() for a in args]
    names = [f"gradient of input {i + 1}" for i in range(len(leaves))]
    try:
        value = function(*(a.clone() for a in leaves), **kwargs)  # a clone may be written into, a leaf may not
        if not (isinstance(value, Tensor) and value.requires_grad):
            return dict.fromkeys(names)
        found = torch.autograd.grad(value.sum(), leaves, allow_unused=True)
    except Exception as error:
        return dict.fromkeys(names, error)
    return {name: torch.zeros_like(a) if g is None else g for name, a, g in zip(names, leaves, found)}


def same(a: object, b: object, tolerance: float = 0.0) -> bool:
    """Equal: numbers within the tolerance (relative, and absolute below 1), errors by their type, the rest exactly."""
    if isinstance(a, Exception) or isinstance(b, Exception):
        return type(a) is type(b)
    if not (isinstance(a, (Tensor, float)) and isinstance(b, (Tensor, float))):
        return type(a) is type(b) and a == b
    a, b = torch.as_tensor(a), torch.as_tensor(b)
    if a.shape != b.shape:
        return False
    if not (a.is_floating_point() or b.is_floating_point()):
        return torch.equal(a.long(), b.long())
    return torch.allclose(a.double(), b.double(), rtol=tolerance, atol=tolerance, equal_nan=True)


def contrast(name: str, yours: object, expected: object) -> str:
    """'value: yours 1.25, expected 1.5'; of larger tensors the place where they differ most."""
    if isinstance(yours, Exception):
        return f"it stopped with {said(yours)}" if name == "error" else f"{name}: stopped with {said(yours)}"
    if isinstance(yours, Tensor) and isinstance(expected, Tensor):
        if yours.shape != expected.shape:
            return f"shape of {name}: yours {tuple(yours.shape)}, expected {tuple(expected.shape)}"
        if yours.numel() > 8:
            gap = (yours.double() - expected.double()).abs().nan_to_num(nan=torch.inf)
            place = tuple(int(i) for i in torch.unravel_index(gap.argmax(), gap.shape))
            yours, expected, name = yours[place], expected[place], f"{name} at {list(place)}"
    return f"{name}: yours {show(yours)}, expected {show(expected)}"


def show(value: object) -> str:
    """A value in words or with four digits."""
    if isinstance(value, Tensor):
        return show(value.tolist())
    if isinstance(value, list):
        return "[" + ", ".join(show(v) for v in value) + "]"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "nothing" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)


def said(error: Exception) -> str:
    """The kind of an error and the first line of its text."""
    lines = str(error).strip().splitlines() or ["no message"]
    return f"{type(error).__name__}: {lines[0].rstrip('.')}"

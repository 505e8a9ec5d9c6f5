"""The source that a backend compiles."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable, Mapping
from types import FunctionType
from typing import Any

from ..engine.compose import Update
from ..kernels.cuda import source as cuda_c
from .backends import BACKENDS
from .cases import Case


def text_of(case: Case) -> str:
    """Return the source of a case.

    For CUDA C, the whole text: driver, traced rule, kernels. For Triton, only the rule: the
    functions of `gpuopt.rules`, in which ``np`` stands for Triton's exact operations; the kernels
    are in kernels/triton/kernels.py.
    """
    if BACKENDS[case.backend].suffix == ".cu":
        return _cuda_c(case)
    if case.adds_up:
        return f"# multi_tensor_{case.kernel} in kernels/triton/kernels.py, which has no rule\n"
    if case.variant == "advance":
        rule = case.update.rule
        assert rule.advance is not None
        return _named("advance", rule.advance)
    if case.measures:
        return textwrap.dedent(inspect.getsource(case.walked.function))
    return _python(case.update)


def _cuda_c(case: Case) -> str:
    if case.adds_up:
        return cuda_c.total_source()
    kernels = (cuda_c.UPDATE,) if case.measures else (cuda_c.COEFFICIENTS, cuda_c.UPDATE)
    return cuda_c.source(case.walked, case.list_dtypes, case.vectors, kernels)


def _python(update: Update) -> str:
    parts = ["# one element"]
    parts += _texts(update.callees)
    parts += [_wrapped(update.source), "# the coefficients of one tensor, in float64"]
    parts += [*_texts(update.coefficient_callees), _wrapped(update.coefficients_source)]
    return "\n\n".join(part.strip() + "\n" for part in parts)


def _texts(callees: Mapping[str, Callable[..., Any]]) -> list[str]:
    """Return the sources of functions by their names in the text, and of what they call."""
    shared = {n: f for function in callees.values() for n, f in _called_by(function).items()}
    functions: dict[str, Callable[..., Any]] = {**shared, **callees}
    return [_named(name, function) for name, function in functions.items()]


def _called_by(function: Callable[..., Any]) -> dict[str, FunctionType]:
    """Return the functions of its module that a function calls."""
    names = {name: function.__globals__.get(name) for name in function.__code__.co_names}
    own = {n: f for n, f in names.items() if isinstance(f, FunctionType)}
    return {n: f for n, f in own.items() if f.__module__ == function.__module__}


def _wrapped(text: str) -> str:
    """Wrap the lines of composed functions."""
    lines = []
    for line in text.splitlines():
        indent = " " * (len(line) - len(line.lstrip()))
        lines.append(textwrap.fill(line, 100, subsequent_indent=f"{indent}    "))
    return "\n".join(lines)


def _named(name: str, function: Callable[..., Any]) -> str:
    """Return a function's source, with an alias if it is called by another name."""
    text = textwrap.dedent(inspect.getsource(function))
    own = function.__code__.co_name
    return text if own == name else f"{text}\n\n{name} = {own}\n"

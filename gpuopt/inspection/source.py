"""The code that a backend compiles, as text to be read."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable
from typing import Any

from ..engine.compose import Update
from ..kernels.cuda import source as cuda_c
from .backends import BACKENDS
from .cases import Case


def text_of(case: Case) -> str:
    """Return what a case's backend compiles.

    For CUDA C, all of it: the driver, the traced rule, the kernels. For Triton, the rule as it
    sees it: the very functions of `gpuopt.rules`, with ``np`` for Triton's exact operations; its
    driver is kernels/triton/kernels.py.
    """
    if BACKENDS[case.backend].suffix == ".cu":
        kernels = (cuda_c.UPDATE,) if case.measures else (cuda_c.COEFFICIENTS, cuda_c.UPDATE)
        return cuda_c.source(case.walked, case.list_dtypes, case.vectors, kernels)
    if case.measures:
        return textwrap.dedent(inspect.getsource(case.walked.function))
    return _python(case.update)


def _python(update: Update) -> str:
    parts = ["# one element"]
    parts += [_named(name, function) for name, function in update.callees.items()]
    parts += [_wrapped(update.source), "# the coefficients of one tensor, in float64"]
    parts += [_named(name, function) for name, function in update.coefficient_callees.items()]
    parts.append(_wrapped(update.coefficients_source))
    return "\n\n".join(part.strip() + "\n" for part in parts)


def _wrapped(text: str) -> str:
    """Break the lines of composed functions, which nobody else reads."""
    lines = []
    for line in text.splitlines():
        indent = " " * (len(line) - len(line.lstrip()))
        lines.append(textwrap.fill(line, 100, subsequent_indent=f"{indent}    "))
    return "\n".join(lines)


def _named(name: str, function: Callable[..., Any]) -> str:
    """Return a function's text, and the name by which it is called below if that is another."""
    text = textwrap.dedent(inspect.getsource(function))
    own = function.__code__.co_name
    return text if own == name else f"{text}\n\n{name} = {own}\n"

"""Emit the operations of a trace as LLVM IR: correctly rounded, and never contracted."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from llvmlite import ir

from ..trace.operations import COMPARISONS, ROUNDINGS, Trace
from .roundings import rounding
from .vectors import broadcast, constant, intrinsic


def emit(builder: Any, traced: Trace, values: Mapping[str, Any], number: Any) -> list[Any]:
    """Emit the operations of a trace, and return its results.

    Args:
        builder: the IR builder.
        traced: the operations.
        values: the values of the arguments; for an element's index, its random word.
        number: the type in which the function computes.
    """
    known = dict(values)
    for operation in traced.operations:
        operands = tuple(
            known[x] if isinstance(x, str) else constant(number, x) for x in operation.operands
        )
        known[operation.result] = _operation(builder, operation.name, operands, number)
    return [known[name] for name in traced.results]


def uniform(traced: Trace, names: Sequence[str]) -> Trace:
    """Return the part of a trace that depends only on the given arguments."""
    known, kept = set(names), []
    for operation in traced.operations:
        if all(x in known for x in operation.operands if isinstance(x, str)):
            known.add(operation.result)
            kept.append(operation)
    return Trace(traced.function, kept, tuple(operation.result for operation in kept))


def without(traced: Trace, known: Sequence[str]) -> Trace:
    """Return a trace without the operations whose results are known."""
    left = [operation for operation in traced.operations if operation.result not in known]
    return Trace(traced.function, left, traced.results, traced.packed)


def _operation(builder: Any, name: str, operands: tuple[Any, ...], number: Any) -> Any:
    if name in ROUNDINGS:
        return rounding(builder, name, operands, number)
    operands = broadcast(builder, *operands)
    if name in COMPARISONS:
        compare = builder.fcmp_unordered if name == "!=" else builder.fcmp_ordered
        return compare(name, *operands)
    return _FUNCTIONS[name](builder, *operands)


def _extreme(name: str) -> Callable[..., Any]:
    """Return NumPy's maximum or minimum: NaN if either is, and b if equal, as on x86."""

    def function(builder: Any, a: Any, b: Any) -> Any:
        if isinstance(b, ir.Constant):  # never NaN
            return builder.select(builder.fcmp_unordered(name, a, b), a, b)
        beyond = builder.fcmp_ordered(name, a, b)
        is_nan = builder.fcmp_unordered("uno", a, a)
        return builder.select(builder.or_(beyond, is_nan), a, b)

    return function


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "+": lambda builder, a, b: builder.fadd(a, b),
    "-": lambda builder, a, b: builder.fsub(a, b),
    "*": lambda builder, a, b: builder.fmul(a, b),
    "divide": lambda builder, a, b: builder.fdiv(a, b),
    "-x": lambda builder, x: builder.fneg(x),
    "sqrt": lambda builder, x: intrinsic(builder, "sqrt", x),
    "abs": lambda builder, x: intrinsic(builder, "fabs", x),
    "maximum": _extreme(">"),
    "minimum": _extreme("<"),
    "where": lambda builder, condition, a, b: builder.select(condition, a, b),
}

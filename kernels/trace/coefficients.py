"""Run a function of coefficients on tracing values: the same list of exact operations.

Coefficients are computed in float64, once a tensor, so every number may stand in them; and
beside the operations of a rule there are two more, `power` and `real_power` of `gpuopt.rules`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from types import FunctionType
from typing import Any, ClassVar, TypeGuard

from .operations import ALLOWED, Operation, RuleError, Trace, Value, check_names, follow

POWERS = ("power", "real_power")
"""The functions that every compiler has a version of its own of."""

HOME = "gpuopt.rules.powers"
"""Where they stand."""

MOST = 2**53
"""The largest integer up to which float64 holds all of them."""


class Whole(Value):
    """A value that is an integer: the step, and sums and products of it with integers."""


class CoefficientTrace(Trace):
    """What a function of coefficients does to the step and the hyperparameters."""

    subject: ClassVar[str] = "a function of coefficients"
    allowed: ClassVar[str] = (
        f"{ALLOWED}, and power(base, step) of gpuopt.rules, and its real_power(base, exponent)"
    )
    instead_of_constants: ClassVar[str] = "write the number"

    def record(self, name: str, *operands: object) -> Value:
        """Append an operation and return its result."""
        result = super().record(name, *operands)
        integers = all(isinstance(x, Whole) or type(x) is int for x in operands)
        return Whole(self, result.name) if name in ("+", "-", "*") and integers else result

    def power(self, base: object, exponent: object) -> Value:
        """Record the power that `gpuopt.rules.power` computes."""
        if not isinstance(exponent, Whole):
            self.refuse(f"power with the exponent {_shown(exponent)}, which is not the step")
        return self.record("power", base, exponent)

    def real_power(self, base: object, exponent: object) -> Value:
        """Record the power that `gpuopt.rules.real_power` computes."""
        return self.record("real_power", base, exponent)

    def result(self, value: object) -> str:
        """Return the name of one of the results; a number becomes an operation."""
        if isinstance(value, Value) or not _is_number(value):
            return super().result(value)
        name = f"t{len(self.operations)}"
        self.operations.append(Operation("number", (float(value),), name))
        return name

    def _operand(self, name: str, operand: object) -> str | float:
        if isinstance(operand, Value):
            return operand.name
        if _is_number(operand):
            return float(operand)
        self.refuse(f"the constant {operand!r} beside {name}")


def trace_coefficients(
    function: Callable[..., Any], arguments: tuple[str, ...], step: str = "step"
) -> Trace:
    """Run a function of coefficients on named values and return what it did.

    Args:
        function: of the step and hyperparameters, or of hyperparameters alone.
        arguments: the names of its parameters.
        step: the name of the one among them that is an integer.

    Raises:
        RuleError: it used something that is not exactly rounded, with the name of it.
    """
    if not isinstance(function, FunctionType):
        raise RuleError(f"expected a Python function, got {function!r}")
    record = CoefficientTrace(function.__name__)
    check_names(record, function, POWERS, HOME)
    values = [(Whole if name == step else Value)(record, name) for name in arguments]
    return follow(record, function, values, {name: getattr(record, name) for name in POWERS})


def _is_number(value: object) -> TypeGuard[float]:
    """Whether a constant is a number that float64 holds."""
    if type(value) is int:
        return abs(value) <= MOST
    return type(value) is float and not math.isnan(value)


def _shown(value: object) -> str:
    return value.name if isinstance(value, Value) else repr(value)

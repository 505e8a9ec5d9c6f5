"""Trace a function of coefficients, like a rule.

Coefficients are computed in float64, so any constant is allowed. In addition to the operations of a
rule, they may use `power` and `real_power` of `gpuopt.rules`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from types import FunctionType
from typing import Any, ClassVar, TypeGuard

from .operations import ALLOWED, Operation, RuleError, Trace, Value, check_names, follow

POWERS = ("power", "real_power")
"""The additional functions that are allowed; each compiler has its own version."""

POWERS_MODULE = "gpuopt.rules.powers"
"""The module that defines them."""

MAX_INTEGER = 2**53
"""float64 represents all integers up to this one."""


class Integer(Value):
    """An integer value: the step, and its sums, differences and products with integers."""


class CoefficientTrace(Trace):
    """The operations of a function of coefficients."""

    subject: ClassVar[str] = "a function of coefficients"
    allowed: ClassVar[str] = (
        f"{ALLOWED}, and power(base, step) and real_power(base, exponent), "
        "by `from gpuopt.rules import power, real_power`"
    )
    instead_of_constants: ClassVar[str] = "write the number"
    instead_of_powers: ClassVar[str] = "write power(base, step)"

    def record(self, name: str, *operands: object) -> Value:
        """Append an operation and return its result."""
        result = super().record(name, *operands)
        integers = all(isinstance(x, Integer) or type(x) is int for x in operands)
        return Integer(self, result.name) if name in ("+", "-", "*") and integers else result

    def power(self, base: object, exponent: object) -> Value:
        """Record a call of `gpuopt.rules.power`."""
        if not isinstance(exponent, Integer):
            self.refuse(f"power with the exponent {_shown(exponent)}, which is not the step")
        return self.record("power", base, exponent)

    def real_power(self, base: object, exponent: object) -> Value:
        """Record a call of `gpuopt.rules.real_power`."""
        return self.record("real_power", base, exponent)

    def result(self, value: object) -> str:
        """Return the name of a result; a constant becomes an operation."""
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
        self.refuse(f"the constant {operand!r} as an operand of {name}")


def trace_coefficients(
    function: Callable[..., Any], arguments: tuple[str, ...], step: str = "step"
) -> Trace:
    """Return the trace of a function of coefficients.

    Args:
        function: a function of the step and hyperparameters, or only of hyperparameters.
        arguments: the names of its parameters.
        step: the parameter that is an integer.

    Raises:
        RuleError: it uses an operation that is not correctly rounded.
    """
    if not isinstance(function, FunctionType):
        raise RuleError(f"expected a Python function, got {function!r}")
    record = CoefficientTrace(function.__name__)
    check_names(record, function, POWERS, POWERS_MODULE)
    values = [(Integer if name == step else Value)(record, name) for name in arguments]
    return follow(record, function, values, {name: getattr(record, name) for name in POWERS})


def _is_number(value: object) -> TypeGuard[float]:
    """Return whether a constant is a number that float64 can represent."""
    if type(value) is int:
        return abs(value) <= MAX_INTEGER
    return type(value) is float and not math.isnan(value)


def _shown(value: object) -> str:
    return value.name if isinstance(value, Value) else repr(value)

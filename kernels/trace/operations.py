"""Trace a rule: call it with symbolic values and record a list of exact operations.

LLVM IR, CUDA C and NumPy calls are generated from the list. Tracing also proves that a rule uses
only correctly rounded operations: any other raises `RuleError` with its name.
"""

from __future__ import annotations

import dis
import struct
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from functools import partial
from numbers import Number
from types import CodeType, FunctionType, ModuleType
from typing import Any, ClassVar, NoReturn

from .retarget import retarget

FUNCTIONS = {
    "divide": 2,
    "sqrt": 1,
    "abs": 1,
    "maximum": 2,
    "minimum": 2,
    "where": 3,
}
"""The NumPy functions that a rule may call, and the number of arguments of each."""

ROUNDINGS = {
    "quotient": 2,
    "round_bfloat16": 1,
    "round_float16": 1,
    "join_split16": 2,
    "split16_high": 1,
    "split16_low": 1,
    "exponent_of": 1,
    "inverse_exponent_of": 1,
    "stochastic_bfloat16": 6,
    "stochastic_bfloat16_high": 6,
    "stochastic_float16": 6,
    **{f"stochastic_code_{byte}": 6 for byte in range(4)},
}
"""The functions of `kernels.roundings` that a rule may call, and their numbers of arguments."""

ROUNDINGS_MODULE = "gpuopt.kernels.roundings"

OPERATORS = ("+", "-", "*", "-x", "<", "<=", ">", ">=", "==", "!=")
"""The Python operators that a rule may use."""

COMPARISONS = ("<", "<=", ">", ">=", "==", "!=")
"""Operators whose result is a mask, allowed only as the condition of np.where."""

ALLOWED = f"operators {' '.join(OPERATORS)} and {', '.join('np.' + n for n in FUNCTIONS)}"


class RuleError(ValueError):
    """A rule that cannot give the same bits on every backend."""


RuleError.__module__ = "gpuopt"  # the public name, shown in tracebacks


@dataclass(frozen=True)
class Operation:
    """``result = name(*operands)``; a float operand is a literal."""

    name: str
    operands: tuple[str | float, ...]
    result: str


@dataclass
class Trace:
    """The operations of a function, in order."""

    function: str
    operations: list[Operation] = field(default_factory=list)
    results: tuple[str, ...] = ()
    packed: bool = False
    """Whether the function returned a tuple."""

    subject: ClassVar[str] = "a rule"
    allowed: ClassVar[str] = ALLOWED
    instead_of_constants: ClassVar[str] = "make its result a coefficient"
    instead_of_powers: ClassVar[str] = "write x * x, or make the power a coefficient"

    def refuse(self, what: str) -> NoReturn:
        """Raise `RuleError` for something that the function must not use."""
        raise RuleError(f"{self.function} uses {what}; {self.subject} may use only {self.allowed}")

    def record(self, name: str, *operands: object) -> Value:
        """Append an operation and return its result."""
        if not any(isinstance(operand, Value) for operand in operands):
            self.refuse(f"np.{name} on constants alone ({self.instead_of_constants})")
        for place, operand in enumerate(operands):
            is_mask = isinstance(operand, Value) and operand.mask
            if is_mask and (name, place) != ("where", 0):
                self.refuse(f"a comparison as an operand of {name} (write np.where)")
            if not is_mask and (name, place) == ("where", 0):
                self.refuse("np.where with a condition that is not a comparison")
        result = Value(self, f"t{len(self.operations)}", mask=name in COMPARISONS)
        self.operations.append(
            Operation(name, tuple(self._operand(name, x) for x in operands), result.name)
        )
        return result

    def _operand(self, name: str, operand: object) -> str | float:
        if isinstance(operand, Value):
            return operand.name
        if isinstance(operand, float) and _exact_in_float32(operand):
            return operand
        whole = type(operand) is int and _exact_in_float32(operand)
        instead = f"write {operand}.0" if whole else "make it a coefficient"
        self.refuse(
            f"the constant {operand!r} as an operand of {name} (only floats that are exact in "
            f"float32, such as 0.0, 0.5 or 2.0, are allowed; {instead})"
        )

    def result(self, value: object) -> str:
        """Return the name of a result of the function."""
        if not isinstance(value, Value):
            self.refuse(f"a result {value!r} that is not computed from its arguments")
        if value.mask:
            self.refuse("a comparison as a result (write np.where)")
        return value.name


def _exact_in_float32(value: float) -> bool:
    try:
        return bool(struct.unpack("f", struct.pack("f", value))[0] == value)
    except OverflowError:
        return False


def _binary(name: str) -> tuple[Any, Any]:
    def forward(self: Value, other: object) -> Value:
        return self.trace.record(name, self, other)

    def backward(self: Value, other: object) -> Value:
        return self.trace.record(name, other, self)

    return forward, backward


def _refused(what: str) -> Any:
    def method(self: Value, *args: object) -> NoReturn:
        self.trace.refuse(what)

    return method


class Value:
    """A symbolic value."""

    __hash__ = None  # type: ignore[assignment]  # == is traced, so it cannot be a dict key
    __array_priority__ = 1000.0

    def __init__(self, trace: Trace, name: str, mask: bool = False) -> None:
        """Create a value of ``trace``; ``mask`` marks the result of a comparison."""
        self.trace, self.name, self.mask = trace, name, mask

    __add__, __radd__ = _binary("+")
    __sub__, __rsub__ = _binary("-")
    __mul__, __rmul__ = _binary("*")
    __lt__, _ = _binary("<")
    __le__, _ = _binary("<=")
    __gt__, _ = _binary(">")
    __ge__, _ = _binary(">=")
    __eq__, _ = _binary("==")
    __ne__, _ = _binary("!=")

    def __neg__(self) -> Value:
        return self.trace.record("-x", self)

    __pos__ = _refused("the operator +x")
    __truediv__ = __rtruediv__ = _refused("the operator / (write np.divide)")
    __floordiv__ = __rfloordiv__ = _refused("the operator //")
    __mod__ = __rmod__ = _refused("the operator %")
    __matmul__ = __rmatmul__ = _refused("the operator @")
    __divmod__ = __rdivmod__ = _refused("the builtin divmod")
    __lshift__ = __rlshift__ = _refused("the operator <<")
    __rshift__ = __rrshift__ = _refused("the operator >>")
    __and__ = __rand__ = _refused("the operator &")
    __or__ = __ror__ = _refused("the operator |")
    __xor__ = __rxor__ = _refused("the operator ^")
    __invert__ = _refused("the operator ~")
    __abs__ = _refused("the builtin abs (write np.abs)")
    __round__ = _refused("the builtin round")
    __bool__ = _refused("a value as a condition (write np.where)")
    __float__ = __int__ = __index__ = _refused("a value as a Python number")
    __iter__ = __getitem__ = __len__ = _refused("a value as a sequence")

    def __pow__(self, other: object) -> NoReturn:
        self.trace.refuse(f"the operator ** ({self.trace.instead_of_powers})")

    __rpow__ = __pow__

    def __getattr__(self, name: str) -> NoReturn:
        self.trace.refuse(f"the attribute .{name} of a value")


class TracingLibrary:
    """Stands in for ``np`` while a rule is traced."""

    def __init__(self, trace: Trace) -> None:
        """Record into ``trace``."""
        self._trace = trace

    def __getattr__(self, name: str) -> Any:
        if name not in FUNCTIONS:
            self._trace.refuse(f"np.{name}")

        def function(*args: object, **kwargs: object) -> Value:
            if kwargs or len(args) != FUNCTIONS[name]:
                self._trace.refuse(f"np.{name} with {len(args)} arguments and {sorted(kwargs)}")
            return self._trace.record(name, *args)

        return function


class _ForeignModule:
    """Stands in for any module but NumPy while a rule is traced."""

    def __init__(self, trace: Trace, name: str) -> None:
        self._trace, self._name = trace, name

    def __getattr__(self, name: str) -> NoReturn:
        self._trace.refuse(f"{self._name}.{name}")


def _foreign_modules(function: FunctionType, record: Trace) -> dict[str, _ForeignModule]:
    """Return stand-ins for the modules that a function and its callees use; refuse closures."""
    code = function.__code__
    if code.co_freevars:
        record.refuse(f"variables of an enclosing function {code.co_freevars}")
    for constant in code.co_consts:
        if isinstance(constant, CodeType):  # retarget does not see its literals
            record.refuse(f"a function defined inside it, {constant.co_name}")
    modules: dict[str, _ForeignModule] = {}
    for name in [i.argval for i in dis.get_instructions(code) if i.opname == "LOAD_GLOBAL"]:
        value = function.__globals__.get(name)
        if isinstance(value, Number):  # Triton would not compile it
            record.refuse(f"the number {name} by name (write it there, or make it a coefficient)")
        if isinstance(value, ModuleType) and name != "np":
            modules[name] = _ForeignModule(record, name)
        if isinstance(value, FunctionType) and value.__module__ != ROUNDINGS_MODULE:
            modules.update(_foreign_modules(value, record))
    return modules


def trace(function: Callable[..., Any], arguments: tuple[str, ...]) -> Trace:
    """Return the trace of ``function``, called with values of the given names.

    Raises:
        RuleError: it uses an operation that is not correctly rounded.
    """
    if not isinstance(function, FunctionType):
        raise RuleError(f"expected a Python function, got {function!r}")
    record = Trace(function.__name__)
    check_names(record, function, ROUNDINGS, ROUNDINGS_MODULE)
    names = {name: partial(record.record, name) for name in ROUNDINGS}
    return follow(record, function, [Value(record, name) for name in arguments], names)


def check_names(record: Trace, function: FunctionType, known: Collection[str], home: str) -> None:
    """Raise if known functions are called by other names, or other functions by their names.

    The compilers replace them by name with their own versions.

    Args:
        record: the trace of the function.
        function: the function; its callees are checked, too.
        known: the names of the known functions.
        home: the module that defines them.
    """
    for name, callee in _callees(function, home):
        ours = callee.__module__ == home and callee.__name__ in known
        if ours and name != callee.__name__:
            record.refuse(f"{_public(home)}.{callee.__name__} by another name, {name}")
        if name in known and not ours:
            record.refuse(f"a function called {name} that is not {_public(home)}.{name}")


def _public(home: str) -> str:
    return home.rpartition(".")[0]


def _callees(function: FunctionType, home: str) -> Iterator[tuple[str, FunctionType]]:
    """Yield the functions that a function and its callees may call, with their names."""
    for name in function.__code__.co_names:
        callee = function.__globals__.get(name)
        if isinstance(callee, FunctionType):
            yield name, callee
            if callee.__module__ != home:
                yield from _callees(callee, home)


def follow(
    record: Trace, function: FunctionType, arguments: list[Value], names: dict[str, Any]
) -> Trace:
    """Call ``function`` with symbolic values and further globals; record its results."""
    others = {**_foreign_modules(function, record), **names}
    results = retarget(function, TracingLibrary(record), extra_globals=others)(*arguments)
    record.packed = isinstance(results, tuple)
    record.results = tuple(map(record.result, results if record.packed else (results,)))
    return record

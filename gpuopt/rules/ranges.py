"""The numbers that options accept, and the errors for all others."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Range:
    """The real numbers that an option accepts.

    Attributes:
        description: the range in words, for errors.
        accepts: whether it accepts a number.

    >>> BELOW_ONE("beta", 1)
    Traceback (most recent call last):
        ...
    ValueError: beta: expected a number in [0, 1), got 1
    """

    description: str
    accepts: Callable[[float], bool]

    def __call__(self, name: str, value: Any) -> float:
        """Return a number of any library as a float.

        Raises:
            TypeError, ValueError: it is not a real number, or not in the range.
        """
        number = _as_float(value)
        if number is None:
            raise TypeError(f"{name}: expected {self.description}, got {value!r}")
        self.check(name, number, value)
        return number

    def check(self, name: str, number: float, given: Any) -> None:
        """Raise ValueError unless ``number``, which was given as ``given``, is in the range."""
        if not self.accepts(number):
            raise ValueError(f"{name}: expected {self.description}, got {given!r}")

    def or_none(self, name: str, value: Any) -> float | None:
        """Return the number as a float, or None for None; errors mention both."""
        if value is None:
            return None
        return Range(f"None or {self.description}", self.accepts)(name, value)


class OrNone(Range):
    """The numbers of a range, or None, which coefficients get as `NOT_GIVEN`."""

    def __init__(self, accepted: Range) -> None:
        """Store the range, which must not contain `NOT_GIVEN`."""
        super().__init__(f"None or {accepted.description}", accepted.accepts)

    def __call__(self, name: str, value: Any) -> Any:
        """Return a number as a float, or None for None."""
        return None if value is None else super().__call__(name, value)


NOT_GIVEN = -1.0
"""The value of an option that is None, as passed to coefficients."""

ANY = Range("a number", lambda x: not math.isnan(x))
REAL = Range("a finite number", math.isfinite)
NOT_NEGATIVE = Range("a number of at least 0", lambda x: x >= 0)
FINITE = Range("a finite number of at least 0", lambda x: math.isfinite(x) and x >= 0)
POSITIVE = Range("a number above 0", lambda x: x > 0)
BELOW_ONE = Range("a number in [0, 1)", lambda x: 0 <= x < 1)
UP_TO_ONE = Range("a number in [0, 1]", lambda x: 0 <= x <= 1)
SMOOTHING = Range("a number in [0, 1]", lambda x: 0 <= x <= 1)
"""Like `UP_TO_ONE`, but torch.optim accepts more."""
SHRINKING = Range("a number between 0 and 1", lambda x: 0 < x < 1)
GROWING = Range("a number above 1", lambda x: x > 1)
HAS_RECIPROCAL = Range(
    "a finite number above 0 whose reciprocal is finite",
    lambda x: x > 0 and math.isfinite(x) and math.isfinite(1.0 / x),
)


_NOT_REAL = ("bool", "complex", "datetime", "timedelta")  # in the dtypes of NumPy and torch


def _as_float(value: Any) -> float | None:
    """Return a number of any library as a float; None if it is not a real number."""
    if type(value) is float:
        return value
    dtype = getattr(value, "dtype", type(value).__name__)
    if not hasattr(value, "__float__") or getattr(value, "ndim", 0) != 0:
        return None
    if getattr(dtype, "kind", "") in tuple("SUO") or any(k in str(dtype) for k in _NOT_REAL):
        return None
    try:
        return float(value)
    except OverflowError:  # an int beyond the largest float
        return math.inf
    except (TypeError, ValueError):
        return None


def several(name: str, value: Any, ranges: Sequence[Range]) -> tuple[float, ...]:
    """Return a number for each range as a float.

    Raises:
        TypeError, ValueError: the number of values is wrong, or one is not in its range.

    >>> several("betas", 0.9, (BELOW_ONE, BELOW_ONE))
    Traceback (most recent call last):
        ...
    TypeError: betas: expected two numbers in [0, 1), got 0.9
    """
    try:
        values = tuple(value)
    except TypeError:
        values = ()
    if len(values) != len(ranges):
        expected = " and ".join(one.description for one in ranges)
        if len(set(ranges)) == 1:
            count = _COUNTS[len(ranges)]
            expected = ranges[0].description.replace("a number", f"{count} numbers")
        raise TypeError(f"{name}: expected {expected}, got {value!r}")
    return tuple(
        accepts(f"{name}[{i}]", one) for i, (accepts, one) in enumerate(zip(ranges, values))
    )


_COUNTS = {2: "two", 3: "three"}


def boolean(name: str, value: Any) -> bool:
    """Return True or False; raise TypeError for anything else, even for 0 and 1."""
    if value is not True and value is not False:
        raise TypeError(f"{name}: expected True or False, got {value!r}")
    return value

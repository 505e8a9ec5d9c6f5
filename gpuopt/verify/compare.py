"""Comparison of what two backends leave, bit for bit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from ..arrays import describe_state, to_numpy
from ..kernels.storage import decode_bfloat16
from .values import Array

SHOWN = 3
"""Elements that a difference names."""

IN_ANOTHER_ORDER = 1e-12
"""How far, relatively, a float64 sum of squares of one sign may be off where backends add up in
another order: a hundred thousand roundings of 1.1e-16 at worst, which mostly cancel."""


AFTER_SUMS = 1e-9
"""The same of float64 elements after some steps by such sums, which no rounding to float32 hides:
they grow where what is added has both signs."""


class Left(NamedTuple):
    """An array that a step leaves.

    Attributes:
        values: on the host, bfloat16 as uint16.
        dtype: gpuopt's name.
        relative: how far an element may be off; 0, except where `IN_ANOTHER_ORDER` says why.
    """

    values: Array
    dtype: str
    relative: float = 0.0


Outcome = dict[str, Left]
"""What a check leaves, by what it is called in a report."""

Difference = dict[str, Any]
"""What differs, as JSON: ``what``, ``dtype``, ``elements``, ``differ`` and ``first``."""


def left(array: Any) -> Left:
    """Return an array of any library as it will be compared."""
    return Left(to_numpy(array), describe_state(array, "array").dtype)


def numbers(values: Any, relative: float = 0.0) -> Left:
    """Return numbers as they will be compared."""
    return Left(np.array(values, np.float64, ndmin=1), "float64", relative)


def differences(found: Mapping[str, Left], expected: Mapping[str, Left]) -> list[Difference]:
    """Return what differs, in the order of what is expected; a NaN equals every NaN."""
    names = dict.fromkeys((*expected, *found))
    compared = (_difference(name, found.get(name), expected.get(name)) for name in names)
    return [one for one in compared if one is not None]


def _difference(name: str, found: Left | None, expected: Left | None) -> Difference | None:
    if found is None or expected is None:
        return _whole(name, "is missing" if found is None else "should not be there")
    if found.dtype != expected.dtype or found.values.shape != expected.values.shape:
        forms = (f"{one.dtype}{list(one.values.shape)}" for one in (found, expected))
        return _whole(name, "is {}, not {}".format(*forms))
    differ = _bits(found.values) != _bits(expected.values)
    mine, theirs = (_numbers(one) for one in (found, expected))
    differ &= ~(np.isnan(mine) & np.isnan(theirs))
    if expected.relative:
        with np.errstate(invalid="ignore", over="ignore"):
            close = np.abs(mine - theirs) <= expected.relative * np.abs(theirs)
            differ &= ~(close & np.isfinite(theirs))
    if not differ.any():
        return None
    return {
        "what": name,
        "dtype": expected.dtype,
        "elements": int(differ.size),
        "differ": int(differ.sum()),
        "first": [_element(found, expected, tuple(at)) for at in np.argwhere(differ)[:SHOWN]],
    }


def _whole(name: str, problem: str) -> Difference:
    return {"what": f"{name} {problem}", "dtype": "", "elements": 0, "differ": 0, "first": []}


def _element(found: Left, expected: Left, at: tuple[int, ...]) -> dict[str, Any]:
    def shown(one: Left) -> str:
        number, bits = _numbers(one)[at], int(_bits(one.values)[at])
        return f"{float(number)!r} (0x{bits:0{2 * one.values.itemsize}x})"

    return {"at": [int(i) for i in at], "found": shown(found), "expected": shown(expected)}


def _bits(values: Array) -> Array:
    return np.ascontiguousarray(values).view(f"u{values.itemsize}").reshape(values.shape)


def _numbers(one: Left) -> Array:
    with np.errstate(invalid="ignore"):  # signalling NaN
        values = decode_bfloat16(one.values) if one.dtype == "bfloat16" else one.values
        return np.asarray(values, np.float64)

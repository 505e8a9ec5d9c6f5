"""Partials of watched values, in Numba."""

from __future__ import annotations

from typing import Any

import numpy as np

from .maths import jit, where
from .walk import LANES


@jit
def clear(sums: Any, largest: Any, others: Any) -> None:
    """Set every lane to zero."""
    for j in range(LANES):
        sums[j], largest[j], others[j] = 0, 0, 0


@jit
def erase(partials: Any) -> None:
    """Write the partials of an inactive tensor's chunk."""
    partials[0], partials[1], partials[2] = 0.0, 0.0, 0.0


@jit
def take(seen: Any, n: Any, sums: Any, largest: Any, others: Any) -> None:
    """Add up to `LANES` values, each to its lane."""
    for j in range(n):
        x = seen[j]
        wide = np.float64(x)
        sums[j] += wide * wide
        largest[j] = where(np.abs(x) > largest[j], np.abs(x), largest[j])
        others[j] += where(x - x == x - x, np.float32(0.0), np.float32(1.0))


@jit
def take_plain(seen: Any, n: Any, sums: Any, largest: Any, others: Any) -> None:
    """Add up to `LANES` values as `take` does, without squaring them."""
    for j in range(n):
        x = seen[j]
        sums[j] += np.float64(x)
        largest[j] = where(np.abs(x) > largest[j], np.abs(x), largest[j])
        others[j] += where(x - x == x - x, np.float32(0.0), np.float32(1.0))


@jit
def is_finite(x: Any) -> Any:
    """Return whether a number is neither infinite nor NaN."""
    return x - x == x - x


@jit
def fold(sums: Any) -> None:
    """Add the lanes in pairs, into lane 0."""
    half = LANES // 2
    while half:
        for j in range(half):
            sums[j] += sums[j + half]
        half //= 2


@jit
def put(partials: Any, sums: Any, largest: Any, others: Any) -> None:
    """Write the partials of a chunk; see kernels.table.PARTIALS."""
    fold(sums)
    half = LANES // 2
    while half:
        for j in range(half):
            others[j] += others[j + half]
            largest[j] = where(largest[j] > largest[j + half], largest[j], largest[j + half])
        half //= 2
    partials[0], partials[1], partials[2] = sums[0], largest[0], others[0]

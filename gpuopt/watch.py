"""Which arrays are not where they were, in as little host time as can be.

A NumPy array stays where it is as long as it lives. A torch tensor does not (``p.data = ...``),
so its address, strides, dtype and shape are read at every step: memory that was freed in between
may come back at the same address for fewer or other elements. Of arrays of other libraries nothing
is known.
"""

from __future__ import annotations

import sys
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from operator import is_
from typing import Any

import numpy as np

from .arrays import Memory


@dataclass(frozen=True)
class Sight:
    """What was seen of a list of arrays.

    Attributes:
        columns: addresses, strides, dtypes and shapes, if all are torch tensors.
        signatures: one of each array, if not.
        still: whether the signatures are references to NumPy arrays, all of them.
    """

    columns: tuple[list[Any], ...] = ()
    signatures: list[Any] | None = None
    still: bool = False


def look(arrays: Sequence[Any], last: Sight | None = None) -> tuple[Sight, list[int]]:
    """Return what is seen, and the places of the arrays that are not where they were.

    Args:
        arrays: arrays of any library, or None.
        last: what was seen the last time; nothing, if None.
    """
    try:
        columns: tuple[list[Any], ...] = (
            [array.data_ptr() for array in arrays],
            [array.stride() for array in arrays],
            [array.dtype for array in arrays],
            [array.shape for array in arrays],
        )
    except (AttributeError, RuntimeError, TypeError):  # others, a sparse tensor, None
        return _look_at_each(arrays, last)
    sight = Sight(columns)
    if last is None or not last.columns:
        return sight, list(range(len(arrays)))
    if columns == last.columns:
        return sight, []
    rows, before = zip(*columns), zip(*last.columns)
    return sight, [i for i, (a, b) in enumerate(zip(rows, before)) if a != b]


def moved_only(
    memory: Memory, array: Any, i: int, sight: Sight, last: Sight | None
) -> Memory | None:
    """Return where ``array`` lies if it is like the one at ``memory`` but for its address.

    Args:
        memory: where the one before lay.
        array: the array.
        i: its place.
        sight: what is seen.
        last: what was seen the last time.
    """
    if last is None or not (sight.columns and last.columns):
        return None
    addresses, *rest = sight.columns
    if any(column[i] != before[i] for column, before in zip(rest, last.columns[1:])):
        return None
    if array.is_neg():
        return None  # not like any: to be described, and refused
    return memory.at(addresses[i]) if str(array.device) == memory.device else None


def _look_at_each(arrays: Sequence[Any], last: Sight | None) -> tuple[Sight, list[int]]:
    if last is not None and last.still and _are(arrays, last.signatures):
        return last, []
    signatures = [_signature(array) for array in arrays]
    sight = Sight((), signatures, all(isinstance(s, weakref.ref) for s in signatures))
    if last is None or last.signatures is None:
        return sight, list(range(len(arrays)))
    if all(map(is_, signatures, last.signatures)):
        return sight, []
    pairs = enumerate(zip(signatures, last.signatures))
    return sight, [i for i, (a, b) in pairs if a is not b and (type(a) is not tuple or a != b)]


def _are(arrays: Sequence[Any], references: Sequence[Any] | None) -> bool:
    """Whether these are the very arrays that are referred to."""
    try:
        return all(map(is_, map(weakref.ref, arrays), references or ()))
    except TypeError:  # None has no references
        return False


def _signature(array: Any) -> Any:
    if array is None:
        return None
    if isinstance(array, np.ndarray):
        return weakref.ref(array)  # one object for all references to one array, while it lives
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(array, torch.Tensor) and array.layout is torch.strided:
        return array.data_ptr(), array.stride(), array.dtype, array.shape
    return object()

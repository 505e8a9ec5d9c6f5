"""The elements of an array on the host, in another array's memory order, piece by piece."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..arrays import copy_into, describe_state, to_numpy
from ..kernels.numpy.coded import PIECE
from ..kernels.storage import BLOCK


class Flat:
    """The elements of an array on the host, in another array's memory order.

    They are a view if the array is on the host in that order, and otherwise a copy, which `write`
    copies back. Computations go over small pieces, to save memory.

    Attributes:
        values: the elements, in storage form (bfloat16 as uint16).
    """

    def __init__(self, array: Any, like: Any) -> None:
        """Take an array, and one with the same shape and the wanted memory order."""
        memory = describe_state(array, "state")
        self._array, self._own = array, memory.view if memory.device == "cpu" else to_numpy(array)
        self._order = _axes(like)
        self.values = self._own.transpose(self._order).reshape(-1)

    def write(self) -> None:
        """Write the elements into the array, unless they are a view."""
        turned = self._own.transpose(self._order)
        if not np.may_share_memory(turned, self.values):
            turned[...] = self.values.reshape(turned.shape)
        if describe_state(self._array, "state").device != "cpu":
            copy_into(self._array, self._own)


def pieces(size: int) -> Iterator[tuple[slice, slice]]:
    """Return the pieces of ``size`` elements, and the blocks of each."""
    for begin in range(0, size, PIECE):
        yield slice(begin, begin + PIECE), slice(begin // BLOCK, -(-(begin + PIECE) // BLOCK))


def order_of(array: Any) -> list[int] | None:
    """Return the axes of an array in memory order, slowest first; None for C order.

    Axes of length one come first, since their position does not matter.

    >>> order_of(np.zeros((2, 1, 3)).transpose(2, 1, 0)), order_of(np.zeros((2, 1)).T)
    ([1, 2, 0], None)
    """
    memory = describe_state(array, "array")
    return order_of_strides(memory.shape, memory.strides)


def order_of_strides(shape: Sequence[int], strides: Sequence[int]) -> list[int] | None:
    """Return the same as `order_of`, from a shape and strides."""
    return plain_order(shape, sorted(range(len(shape)), key=lambda axis: -strides[axis]))


def plain_order(shape: Sequence[int], order: Sequence[int]) -> list[int] | None:
    """Return an order of axes in the canonical form of `order_of`."""
    longer = [axis for axis in order if shape[axis] > 1]
    if 0 in shape or longer == sorted(longer):
        return None
    return [axis for axis, extent in enumerate(shape) if extent == 1] + longer


def in_order(values: npt.NDArray[Any], order: list[int] | None) -> npt.NDArray[Any]:
    """Return an array with the same values, in a memory order from `order_of`."""
    if order is None:
        return np.ascontiguousarray(values)
    return np.ascontiguousarray(values.transpose(order)).transpose(np.argsort(order))


def _axes(array: Any) -> list[int]:
    """Return the axes of an array in memory order, slowest first."""
    strides = describe_state(array, "array").strides
    return sorted(range(len(strides)), key=lambda axis: -strides[axis])

"""The elements of an array on the host, in the memory order of another, piece by piece."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ..arrays import copy_into, describe_state, to_numpy
from ..kernels.numpy.coded import PIECE
from ..kernels.storage import BLOCK


class Flat:
    """The elements of an array in the memory order of another, on the host.

    They are the array's own where its memory is the host's and has that order, and else copies,
    which `write` copies back. Only pieces of what is computed from them exist besides.

    Attributes:
        values: the elements, in storage form (bfloat16 as uint16).
    """

    def __init__(self, array: Any, like: Any) -> None:
        """Take an array of the same shape as the one whose order counts."""
        memory = describe_state(array, "state")
        self._array, self._own = array, memory.view if memory.device == "cpu" else to_numpy(array)
        self._order = _axes(like)
        self.values = self._own.transpose(self._order).reshape(-1)

    def write(self) -> None:
        """Write the elements into the array, unless they are its own."""
        turned = self._own.transpose(self._order)
        if not np.may_share_memory(turned, self.values):
            turned[...] = self.values.reshape(turned.shape)
        if describe_state(self._array, "state").device != "cpu":
            copy_into(self._array, self._own)


def pieces(size: int) -> Iterator[tuple[slice, slice]]:
    """Return the pieces of so many elements, and the blocks of each."""
    for begin in range(0, size, PIECE):
        yield slice(begin, begin + PIECE), slice(begin // BLOCK, -(-(begin + PIECE) // BLOCK))


def _axes(array: Any) -> list[int]:
    """Return the axes of an array in the order of its memory, the slowest first."""
    strides = describe_state(array, "array").strides
    return sorted(range(len(strides)), key=lambda axis: -strides[axis])

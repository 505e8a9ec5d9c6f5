"""Detection of arrays that share memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from . import Memory

_EFFORT = 10_000
"""Maximum steps of NumPy's search; an undecided pair counts as sharing."""


def shares_memory(a: Memory, b: Memory) -> bool:
    """Return whether two arrays share a byte."""
    if a.size == 0 or b.size == 0:
        return False
    if a.extent[0] >= b.extent[1] or b.extent[0] >= a.extent[1]:
        return False
    if a.device != b.device:
        return False
    if a.order is not None or b.order is not None:
        return True
    try:
        return a.may_share(b, _EFFORT)
    except np.exceptions.TooHardError:
        return True


class Index:
    """Arrays sorted by address, to find those that another array overlaps."""

    def __init__(self, memories: Sequence[Memory]) -> None:
        """Sort ``memories``; empty arrays overlap nothing."""
        extents = extents_of(memories)
        self._memories = memories
        self._sorted = np.argsort(extents[:, 0], kind="stable")
        self._low = extents[self._sorted, 0]
        self._high = np.maximum.accumulate(extents[self._sorted, 1])

    def overlapping(
        self, extents: npt.NDArray[np.int64], memory: Callable[[int], Memory]
    ) -> Iterator[tuple[int, int]]:
        """Yield (position, position in the index) of each overlapping pair.

        Args:
            extents: int64 [n, 2], the first byte of each array, and the byte after its last.
            memory: returns the array at a position; called only where extents overlap.
        """
        if not len(self._low):
            return
        last = np.searchsorted(self._low, extents[:, 1], side="left")
        near = np.flatnonzero((last > 0) & (self._high[last - 1] > extents[:, 0]))
        for place in near.tolist():
            k = int(last[place]) - 1
            while k >= 0 and self._high[k] > extents[place, 0]:
                other = int(self._sorted[k])
                if shares_memory(memory(place), self._memories[other]):
                    yield place, other
                k -= 1

    def overlaps_within(self) -> Iterator[tuple[int, int]]:
        """Yield the positions of each overlapping pair in the index, the smaller first."""
        memories = self._memories
        for place, other in self.overlapping(extents_of(memories), memories.__getitem__):
            if place < other:
                yield place, other


def extents_of(memories: Sequence[Memory]) -> npt.NDArray[np.int64]:
    """Return int64 [n, 2]: the first byte of each array, and the byte after its last."""
    return np.array([m.extent for m in memories], np.int64).reshape(-1, 2)

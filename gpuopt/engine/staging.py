"""Dense copies of arrays on a device that differ in memory order or have gaps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ..arrays import assign, describe, zeros_like
from .table import Entry


@dataclass
class Staged:
    """A tensor some of whose arrays are copied before a launch, and back after it.

    Attributes:
        entry: the tensor with the copies, for the table; all have one memory order.
        copies: (row, array, copy); the gradient's array is None, since each step passes it.
    """

    entry: Entry
    copies: list[tuple[int, Any, Any]] = field(default_factory=list)

    @property
    def copies_grad(self) -> bool:
        """Whether the gradient is copied; otherwise the kernel reads the step's own."""
        return any(row == 1 for row, _, _ in self.copies)

    def fill(self, grad: Any) -> None:
        """Copy the arrays and the gradient."""
        for row, array, copy in self.copies:
            assign(copy, grad if row == 1 else array)

    def write_back(self, grad: Any) -> None:
        """Copy the results into the arrays."""
        for row, array, copy in self.copies:
            if row in self.entry.update.written:
                assign(grad if row == 1 else array, copy)


def stage(entry: Entry, arrays: Sequence[Any]) -> Staged:
    """Return a tensor with copies of the arrays whose memory order differs from the parameter's.

    Args:
        entry: a tensor that is not flat.
        arrays: its parameter and its states, in the update's order.
    """
    staged, (param, *states) = Staged(entry), arrays
    memory = list(entry.memory)
    order = zeros_like(param, entry.dtypes[0])
    wanted = describe(order, "copy").order
    elementwise = states[: len(states) - len(entry.update.scales)]  # scales have no memory order
    for row, array in enumerate((param, None, *elementwise)):
        fits = memory[row].order == wanted and memory[row].element_aligned
        if not fits:
            copy = order if row == 0 else zeros_like(param, entry.dtypes[row])
            staged.copies.append((row, array, copy))
            memory[row] = describe(copy, "copy")
    staged.entry = Entry(entry.index, entry.update, tuple(memory))
    return staged

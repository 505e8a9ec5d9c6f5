"""Dense stand-ins for arrays on a device that do not agree in memory order, or have gaps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ..arrays import assign, describe, zeros_like
from .table import Entry


@dataclass
class Staged:
    """One tensor some of whose arrays are copied before a launch, and back after it.

    Attributes:
        entry: what goes into the table: only arrays that agree in memory order.
        copies: (row, array, stand-in); the gradient's array is the step's own, and None here.
    """

    entry: Entry
    copies: list[tuple[int, Any, Any]] = field(default_factory=list)

    @property
    def copies_grad(self) -> bool:
        """Whether the gradient has a stand-in; else it lies where the step's gradient lies."""
        return any(row == 1 for row, _, _ in self.copies)

    def before(self, grad: Any) -> None:
        """Fill the stand-ins."""
        for row, array, stand_in in self.copies:
            assign(stand_in, grad if row == 1 else array)

    def after(self, grad: Any) -> None:
        """Write the results back."""
        for row, array, stand_in in self.copies:
            if row in self.entry.update.written:
                assign(grad if row == 1 else array, stand_in)


def stage(entry: Entry, param: Any, states: Sequence[Any]) -> Staged:
    """Return ``entry`` with stand-ins where its arrays do not agree with the first.

    Args:
        entry: a tensor whose arrays are not flat.
        param: its parameter.
        states: its states, in the update's order.
    """
    staged = Staged(entry)
    memory = list(entry.memory)
    order = zeros_like(param, entry.dtypes[0])
    wanted = describe(order, "stand-in").order
    for row, array in enumerate((param, None, *states)):
        fits = memory[row].order == wanted and memory[row].element_aligned
        if not fits:
            stand_in = order if row == 0 else zeros_like(param, entry.dtypes[row])
            staged.copies.append((row, array, stand_in))
            memory[row] = describe(stand_in, "stand-in")
    staged.entry = Entry(entry.index, entry.update, tuple(memory))
    return staged

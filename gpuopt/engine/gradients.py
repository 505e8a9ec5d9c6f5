"""The gradients of a step: their memory, and checks that they fit their parameters.

A step calls `Gradients.detect_changes` first. As long as nothing moves, this costs one comparison
per array. An array that moved is described and checked again; nothing is stored before
`Gradients.accept`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..arrays import Memory, describe, exports_copies
from ..arrays.aliasing import Index, extents_of
from ..arrays.changes import NONE, WRITEABLE, Moves, Snapshot, detect_changes
from .parameters import MovedParameters, Parameters
from .table import EMPTY, VECTOR, grad_address


@dataclass(frozen=True)
class Changes:
    """What changed since the last step.

    Attributes:
        parameters: the parameters and states that moved.
        grads: by index, the gradients that are new or have another layout; None for those that are
            gone.
        moved: int64, the indices of gradients of which only the address changed.
        addresses: int64, their new addresses.
        snapshot: of the gradients, to compare with the next ones.
    """

    parameters: MovedParameters | None
    grads: Mapping[int, Memory | None]
    moved: npt.NDArray[np.int64]
    addresses: npt.NDArray[np.int64]
    snapshot: Snapshot

    def __bool__(self) -> bool:
        """Whether anything changed."""
        return bool(self.parameters or self.grads or len(self.moved))


def _unchanged(snapshot: Snapshot) -> Changes:
    return Changes(None, {}, NONE.moved, NONE.addresses, snapshot)


class Gradients:
    """Parameters, their states, and the gradients of the last step.

    Attributes:
        parameters: the parameters and states.
        grads: for each parameter, the memory of its last gradient; None before the first.
        addresses: int64, the address of each gradient in the table; 0 if there is none.
    """

    def __init__(
        self, arrays: Sequence[Any], names: Sequence[str], grads_written: bool = False
    ) -> None:
        """Describe and check the parameters.

        Args:
            arrays: the parameters.
            names: their names in errors.
            grads_written: whether a step also writes to the gradients.

        Raises:
            TypeError: one is not a float array.
            ValueError: one is read-only, overlaps itself or another, or is given twice.
        """
        self.parameters = Parameters(arrays, names)
        self._grads_written = grads_written
        self.grads: list[Memory | None] = [None] * len(arrays)
        self.addresses = np.zeros(len(arrays), np.int64)
        self._reach = np.zeros((len(arrays), 2), np.int64)  # of gradients, from their addresses
        self._snapshot = detect_changes([None] * len(arrays))[0]
        self._unchanged = _unchanged(self._snapshot)

    def params(self) -> list[Memory]:
        """Return the memory of each parameter."""
        return self.parameters.memories[: len(self.grads)]

    def grad(self, i: int) -> Memory:
        """Return the memory of a gradient, or of the last one if there is none now."""
        memory, address = self.grads[i], int(self.addresses[i])
        assert memory is not None
        still = address in (0, EMPTY, memory.address)
        return memory if still else memory.at(address)

    def detect_changes(self, grads: Sequence[Any]) -> Changes:
        """Return what changed since the last step, described and checked.

        Args:
            grads: for each parameter an array, or None.

        Raises:
            TypeError, ValueError: an array does not fit. Nothing has been changed.
            LazyError: the memory of a gradient does not hold its values.
        """
        parameters = self.parameters.detect_changes()
        snapshot, moves = detect_changes(grads, self._snapshot)
        if self._grads_written:
            self._check_writable(grads, snapshot)
        if not parameters and (moves is NONE or not (moves.changed or len(moves.moved))):
            same = snapshot is self._unchanged.snapshot
            return self._unchanged if same else _unchanged(snapshot)
        changed = {i: self._described(i, grads[i]) for i in moves.changed}
        changes = Changes(parameters, changed, moves.moved, self._table_addresses(moves), snapshot)
        if changes:
            self._check_grads_apart(changes)
        return changes

    def layout_changed(self, changes: Changes) -> bool:
        """Whether the tables of the last step have to be rebuilt."""
        if not changes:
            return False
        if changes.parameters:
            return True
        shifts = changes.addresses - self.addresses[changes.moved]
        return bool((shifts % VECTOR).any()) or any(
            memory is not None and not self._same_layout(memory, i)
            for i, memory in changes.grads.items()
        )

    def accept(self, changes: Changes) -> None:
        """Store changes that were detected."""
        self._snapshot = changes.snapshot
        if not changes:
            self._unchanged = changes
            return
        if changes.parameters:
            self.parameters.accept(changes.parameters)
        self.addresses[changes.moved] = changes.addresses
        for i, grad in changes.grads.items():
            if grad is None and self.addresses[i]:
                self.grads[i] = self.grad(i).without_owner()  # at its last address
            self.addresses[i] = 0 if grad is None else grad_address(grad)
            if grad is not None:
                self.grads[i] = grad
                self._reach[i] = np.array(grad.extent) - grad.address

    def forget_inactive(self, among: npt.NDArray[np.bool_]) -> None:
        """Forget the last gradients of parameters without one, so that tables omit them."""
        for i in np.flatnonzero(among & (self.addresses == 0)).tolist():
            self.grads[i] = None

    def _table_addresses(self, moves: Moves) -> npt.NDArray[np.int64]:
        """Return the new addresses for the table."""
        low, high = self._reach[moves.moved].T
        return np.where(low == high, EMPTY, moves.addresses)

    def _check_writable(self, grads: Sequence[Any], snapshot: Snapshot) -> None:
        """Raise ValueError if a NumPy gradient has become read-only."""
        if snapshot.numpy_arrays and all(map(WRITEABLE, grads)):
            return
        for i, grad in enumerate(grads if snapshot.layout is None else ()):
            if isinstance(grad, np.ndarray) and not grad.flags.writeable:
                self._described(i, grad)  # raises

    def _described(self, i: int, grad: Any) -> Memory | None:
        if grad is None:
            return None
        param, name = self.parameters.memories[i], f"gradient of {self.parameters.names[i]}"
        memory = describe(grad, name)
        if memory.shape != param.shape:
            raise ValueError(f"{name}: expected shape {param.shape}, got {memory.shape}")
        if memory.device != param.device:
            raise ValueError(f"{name}: expected an array on {param.device}, got {memory.device}")
        if self._grads_written and not memory.writable:
            raise ValueError(f"{name}: the array is read-only; zero_grads cannot write zeros to it")
        if self._grads_written and exports_copies(grad, memory):
            raise TypeError(
                f"{name}: {type(grad).__name__} makes new memory at each export; zero_grads cannot "
                "write zeros to it"
            )
        if self._grads_written and memory.overlaps_itself:
            raise ValueError(f"{name}: elements of the array overlap; zero_grads cannot write them")
        return memory

    def _same_layout(self, memory: Memory, i: int) -> bool:
        if self.grads[i] is None:
            return False
        last = self.grad(i)
        return (
            memory.dtype == last.dtype
            and memory.order == last.order
            and (memory.address - last.address) % VECTOR == 0
        )

    def _check_grads_apart(self, changes: Changes) -> None:
        """Raise if a gradient overlaps a parameter or state, and either of them moved."""
        index = changes.parameters.index if changes.parameters else self.parameters.index
        addresses = self.addresses.copy()
        addresses[changes.moved] = changes.addresses
        present = {i: m for i, m in changes.grads.items() if m is not None}
        extents = addresses[:, None] + self._reach
        extents[list(present)] = extents_of(list(present.values()))
        if changes.parameters:
            gone = changes.grads.keys() - present.keys()
            looked_at = [i for i in np.flatnonzero(addresses).tolist() if i not in gone]
            looked_at += [i for i in present if not addresses[i]]
        else:
            looked_at = [*present, *changes.moved.tolist()]

        def memory(k: int) -> Memory:
            i = looked_at[k]
            if i in present:
                return present[i]
            known = self.grads[i]
            assert known is not None
            return known.at(int(addresses[i]))

        for k, other in index.overlapping(extents[np.array(looked_at, np.int64)], memory):
            name = self.parameters.names[looked_at[k]]
            what = self.parameters.names[other]
            raise ValueError(f"gradient of {name}: overlaps {what} in memory")
        if self._grads_written:
            self._check_apart_from_each_other(changes, addresses)

    def _check_apart_from_each_other(
        self, changes: Changes, addresses: npt.NDArray[np.int64]
    ) -> None:
        """Raise if two gradients overlap: one would be zeroed before the other is read."""
        known = {i: m.at(int(addresses[i])) for i, m in enumerate(self.grads) if m and addresses[i]}
        now = {i: m for i, m in {**known, **changes.grads}.items() if m is not None and m.size}
        indices = list(now)
        for a, b in Index([now[i] for i in indices]).overlaps_within():
            first, second = (self.parameters.names[indices[k]] for k in (a, b))
            raise ValueError(
                f"gradients of {first} and {second}: overlap, and zero_grads writes both"
            )

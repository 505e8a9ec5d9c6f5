"""The arrays that a step writes, parameters and states: their memory, and checks of it."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..arrays import Memory, describe, describe_state, exports_copies
from ..arrays.aliasing import Index
from ..arrays.changes import DTYPE, WRITEABLE, Snapshot, detect_changes


class ParameterMovedError(ValueError):
    """An array has another shape or device than when its optimizer was made."""


_READ_ONLY = "{}: the array is read-only; it cannot be updated in place"


@dataclass(frozen=True)
class MovedParameters:
    """The parameters and states that moved.

    Attributes:
        memories: by index, their new memory.
        index: the memory of all parameters and states, for detecting overlaps.
        snapshot: of all of them, to compare with the next ones.
    """

    memories: Mapping[int, Memory]
    index: Index
    snapshot: Snapshot


class Parameters:
    """The parameters of an optimizer, followed by their states.

    Attributes:
        names: their names in errors.
        memories: their memory.
        index: the memory of all of them, for detecting overlaps.
    """

    def __init__(self, params: Sequence[Any], names: Sequence[str]) -> None:
        """Describe and check the parameters.

        Raises:
            TypeError: one is not a float array.
            ValueError: one is read-only, overlaps itself or another, or is given twice.
        """
        self._params = list(params)
        self._check_no_duplicates(names)
        self._numpy = [p for p in params if isinstance(p, np.ndarray)]
        self._states_exposed, self._checked = False, True
        self._snapshot = Snapshot()
        self.names, self._arrays = list(names), list(params)
        self.memories = [_described(array, name) for array, name in zip(params, names)]
        self.index = Index(self.memories)
        self._check(self.memories, self.index)
        self._begin_to_watch()

    def set_states(self, states: Sequence[Mapping[str, Any]]) -> None:
        """Set the states of each parameter, by name; from now on they are checked, too."""
        count = len(self._params)
        pairs = [
            (f"state {name!r} of {param}", array)
            for held, param in zip(states, self.names)
            for name, array in held.items()
        ]
        self.names = self.names[:count] + [name for name, _ in pairs]
        self._arrays = self._params + [array for _, array in pairs]
        # The parameters are not described again: the next step has to detect whether they moved.
        self.memories = self.memories[:count] + [describe_state(a, name) for name, a in pairs]
        self.index, self._checked = Index(self.memories), False
        self._begin_to_watch()

    def expose_states(self) -> None:
        """From now on, check in each step whether states moved, since the caller now has them."""
        if not self._states_exposed:
            self._states_exposed = True
            self._begin_to_watch()

    def detect_changes(self) -> MovedParameters | None:
        """Return what moved since the last step, described and checked; None if nothing did.

        Raises:
            TypeError, ValueError: an array no longer fits. Nothing has been changed.
        """
        self.check_writable()
        indices = self._of_other_dtypes()
        if not (self._watched or indices):
            return None
        snapshot, moves = detect_changes(self._movable, self._snapshot)
        indices += [self._watched[k] for k in (*moves.changed, *moves.moved.tolist())]
        described = {i: self._described_again(i) for i in indices}
        moved = {i: m for i, m in described.items() if m != self.memories[i]}
        if moved or not self._checked:
            now = [moved.get(i, memory) for i, memory in enumerate(self.memories)]
            index = Index(now)
            self._check(now, index)
            self._checked = True
        if moved:
            return MovedParameters(moved, index, snapshot)
        self._snapshot = snapshot
        return None

    def check_writable(self) -> None:
        """Raise ValueError if a NumPy parameter has become read-only."""
        if not all(map(WRITEABLE, self._numpy)):
            raise self._read_only()

    def _of_other_dtypes(self) -> list[int]:
        """Return the indices of NumPy arrays whose dtype was changed since they were described."""
        dtypes = list(map(DTYPE, self._typed))
        if dtypes == self._dtypes:
            return []
        pairs = zip(self._typed_indices, dtypes, self._dtypes)
        return [i for i, now, before in pairs if now != before]

    def accept(self, moved: MovedParameters) -> None:
        """Store moves that were detected."""
        for i, memory in moved.memories.items():
            self.memories[i] = memory
        self.index, self._snapshot = moved.index, moved.snapshot
        self._dtypes = list(map(DTYPE, self._typed))

    def _begin_to_watch(self) -> None:
        """Describe every array again at the next step, and compare it with its last description.

        NumPy arrays cannot move: none can be resized while there are weak references to it.
        """
        count = len(self._arrays if self._states_exposed else self._params)
        pairs = list(enumerate(self._arrays[:count]))
        self._watched = [i for i, array in pairs if not isinstance(array, np.ndarray)]
        self._movable = [self._arrays[i] for i in self._watched]
        self._typed_indices = [i for i, array in pairs if isinstance(array, np.ndarray)]
        self._typed = [self._arrays[i] for i in self._typed_indices]
        self._dtypes = list(map(DTYPE, self._typed))
        self._references = list(map(weakref.ref, self._typed))
        self._snapshot = Snapshot()

    def _described_again(self, i: int) -> Memory:
        name, before = self.names[i], self.memories[i]
        as_known = describe if i < len(self._params) else describe_state
        memory = _described(self._arrays[i], name, before.address, as_known)
        if memory.shape != before.shape or memory.device != before.device:
            raise ParameterMovedError(
                f"{name}: was of shape {before.shape} on {before.device}, is now of shape "
                f"{memory.shape} on {memory.device}; make a new optimizer"
            )
        return memory

    def _check(self, memories: Sequence[Memory], index: Index) -> None:
        for name, memory in zip(self.names, memories):
            if not memory.writable:
                raise ValueError(_READ_ONLY.format(name))
            if memory.overlaps_itself:
                raise ValueError(f"{name}: elements of the array overlap (is it broadcast?)")
        for a, b in index.overlaps_within():
            same = memories[a] == memories[b]
            what = "are the same array" if same else "overlap in memory"
            raise ValueError(f"{self.names[a]} and {self.names[b]} {what}")

    def _read_only(self) -> ValueError:
        pairs = zip(self.names, self._params)
        names = [n for n, p in pairs if isinstance(p, np.ndarray) and not p.flags.writeable]
        return ValueError(_READ_ONLY.format(", ".join(names)))

    def _check_no_duplicates(self, names: Sequence[str]) -> None:
        first: dict[int, str] = {}
        for name, array in zip(names, self._params):
            if first.setdefault(id(array), name) != name:
                raise ValueError(f"{first[id(array)]} and {name} are the same array")


def _described(
    array: Any, name: str, known: int = -1, by: Callable[[Any, str], Memory] = describe
) -> Memory:
    """Describe an array that will be updated in place.

    Args:
        array: a parameter or a state.
        name: its name in errors.
        known: its last address.
        by: the function that describes it.

    Raises:
        TypeError: it cannot be updated in place.
    """
    memory = by(array, name)
    if memory.address != known and exports_copies(array, memory):
        raise TypeError(
            f"{name}: {type(array).__name__} makes new memory at each export; "
            "it cannot be updated in place"
        )
    return memory

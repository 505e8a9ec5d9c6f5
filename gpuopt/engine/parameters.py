"""The arrays that a step writes: where parameters and states lie, and whether that is well."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..arrays import Memory, describe
from ..arrays.aliasing import Index
from ..arrays.changes import Snapshot, detect_changes


class ParameterMovedError(ValueError):
    """An array is not what an optimizer was made for: of another shape, or on another device."""


_READ_ONLY = "{}: the array is read-only; it cannot be updated in place"


@dataclass(frozen=True)
class MovedParameters:
    """What of the written arrays is not where it was.

    Attributes:
        memories: where the arrays that moved lie now, by place.
        index: all of them, as they lie now.
        snapshot: what was seen.
    """

    memories: Mapping[int, Memory]
    index: Index
    snapshot: Snapshot


class Parameters:
    """Parameters, and behind them the states that they have so far.

    Attributes:
        names: what errors call each.
        memories: where each lies.
        index: all of them, to be asked what overlaps them.
    """

    def __init__(self, params: Sequence[Any], names: Sequence[str]) -> None:
        """Describe and check the parameters.

        Raises:
            TypeError: one is no array of floats.
            ValueError: one is read-only, overlaps itself or another, or is given twice.
        """
        self._params = list(params)
        self._check_given_once(names)
        self._numpy = [p for p in params if isinstance(p, np.ndarray)]
        self._states_exposed, self._checked = False, True
        self._snapshot = Snapshot()
        self.names, self._arrays = list(names), list(params)
        self.memories = [describe(array, name) for array, name in zip(params, names)]
        self.index = Index(self.memories)
        self._check(self.memories, self.index)
        self._begin_to_watch()

    def set_states(self, states: Sequence[Mapping[str, Any]]) -> None:
        """Watch these states, by parameter and name, from here on."""
        count = len(self._params)
        pairs = [
            (f"state {name!r} of {param}", array)
            for held, param in zip(states, self.names)
            for name, array in held.items()
        ]
        self.names = self.names[:count] + [name for name, _ in pairs]
        self._arrays = self._params + [array for _, array in pairs]
        # What is known of the parameters stays: they may have moved, and nobody has noticed yet.
        self.memories = self.memories[:count] + [describe(a, name) for name, a in pairs]
        self.index, self._checked = Index(self.memories), False
        self._begin_to_watch()

    def expose_states(self) -> None:
        """Watch the states, too, from here on: somebody got hold of them, and may move them."""
        if not self._states_exposed:
            self._states_exposed = True
            self._begin_to_watch()

    def detect_changes(self) -> MovedParameters | None:
        """Find, describe and check what moved since the last step; None: nothing did.

        Raises:
            TypeError, ValueError: an array no longer fits. Nothing has been changed.
        """
        self.check_writable()
        if not self._watched:
            return None
        snapshot, moves = detect_changes(self._movable, self._snapshot)
        places = [self._watched[k] for k in (*moves.changed, *moves.moved)]
        described = {i: self._described_again(i) for i in places}
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
        if not all([array.flags.writeable for array in self._numpy]):
            raise self._read_only()

    def accept(self, moved: MovedParameters) -> None:
        """Take what moved for what is."""
        for i, memory in moved.memories.items():
            self.memories[i] = memory
        self.index, self._snapshot = moved.index, moved.snapshot

    def _begin_to_watch(self) -> None:
        """Look at all anew the next time, and compare it with what is known."""
        count = len(self._arrays if self._states_exposed else self._params)
        pairs = list(enumerate(self._arrays[:count]))
        self._watched = [i for i, array in pairs if not isinstance(array, np.ndarray)]
        self._movable = [self._arrays[i] for i in self._watched]
        self._snapshot = Snapshot()

    def _described_again(self, i: int) -> Memory:
        name, before = self.names[i], self.memories[i]
        memory = describe(self._arrays[i], name)
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

    def _check_given_once(self, names: Sequence[str]) -> None:
        first: dict[int, str] = {}
        for name, array in zip(names, self._params):
            if first.setdefault(id(array), name) != name:
                raise ValueError(f"{first[id(array)]} and {name} are the same array")

"""From the tensors of a step to its launches."""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType

from ..kernels.numpy import blocks
from .device_launch import DeviceLaunch, runs_on_device
from .dispatch import Place, chosen, place_of
from .groups import Groups
from .host_launch import HostLaunch
from .launch import Launch
from .numpy_launch import NumpyLaunch
from .sharding import Sharding
from .staging import Staged, stage
from .states import States
from .table import Entry, Table, build_tables


class Builder:
    """Builds the launches of a step: the tables first, then what NumPy updates."""

    def __init__(
        self, places: Sequence[Place], states: States, groups: Groups, sharding: Sharding | None
    ) -> None:
        """Take what launches are built from.

        Args:
            places: of all parameters.
            states: of the parameters.
            groups: the options of each group.
            sharding: keeps tensors of different process groups in tables of their own; None: they
                may share one.
        """
        self._places, self._states, self._groups = places, states, groups
        self._sharding = sharding

    def build(self, entries: Sequence[Entry]) -> list[Launch]:
        """Return the launches of some tensors; compiles kernels and copies tables to devices."""
        tables: list[Launch] = []
        others: list[Launch] = []
        for place in self._places:
            here = [e for e in entries if place_of(e.memory[0]) == place]
            module = chosen(*place).load()
            if module is blocks:
                others += map(self._by_numpy, here)
                continue
            flat = [e for e in here if e.flat]
            strided = [e for e in here if not e.flat]
            staged: dict[int, Staged] = {}
            if runs_on_device(module):
                staged = {e.index: stage(e, self._states.arrays_of(e)) for e in strided}
                flat += [s.entry for s in staged.values()]
            else:
                others += map(self._by_numpy, strided)
            for alike in self._partition(flat):
                for table in build_tables(alike, module.CHUNK):
                    tables.append(self._of_table(table, module, staged))
        return [*tables, *others]

    def _partition(self, entries: Sequence[Entry]) -> list[list[Entry]]:
        """Return the tensors of each process groups, or all in one list."""
        if self._sharding is None:
            return [list(entries)]
        index_of = self._sharding.index_of
        indices = range(len(self._sharding.process_groups))
        return [[e for e in entries if index_of[e.index] == k] for k in indices]

    def _of_table(self, table: Table, module: ModuleType, staged: dict[int, Staged]) -> Launch:
        states, update = self._states, table.update
        group_of = states.group_of[table.tensors]
        if update.carried_names:
            table.carried[...] = [states.carried_of(i, update) for i in table.tensors]
        if not runs_on_device(module):
            return HostLaunch(table, module, group_of)
        own = [staged[i] for i in table.tensors.tolist() if i in staged]
        return DeviceLaunch(table, module, group_of, states.steps, self._groups, own)

    def _by_numpy(self, entry: Entry) -> NumpyLaunch:
        states = self._states
        group, arrays = int(states.group_of[entry.index]), states.arrays_of(entry)
        return NumpyLaunch(entry, group, arrays, states.carried_of(entry.index, entry.update))

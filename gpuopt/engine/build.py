"""Build the launches of a step from its tensors."""

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


def build_launches(
    entries: Sequence[Entry],
    places: Sequence[Place],
    states: States,
    groups: Groups,
    sharding: Sharding | None,
) -> list[Launch]:
    """Return the launches of a step: tables first, then tensors that NumPy updates.

    Kernels are compiled here, and tables copied to their devices.

    Args:
        entries: the tensors.
        places: the places of all parameters.
        states: the states of the parameters.
        groups: the options of each group.
        sharding: separates tensors of different process groups into different tables; None if
            they may share one.
    """
    tables: list[Launch] = []
    by_numpy: list[Entry] = []
    for place in places:
        here = [e for e in entries if place_of(e.memory[0]) == place]
        module = chosen(*place).load()
        if module is blocks:
            by_numpy += here
            continue
        flat = [e for e in here if e.flat]
        strided = [e for e in here if not e.flat]
        staged: dict[int, Staged] = {}
        if runs_on_device(module):
            staged = {e.index: stage(e, states.arrays_of(e)) for e in strided}
            flat += [s.entry for s in staged.values()]
        else:
            by_numpy += strided
        for alike in _partition(flat, sharding):
            for table in build_tables(alike, module.CHUNK):
                tables.append(_of_table(table, module, states, groups, staged))
    return [*tables, *(_of_tensor(entry, states) for entry in by_numpy)]


def _partition(entries: Sequence[Entry], sharding: Sharding | None) -> list[list[Entry]]:
    """Return the tensors for each tuple of process groups, or all in one list."""
    if sharding is None:
        return [list(entries)]
    indices = range(len(sharding.process_groups))
    return [[e for e in entries if sharding.index_of[e.index] == k] for k in indices]


def _of_table(
    table: Table, module: ModuleType, states: States, groups: Groups, staged: dict[int, Staged]
) -> Launch:
    if table.carried.size:
        table.carried[...] = [states.carried_of(i, table.update) for i in table.tensors]
    group_of = states.group_of[table.tensors]
    if not runs_on_device(module):
        return HostLaunch(table, module, group_of)
    own = [staged[i] for i in table.tensors.tolist() if i in staged]
    held = [state for i in table.tensors.tolist() for state in states.arrays[i].values()]
    return DeviceLaunch(table, module, group_of, states.steps, groups, own, held)


def _of_tensor(entry: Entry, states: States) -> NumpyLaunch:
    group, carried = int(states.group_of[entry.index]), states.carried_of(entry.index, entry.update)
    return NumpyLaunch(entry, group, states.arrays_of(entry), carried)

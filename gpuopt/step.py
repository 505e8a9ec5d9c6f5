"""One fused step over the tensors of one optimizer.

Everything that can be wrong is found before anything is written: gradients are described and
checked, states allocated and kernels compiled, and only then does the first element change.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from .arrays import Memory, describe, mark_written, whereabouts, zeros_like
from .dispatch import chosen
from .kernels import numpy_blocked
from .kernels.storage import compute_dtype
from .launch import DeviceLaunch, Group, HostLaunch, Launch, coefficients_of
from .overlap import Index
from .staging import Staged, stage
from .table import Entry, Table, build_tables, grad_address

__all__ = ["FusedStep", "Group"]


def _nothing() -> None:
    return None


class FusedStep:
    """Parameters with their states and step counts, and the tables of their next step.

    Attributes:
        params: the arrays that are updated.
        group_of: the group of each.
        states: by tensor, its states by name; empty until its first gradient.
    """

    def __init__(
        self, params: Sequence[Any], names: Sequence[str], group_of: Sequence[int]
    ) -> None:
        """Check the parameters.

        Args:
            params: NumPy arrays, torch tensors or arrays that speak DLPack.
            names: what errors call each.
            group_of: the group that each belongs to.

        Raises:
            TypeError: one is no array of floats.
            ValueError: one is read-only, overlaps itself or another, or is given twice.
        """
        self.params = list(params)
        self.names = list(names)
        self.group_of = np.array(group_of, np.int64)
        self._steps = np.zeros(len(params), np.int64)
        self.states: list[dict[str, Any]] = [{} for _ in params]
        self._memory = [describe(p, name) for p, name in zip(params, names)]
        self._check_params(self._memory)
        places = ((i, whereabouts(p)) for i, p in enumerate(params))
        self._places = {i: place for i, place in places if place is not None}
        self._grad_places: dict[int, object] = {}
        self._grads: list[Memory | None] = [None] * len(params)
        self._last: list[Callable[[], Any]] = [_nothing] * len(params)
        self._addresses = np.zeros(len(params), np.int64)
        self._forget_tables()

    @property
    def steps(self) -> npt.NDArray[np.int64]:
        """How many updates each parameter has had; waits for devices that count themselves."""
        for launch in self._launches:
            launch.pull_steps(self._steps)
        return self._steps

    def load(self, steps: Sequence[int], states: Sequence[dict[str, Any]]) -> None:
        """Take over step counts and states; the next step builds its tables anew."""
        self._steps[:] = steps
        self.states = list(states)
        self._forget_tables()

    def complete_states(self, groups: Sequence[Group]) -> None:
        """Allocate the states that updated tensors lack since an option picked another rule."""
        updated = [i for i, step in enumerate(self.steps.tolist()) if step or self.states[i]]
        self._allocate_states(updated, groups)

    def _forget_tables(self) -> None:
        self._launches: list[Launch] = []
        self._loose: list[Entry] = []
        self._staged: list[Staged] = []
        self._built_for: tuple[Any, ...] | None = None
        self._written: Index | None = None

    @property
    def devices(self) -> tuple[str, ...]:
        """Where the parameters lie."""
        return tuple(dict.fromkeys(m.device for m in self._memory)) or ("cpu",)

    @property
    def backends(self) -> tuple[str, ...]:
        """What updates the parameters: the backend of each device, and of strided arrays."""
        names = [chosen(device).name for device in self.devices]
        return tuple(dict.fromkeys((*names, "numpy") if self._loose else names))

    def run(self, grads: Sequence[Any], groups: Sequence[Group]) -> None:
        """Update every parameter that has a gradient, once.

        Args:
            grads: one array for each parameter, of its shape, in any memory order and float
                dtype; None where the parameter rests.
            groups: what each group wants.

        Raises:
            TypeError, ValueError: a gradient does not fit; nothing has been changed.
            BackendError: the forced backend cannot run; nothing has been changed.
        """
        params = self._moved_params()
        moved = self._describe_moved(grads, params)
        backends = {device: chosen(device) for device in self.devices}
        key = (
            tuple(g.update for g in groups),
            tuple(g.state_dtype for g in groups),
            *backends.values(),
        )
        stale = (
            key != self._built_for
            or bool(params)
            or any(
                memory is not None and self._layout_changed(i, memory)
                for i, memory in moved.items()
            )
        )
        self._accept(moved, params, grads)
        if stale:
            self._built_for = None
            self._build(groups)
            self._built_for = key
        if stale or moved:
            self._send_addresses()
        self._launch(grads, groups)

    # --- finding out what changed ---------------------------------------------------------

    def _check_params(self, memories: Sequence[Memory]) -> None:
        for name, memory in zip(self.names, memories):
            if not memory.writable:
                raise ValueError(f"{name}: the array is read-only; it cannot be updated in place")
            if memory.overlaps_itself:
                raise ValueError(f"{name}: elements of the array overlap (is it broadcast?)")
        for place, other in Index(memories).overlapping(memories):
            if place != other:
                a, b = sorted((place, other))
                same = memories[a] == memories[b]
                what = "are the same array" if same else "overlap in memory"
                raise ValueError(f"{self.names[a]} and {self.names[b]} {what}")
        first = {id(p): i for i, p in reversed(list(enumerate(self.params)))}
        for i, param in enumerate(self.params):
            if first[id(param)] != i:
                names = self.names[first[id(param)]], self.names[i]
                raise ValueError(f"{names[0]} and {names[1]} are the same array")

    def _describe_moved(
        self, grads: Sequence[Any], params: Mapping[int, Memory]
    ) -> dict[int, Memory | None]:
        """Describe and check the gradients that are not where they were; None: now resting.

        ``params``: the parameters that are not where they were.
        """
        moved: dict[int, Memory | None] = {}
        for i, (grad, last) in enumerate(zip(grads, self._last)):
            if grad is None:
                if self._addresses[i]:
                    moved[i] = None
            elif grad is not last():
                moved[i] = self._describe_grad(i, grad)
        for i, place in self._grad_places.items():
            if i not in moved and whereabouts(grads[i]) != place:
                moved[i] = self._describe_grad(i, grads[i])
        # A parameter that moved may have come to lie on a gradient that stayed.
        known = {**dict(enumerate(self._grads)), **moved} if params else moved
        present = {i: m for i, m in known.items() if m is not None and grads[i] is not None}
        if present:
            self._check_grads_apart(present, params)
        return moved

    def _describe_grad(self, i: int, grad: Any) -> Memory:
        param, name = self._memory[i], f"gradient of {self.names[i]}"
        memory = describe(grad, name)
        if memory.shape != param.shape:
            raise ValueError(f"{name}: expected shape {param.shape}, got {memory.shape}")
        if memory.device != param.device:
            raise ValueError(f"{name}: expected an array on {param.device}, got {memory.device}")
        return memory

    def _check_grads_apart(self, grads: dict[int, Memory], params: Mapping[int, Memory]) -> None:
        written = None if params else self._written
        if written is None:
            states = [describe(s, "state") for held in self.states for s in held.values()]
            written = Index([*(params.get(i, m) for i, m in enumerate(self._memory)), *states])
        if not params:
            self._written = written
        places = list(grads)
        for place, other in written.overlapping(list(grads.values())):
            what = self.names[other] if other < len(self.names) else "a state"
            raise ValueError(f"gradient of {self.names[places[place]]}: overlaps {what} in memory")

    def _moved_params(self) -> dict[int, Memory]:
        """Describe and check the parameters that are not where they were."""
        moved = {}
        for i, place in self._places.items():
            param, before = self.params[i], self._memory[i]
            if whereabouts(param) != place:
                memory = describe(param, self.names[i])
                if memory.shape != before.shape or memory.device != before.device:
                    raise ValueError(
                        f"{self.names[i]}: was of shape {before.shape} on {before.device}, is now "
                        f"of shape {memory.shape} on {memory.device}; make a new optimizer"
                    )
                if memory != before:
                    moved[i] = memory
        if moved:
            self._check_params([moved.get(i, m) for i, m in enumerate(self._memory)])
        return moved

    def _layout_changed(self, i: int, memory: Memory) -> bool:
        last = self._grads[i]
        return (
            last is None
            or memory.dtype != last.dtype
            or memory.order != last.order
            or memory.device != last.device
            or (memory.address - last.address) % 16 != 0
        )

    def _accept(
        self, moved: dict[int, Memory | None], params: dict[int, Memory], grads: Sequence[Any]
    ) -> None:
        for i, memory in params.items():
            self._memory[i] = memory
            self._places[i] = whereabouts(self.params[i])
            self._written = None
        for i, grad in moved.items():
            place = whereabouts(grads[i])
            if place is None or grad is None:
                self._grad_places.pop(i, None)
            else:
                self._grad_places[i] = place
            self._addresses[i] = 0 if grad is None else grad_address(grad)
            self._last[i] = _nothing if grad is None else _reference(grads[i])
            self._grads[i] = grad or self._grads[i]

    # --- building -------------------------------------------------------------------------

    def _build(self, groups: Sequence[Group]) -> None:
        steps = self.steps
        known = [i for i, grad in enumerate(self._grads) if grad is not None]
        self._allocate_states(known, groups)
        entries = [self._entry(i, groups) for i in known]
        launches: list[Launch] = []
        loose: list[Entry] = []
        staged: list[Staged] = []
        for device in self.devices:
            here = [e for e in entries if e.memory[0].device == device]
            module = chosen(device).load()
            if module is numpy_blocked:
                loose += here
                continue
            flat = [e for e in here if e.flat]
            others = [e for e in here if not e.flat]
            if hasattr(module, "DeviceTable"):
                staged += [self._stage(entry) for entry in others]
                flat += [s.entry for s in staged if s.entry.memory[0].device == device]
            else:
                loose += others
            for table in build_tables(flat, module.CHUNK):
                launches.append(self._new_launch(table, module, steps, groups))
        self._launches, self._loose, self._staged = launches, loose, staged

    def _new_launch(
        self,
        table: Table,
        module: ModuleType,
        steps: npt.NDArray[np.int64],
        groups: Sequence[Group],
    ) -> Launch:
        group_of = self.group_of[table.tensors]
        if hasattr(module, "DeviceTable"):
            return DeviceLaunch(table, module, group_of, steps, groups)
        return HostLaunch(table, module, group_of)

    def _stage(self, entry: Entry) -> Staged:
        states = [self.states[entry.index][name] for name in entry.update.rule.states]
        return stage(entry, self.params[entry.index], states)

    def _entry(self, i: int, groups: Sequence[Group]) -> Entry:
        update = groups[self.group_of[i]].update
        states = [describe(self.states[i][name], name) for name in update.rule.states]
        grad = self._grads[i]
        assert grad is not None
        return Entry(i, update, (self._memory[i], grad, *states))

    def _allocate_states(self, known: Sequence[int], groups: Sequence[Group]) -> None:
        made = []
        for i in known:
            group = groups[self.group_of[i]]
            rule = group.update.rule
            dtype = group.state_dtype or compute_dtype(self._memory[i].dtype)
            for name in rule.states:
                if name not in self.states[i]:
                    start = group.options.get(rule.initial.get(name, ""), 0.0)
                    made.append((i, name, zeros_like(self.params[i], dtype, start)))
        for i, name, state in made:
            self.states[i][name] = state
        if made:
            self._written = None

    # --- running --------------------------------------------------------------------------

    def _send_addresses(self) -> None:
        addresses = self._addresses.copy()
        for staged in self._staged:
            i = staged.entry.index
            addresses[i] = grad_address(staged.entry.memory[1]) if addresses[i] else 0
        for launch in self._launches:
            row = addresses[launch.table.tensors]
            if not np.array_equal(row, launch.table.addresses[1]):
                launch.table.addresses[1] = row
                launch.send_addresses()

    def _launch(self, grads: Sequence[Any], groups: Sequence[Group]) -> None:
        active = self._addresses != 0
        staged = [s for s in self._staged if active[s.entry.index]]
        for tensor in staged:
            tensor.before(grads[tensor.entry.index])
        for launch in self._launches:
            launch.run(self._steps, groups)
        for tensor in staged:
            tensor.after()
        for entry in self._loose:
            if active[entry.index]:
                self._run_loose(entry, groups)
        self._steps += active
        if self._places:
            mark_written([self.params[i] for i in self._places if active[i]])

    def _run_loose(self, entry: Entry, groups: Sequence[Group]) -> None:
        """Update a tensor on its own: one with gaps, say, or whose gradient is transposed."""
        i = entry.index
        param, _, *states = entry.memory
        grad = self._grads[i]
        assert grad is not None
        coefficients = coefficients_of(groups, int(self.group_of[i]), int(self._steps[i]) + 1)
        with np.errstate(over="ignore"):  # beyond float32 is inf, as everywhere
            rounded = np.array(coefficients).astype(compute_dtype(param.dtype))
        arrays = [m.view for m in (param, grad, *states)]
        numpy_blocked.run(entry.update, arrays, entry.dtypes, rounded)


def _reference(array: Any) -> Callable[[], Any]:
    try:
        return weakref.ref(array)
    except TypeError:
        return _nothing

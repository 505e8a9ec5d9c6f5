"""One fused step over the tensors of one optimizer.

Everything that can be wrong is found before anything is written: gradients are described and
checked, states allocated and kernels compiled, and only then does the first element change.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from .arrays import Memory, addresses_may_move, describe, mark_written, zeros_like
from .compose import Update
from .dispatch import chosen
from .kernels import numpy_blocked
from .kernels.storage import compute_dtype
from .overlap import Index
from .table import Entry, Table, build_tables, grad_address


@dataclass(frozen=True, eq=False)
class Group:
    """What one group of tensors wants from the next step.

    Attributes:
        update: the composed update.
        options: the hyperparameters that its coefficients are computed from.
        state_dtype: of the states, or None for float32 (float64 for float64 parameters).
    """

    update: Update
    options: Mapping[str, float]
    state_dtype: str | None = None


def _nothing() -> None:
    return None


class FusedStep:
    """Parameters with their states and step counts, and the tables of their next step.

    Attributes:
        params: the arrays that are updated.
        group_of: the group of each.
        steps: int64, how many updates each has had.
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
        self.steps = np.zeros(len(params), np.int64)
        self.states: list[dict[str, Any]] = [{} for _ in params]
        self._memory = [describe(p, name) for p, name in zip(params, names)]
        self._check_params(self._memory)
        self._mobile = [i for i, p in enumerate(params) if addresses_may_move(p)]
        self._grads: list[Memory | None] = [None] * len(params)
        self._last: list[Callable[[], Any]] = [_nothing] * len(params)
        self._addresses = np.zeros(len(params), np.int64)
        self._forget_tables()

    def load(self, steps: Sequence[int], states: Sequence[dict[str, Any]]) -> None:
        """Take over step counts and states; the next step builds its tables anew."""
        self.steps[:] = steps
        self.states = list(states)
        self._forget_tables()

    def _forget_tables(self) -> None:
        self._tables: list[tuple[Table, ModuleType]] = []
        self._loose: list[Entry] = []
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
        moved = self._describe_moved(grads)
        params = self._moved_params()
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
            for table, _ in self._tables:
                table.addresses[1] = self._addresses[table.tensors]
        self._launch(groups)

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

    def _describe_moved(self, grads: Sequence[Any]) -> dict[int, Memory | None]:
        """Describe and check the gradients that are not where they were; None: now resting."""
        moved: dict[int, Memory | None] = {}
        for i, (grad, last) in enumerate(zip(grads, self._last)):
            if grad is not last():
                moved[i] = None if grad is None else self._describe_grad(i, grad)
        for i in self._mobile_grads(grads):
            if i not in moved and grads[i].data_ptr() != self._grad_pointer(i):
                moved[i] = self._describe_grad(i, grads[i])
        present = {i: memory for i, memory in moved.items() if memory is not None}
        if present:
            self._check_grads_apart(present)
        return moved

    def _mobile_grads(self, grads: Sequence[Any]) -> list[int]:
        return [i for i in self._mobile if hasattr(grads[i], "data_ptr")]

    def _grad_pointer(self, i: int) -> int:
        memory = self._grads[i]
        return -1 if memory is None else memory.address

    def _describe_grad(self, i: int, grad: Any) -> Memory:
        param, name = self._memory[i], f"gradient of {self.names[i]}"
        memory = describe(grad, name)
        if memory.shape != param.shape:
            raise ValueError(f"{name}: expected shape {param.shape}, got {memory.shape}")
        if memory.device != param.device:
            raise ValueError(f"{name}: expected an array on {param.device}, got {memory.device}")
        return memory

    def _check_grads_apart(self, moved: dict[int, Memory]) -> None:
        if self._written is None:
            states = [describe(s, "state") for held in self.states for s in held.values()]
            self._written = Index([*self._memory, *states])
        places = list(moved)
        for place, other in self._written.overlapping(list(moved.values())):
            what = self.names[other] if other < len(self.names) else "a state"
            raise ValueError(f"gradient of {self.names[places[place]]}: overlaps {what} in memory")

    def _moved_params(self) -> dict[int, Memory]:
        """Describe and check the parameters that are not where they were."""
        moved = {}
        for i in self._mobile:
            param, before = self.params[i], self._memory[i]
            if not hasattr(param, "data_ptr") or param.data_ptr() != before.address:
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
            self._written = None
        for i, grad in moved.items():
            self._addresses[i] = 0 if grad is None else grad_address(grad)
            self._last[i] = _nothing if grad is None else _reference(grads[i])
            self._grads[i] = grad or self._grads[i]

    # --- building -------------------------------------------------------------------------

    def _build(self, groups: Sequence[Group]) -> None:
        known = [i for i, grad in enumerate(self._grads) if grad is not None]
        self._allocate_states(known, groups)
        entries = [self._entry(i, groups) for i in known]
        tables: list[tuple[Table, ModuleType]] = []
        loose: list[Entry] = []
        for device in self.devices:
            here = [e for e in entries if e.memory[0].device == device]
            module = chosen(device).load()
            flat = [e for e in here if module is not numpy_blocked and e.flat]
            taken = {e.index for e in flat}
            loose += [e for e in here if e.index not in taken]
            for table in build_tables(flat, getattr(module, "CHUNK", 1)):
                module.compile(table.update, table.dtypes)
                tables.append((table, module))
        self._tables, self._loose = tables, loose

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

    def _launch(self, groups: Sequence[Group]) -> None:
        active = self._addresses != 0
        for table, _ in self._tables:
            self._fill_coefficients(table, groups)
        for table, module in self._tables:
            module.run(
                table.update,
                table.dtypes,
                table.addresses,
                table.sizes,
                table.chunks,
                table.coefficients,
                table.ends,
            )
        for entry in self._loose:
            if active[entry.index]:
                self._run_loose(entry, groups)
        self.steps += active
        if self._mobile:
            mark_written([self.params[i] for i in self._mobile if active[i]])

    def _fill_coefficients(self, table: Table, groups: Sequence[Group]) -> None:
        """Compute them once for each pair of group and step count in the table."""
        keys = np.stack([self.group_of[table.tensors], self.steps[table.tensors] + 1])
        if (keys == keys[:, :1]).all():
            table.coefficients[...] = self._coefficients(groups, keys[:, 0])
            return
        distinct, inverse = np.unique(keys, axis=1, return_inverse=True)
        rows = [self._coefficients(groups, key) for key in distinct.T]
        table.coefficients[...] = np.array(rows)[inverse.reshape(-1)]

    def _coefficients(
        self, groups: Sequence[Group], key: npt.NDArray[np.int64]
    ) -> tuple[float, ...]:
        group = groups[key[0]]
        return group.update.coefficients(int(key[1]), group.options)

    def _run_loose(self, entry: Entry, groups: Sequence[Group]) -> None:
        """Update a tensor on its own: one with gaps, say, or whose gradient is transposed."""
        i = entry.index
        param, _, *states = entry.memory
        grad = self._grads[i]
        assert grad is not None
        key = np.array([self.group_of[i], self.steps[i] + 1])
        coefficients = np.array(self._coefficients(groups, key)).astype(compute_dtype(param.dtype))
        arrays = [m.view for m in (param, grad, *states)]
        numpy_blocked.run(entry.update, arrays, entry.dtypes, coefficients)


def _reference(array: Any) -> Callable[[], Any]:
    try:
        return weakref.ref(array)
    except TypeError:
        return _nothing

"""One fused step over the tensors of one optimizer.

Everything that can be wrong is found before anything is written: gradients are described and
checked, states allocated and kernels compiled, and only then does the first element change.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import compress
from operator import itemgetter
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from ..arrays import (
    LazyError,
    Memory,
    bare,
    copy_as,
    copy_into,
    describe,
    fill,
    is_lazy,
    is_torchs,
    mark_written,
    resolved,
    scalars,
    to_numpy,
    zeros_like,
)
from ..kernels.numpy import blocks as numpy_blocked
from ..kernels.storage import compute_dtype
from ..kernels.table import PARTIALS
from ..variables import warn_of_unknown_variables
from .compose import NO_TAIL, Update
from .dispatch import Place, chosen, place_of
from .gradients import Gradients
from .groups import Group, Groups
from .launch import DeviceLaunch, DevicePlace, HostLaunch, Launch
from .measure import measure_for
from .norm import Norm
from .sharding import ProcessGroups, Sharding
from .staging import Staged, stage
from .stats import TensorStats, stats_of
from .table import Entry, Table, build_tables, grad_address
from .tail import Tail

__all__ = ["FusedStep", "Group"]


class FusedStep:
    """Parameters with their states and step counts, and the tables of their next step.

    Attributes:
        params: the arrays that are updated.
        group_of: the group of each.
        states: by tensor, its states by name; empty until its first gradient.
        inputs: where parameters and gradients lie.
        tail: what surrounds the update.
        norm: what is known of the last step's gradients, if that wants to know it.
        places: where the parameters lie, and whose they are.
    """

    def __init__(
        self,
        params: Sequence[Any],
        names: Sequence[str],
        group_of: Sequence[int],
        tail: Tail = NO_TAIL,
        process_groups: Sequence[ProcessGroups | None] = (),
        norm_groups: Sequence[ProcessGroups] = (),
    ) -> None:
        """Check the parameters.

        Args:
            params: NumPy arrays, torch tensors or arrays that speak DLPack.
            names: what errors call each.
            group_of: the group that each belongs to.
            tail: what surrounds the update.
            process_groups: the processes that each is a part of a tensor of; nothing, if none is.
            norm_groups: those that ask for the norm, whichever parameters there are.

        Raises:
            TypeError: one is no array of floats.
            ValueError: one is read-only, overlaps itself or another, or is given twice.
        """
        warn_of_unknown_variables()
        self._sharding = Sharding(process_groups, len(params), norm_groups)
        self.tail, self.norm = tail, Norm(tail, self._sharding)
        self.params = list(params)
        self.gradients = Gradients(self.params, names, tail.zero_grads)
        self.group_of = np.array(group_of, np.int64)
        self._steps = np.zeros(len(params), np.int64)
        self._carried: list[dict[str, float]] = [{} for _ in params]
        self.states: list[dict[str, Any]] = [{} for _ in params]
        places = dict.fromkeys(map(place_of, self.gradients.params()))
        self.places = tuple(places) or (Place("cpu"),)
        self._tensor_places = [i for i, param in enumerate(params) if is_torchs(param)]
        self._tensors = [params[i] for i in self._tensor_places]
        self._active = np.zeros(len(params), np.bool_)
        self._updated: list[Any] = []
        self._launches: list[Launch] = []
        self._captured: list[Any] = []
        self._forget_tables()

    @property
    def steps(self) -> npt.NDArray[np.int64]:
        """How many updates each parameter has had; waits for devices that count themselves."""
        for launch in self._launches:
            launch.pull_steps(self._steps)
        return self._steps

    @property
    def carried(self) -> list[dict[str, float]]:
        """The numbers that each parameter carries from step to step; waits as `steps` does."""
        for launch in self._launches:
            launch.pull_carried(self._carried)
        return self._carried

    def load(
        self,
        steps: Sequence[int],
        states: Sequence[dict[str, Any]],
        carried: Sequence[Mapping[str, float]] = (),
    ) -> None:
        """Take over step counts and states; the next step builds its tables anew.

        Args:
            steps: updates that each parameter has had.
            states: of each parameter, by name.
            carried: what each carries to its next step; what is missing starts where it does.
        """
        self._forget_tables()
        self._steps[:] = steps
        self._carried = [dict(numbers) for numbers in carried or [{} for _ in self.params]]
        self.states = list(states)
        self.gradients.parameters.set_states(self.states)

    def expose_states(self) -> list[dict[str, Any]]:
        """Return the live states, and watch from here on whether somebody moves them."""
        self.gradients.parameters.lend()
        return self.states

    def stats(self) -> list[TensorStats]:
        """Return the statistics of each parameter at the last step; waits for devices.

        Of one that rested zeros, of whatever backend.
        Of a tensor that is spread over processes those of all of it: waits for the others, too.
        """
        found = np.zeros((len(self.params), 3, len(PARTIALS)))
        for i, watched in self._partials.items():
            found[i] = watched
        for launch in self._launches:
            found[launch.table.tensors] = launch.read_partials(self.tail.measures)
        for i, measured in self._measured.items():
            found[i, 0] = measured
        found[~self._active] = 0.0
        return [stats_of(own, self.norm.factor()) for own in self._sharding.together(found)]

    def complete_states(self, groups: Groups) -> None:
        """Allocate the states that updated tensors lack since an option picked another rule."""
        updated = [i for i, step in enumerate(self.steps.tolist()) if step or self.states[i]]
        self._allocate_states(updated, groups)

    def _forget_tables(self) -> None:
        self._keep_captured()
        self._forget_watched()
        self._launches = []
        self._strided: list[Entry] = []
        self._staged: list[Staged] = []
        self._built_for: tuple[Any, ...] | None = None

    def _forget_watched(self) -> None:
        self._partials: dict[int, npt.NDArray[np.float64]] = {}
        self._measured: dict[int, npt.NDArray[np.float64]] = {}

    def _keep_captured(self) -> None:
        """Let tables and states live on, of which a graph that was captured knows the addresses."""
        captured = [launch for launch in self._launches if launch.captured]
        if captured:
            held = [dict(states) for states in self.states]
            self._captured.append((captured, self._staged, held))

    @property
    def backends(self) -> tuple[str, ...]:
        """What updates the parameters: the backend of each device, and of strided arrays."""
        names = [chosen(*place).name for place in self.places]
        return tuple(dict.fromkeys((*names, "numpy") if self._strided else names))

    def run(self, grads: Sequence[Any], groups: Sequence[Group], skip: Any = None) -> None:
        """Update every parameter that has a gradient, once.

        Args:
            grads: one array for each parameter, of its shape, in any memory order and float
                dtype; None where the parameter rests.
            groups: what each group wants.
            skip: an array of one float; unless it is 0, nothing is changed. Devices read it
                themselves; for parameters of the host, the host does.

        Raises:
            TypeError, ValueError: a gradient does not fit; nothing has been changed.
            BackendError: the forced backend cannot run; nothing has been changed.
        """
        if skip is not None and scalars.on_host(skip):
            if scalars.value_of(skip):
                self.norm.skip()
                self._skip(grads)
                return
            skip = None
        if skip is not None:
            grads = self._without_skipped(grads, skip)
        try:
            changes = self.gradients.detect_changes(grads)
        except LazyError:
            self._run_on_copies(grads, groups, skip)
            return
        groups = Groups.of(groups)
        key = (groups.updates, groups.state_dtypes, *(chosen(*place) for place in self.places))
        stale = key != self._built_for or self.gradients.layout_changed(changes)
        self.gradients.accept(changes)
        if stale:
            self._built_for = None
            self._build(groups)
            self._built_for = key
        if stale or changes:
            self._point_to_gradients()
        self._launch(grads, groups, skip)

    def _run_on_copies(self, grads: Sequence[Any], groups: Sequence[Group], skip: Any) -> None:
        """Update from copies of the gradients whose memory does not hold their values."""
        self.check(grads)
        self.run([resolved(grad) for grad in grads], groups, skip)
        self._zero([grad for grad in grads if is_lazy(grad)])

    def check(self, grads: Sequence[Any]) -> None:
        """Raise if the memory of gradients does not fit, whatever it holds.

        Raises:
            TypeError, ValueError: it does not; nothing has been changed.
        """
        self.gradients.detect_changes([bare(grad) for grad in grads])

    def _without_skipped(self, grads: Sequence[Any], skip: Any) -> Sequence[Any]:
        """Return the gradients, without those that the host is to skip.

        Waits for the device of ``skip`` only if the host updates a parameter.
        """
        by_host = {place for place in self.places if not _is_of_device(chosen(*place).load())}
        if not by_host or not scalars.value_of(skip):
            return grads
        of_host = [place_of(memory) in by_host for memory in self.gradients.params()]
        self._skip(list(compress(grads, of_host)))
        return [None if here else grad for here, grad in zip(of_host, grads)]

    # --- building -------------------------------------------------------------------------

    def _build(self, groups: Groups) -> None:
        steps, _ = self.steps, self.carried  # those of tables that go now
        self.gradients.forget_inactive(steps == 0)
        known = [i for i, grad in enumerate(self.gradients.grads) if grad is not None]
        self._allocate_states(known, groups)
        params = self.gradients.params()
        entries = [self._entry(i, params, groups) for i in known]
        launches: list[Launch] = []
        strided: list[Entry] = []
        staged: list[Staged] = []
        for place in self.places:
            here = [e for e in entries if place_of(e.memory[0]) == place]
            module = chosen(*place).load()
            if module is numpy_blocked:
                strided += here
                continue
            flat = [e for e in here if e.flat]
            others = [e for e in here if not e.flat]
            if _is_of_device(module):
                stand_ins = [self._stage(entry) for entry in others]
                staged += stand_ins
                flat += [s.entry for s in stand_ins]
            else:
                strided += others
            for alike in self._alike(flat):
                for table in build_tables(alike, module.CHUNK):
                    launches.append(self._new_launch(table, module, steps, groups))
        if self._measures_kinds:
            self.norm.expect(self._totals_wanted())
        self._keep_captured()
        self._forget_watched()  # what was strided may be in a table now
        self._launches, self._strided, self._staged = launches, strided, staged

    @property
    def _measures_kinds(self) -> bool:
        """Whether the norm tells apart which tensors are spread over which processes."""
        return self.tail.measures and self._sharding.shared

    def _alike(self, entries: Sequence[Entry]) -> list[list[Entry]]:
        """Return the entries of each kind of spread, or of all together."""
        if not self._measures_kinds:
            return [list(entries)]
        kinds = range(len(self._sharding.process_groups))
        return [[e for e in entries if self._sharding.of[e.index] == kind] for kind in kinds]

    def _totals_wanted(self) -> list[tuple[DevicePlace | None, int]]:
        """Return where each kind of spread is measured: on a device, or by the host."""
        wanted: dict[tuple[DevicePlace | None, int], None] = {}
        for kind, memory in zip(self._sharding.of.tolist(), self.gradients.params()):
            module = chosen(*place_of(memory)).load()
            own = (module, memory.device, memory.library) if _is_of_device(module) else None
            wanted[own, kind] = None
        first = next(iter(wanted), (None, 0))[0]
        wanted.update(dict.fromkeys((first, kind) for kind in self._sharding.without_tensors()))
        return sorted(wanted, key=itemgetter(1))  # the order in which all processes ask

    def _new_launch(
        self,
        table: Table,
        module: ModuleType,
        steps: npt.NDArray[np.int64],
        groups: Groups,
    ) -> Launch:
        group_of = self.group_of[table.tensors]
        names = table.update.carried_names
        if names:
            table.carried[...] = [[self._carried[i][n] for n in names] for i in table.tensors]
        if _is_of_device(module):
            return DeviceLaunch(table, module, group_of, steps, groups)
        return HostLaunch(table, module, group_of)

    def _stage(self, entry: Entry) -> Staged:
        states = [self.states[entry.index][name] for name in entry.update.states]
        return stage(entry, self.params[entry.index], states)

    def _entry(self, i: int, params: Sequence[Memory], groups: Groups) -> Entry:
        update = self._update_of(i, groups)
        states = {name: describe(self.states[i][name], name) for name in update.states}
        update = update.for_states({name: memory.dtype for name, memory in states.items()})
        self._begin_carried(i, update, groups)
        return Entry(i, update, (params[i], self.gradients.grad(i), *states.values()))

    def _update_of(self, i: int, groups: Groups) -> Update:
        memory = self.gradients.parameters.memories[i]
        update: Update = groups.updates[self.group_of[i]].for_params(memory.dtype)
        return update

    def _allocate_states(self, known: Sequence[int], groups: Groups) -> None:
        made = []
        for i in known:
            group, update = groups[self.group_of[i]], self._update_of(i, groups)
            for name in update.states:
                if name not in self.states[i]:
                    made.append((i, name, self._new_state(i, name, group, update)))
            self._begin_carried(i, update, groups)
        for i, name, state in made:
            self.states[i][name] = state
        if made:
            self.gradients.parameters.set_states(self.states)

    def _begin_carried(self, i: int, update: Update, groups: Groups) -> None:
        """Set what a tensor carries from step to step to where it starts, if it has none yet."""
        if update.carried_names:
            at_first = update.carried_at_first(groups[self.group_of[i]].options, i)
            self._carried[i] = {**dict(zip(update.carried_names, at_first)), **self._carried[i]}

    def _new_state(self, i: int, name: str, group: Group, update: Update) -> Any:
        param, memory = self.params[i], self.gradients.parameters.memories[i]
        dtype = update.stored_states(memory.dtype, group.state_dtype)[name]
        own = update.own_states.get(name)
        if own and own.copies:
            return copy_as(param, dtype)
        start = group.options.get(update.rule.initial.get(name, ""), 0.0)
        return zeros_like(param, dtype, start)

    # --- running --------------------------------------------------------------------------

    def _point_to_gradients(self) -> None:
        addresses = self.gradients.addresses.copy()
        self._active = addresses != 0
        updated = self._active[self._tensor_places]
        self._updated = list(compress(self._tensors, updated.tolist()))
        for staged in self._staged:
            i = staged.entry.index
            if staged.copies_grad and addresses[i]:
                addresses[i] = grad_address(staged.entry.memory[1])
        for launch in self._launches:
            launch.point_to(addresses[launch.table.tensors])

    def _launch(self, grads: Sequence[Any], groups: Groups, skip: Any = None) -> None:
        active = self._active
        staged = [s for s in self._staged if active[s.entry.index]]
        for launch in self._launches:
            launch.prepare(groups, skip)
        for tensor in staged:
            tensor.before(grads[tensor.entry.index])
        strided = [entry for entry in self._strided if active[entry.index]]
        self.norm.scaled_by(groups)
        if self.tail.measures:
            others = [(e.index, self._measure_strided(e, grads[e.index])) for e in strided]
            groups, skipped = self.norm.measure(self._launches, others, groups, skip)
            if skipped:
                self._skip(grads)
                return
        for launch in self._launches:
            launch.run(self._steps, groups)
        for tensor in staged:
            tensor.after(grads[tensor.entry.index])
        for entry in strided:
            self._run_strided(entry, grads[entry.index], groups)
        self._steps += active
        mark_written(self._updated)
        self._mark_zeroed(grads)

    def _skip(self, grads: Sequence[Any]) -> None:
        """Change nothing; gradients that are zeroed by a step are so by this one, too."""
        self._zero(grads)

    def _zero(self, grads: Sequence[Any]) -> None:
        """Write zeros to gradients, if a step does."""
        if self.tail.zero_grads:
            for grad in grads:
                if grad is not None:
                    fill(grad, 0.0)
            self._mark_zeroed(grads)

    def _mark_zeroed(self, grads: Sequence[Any]) -> None:
        if self.tail.zero_grads:
            mark_written([grad for grad in grads if grad is not None and is_torchs(grad)])

    def _measure_strided(self, entry: Entry, grad: Any) -> npt.NDArray[np.float64]:
        param, memory = entry.memory[0], self.gradients.grad(entry.index)
        array = memory.view if memory.device == "cpu" else to_numpy(grad)
        what, nothing = measure_for(self.tail), np.zeros(0, compute_dtype(param.dtype))
        found: npt.NDArray[np.float64]
        found = numpy_blocked.run(what, [array, array], entry.dtypes[:2], nothing)[0]
        self._measured[entry.index] = found
        return found

    def _run_strided(self, entry: Entry, array: Any, groups: Groups) -> None:
        """Update a tensor on its own: one with gaps, say, or whose gradient is transposed."""
        i = entry.index
        param, _, *states = entry.memory
        grad = self.gradients.grad(i)
        with np.errstate(all="ignore"):  # inf and NaN are results, as everywhere
            coefficients = np.array(self._coefficients(entry, groups))
            rounded = coefficients.astype(compute_dtype(param.dtype))
        if param.device != "cpu":
            self._run_on_host(entry, array, rounded)
            return
        arrays = [m.view for m in (param, grad, *states)]
        self._partials[i] = numpy_blocked.run(entry.update, arrays, entry.dtypes, rounded)

    def _coefficients(self, entry: Entry, groups: Groups) -> Sequence[float]:
        """Return a tensor's coefficients, and bring on what it carries."""
        i, update = entry.index, entry.update
        options, count = groups[self.group_of[i]].options, int(self._steps[i]) + 1
        carried, names = self._carried[i], update.carried_names
        values = update.coefficients(count, options, [carried[name] for name in names])
        n = len(values) - len(names)
        carried.update(zip(names, values[n:]))
        return values[:n]

    def _run_on_host(self, entry: Entry, grad: Any, coefficients: npt.NDArray[Any]) -> None:
        """Update a tensor of a device without a backend: through copies on the host."""
        held = self.states[entry.index]
        states = [held[name] for name in entry.update.states]
        arrays = [self.params[entry.index], grad, *states]
        copies = [to_numpy(array) for array in arrays]
        watched = numpy_blocked.run(entry.update, copies, entry.dtypes, coefficients)
        self._partials[entry.index] = watched
        for row in entry.update.written:
            copy_into(arrays[row], copies[row])


def _is_of_device(module: ModuleType) -> bool:
    """Whether a kernel module's tables lie on a device, which counts steps by itself."""
    return hasattr(module, "DeviceTable")

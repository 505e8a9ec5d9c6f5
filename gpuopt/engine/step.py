"""One fused step over the parameters of an optimizer.

Everything that can fail comes first: gradients are described and checked, states allocated and
kernels compiled. Only then does the first element change.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ..arrays import LazyError, is_lazy, mark_written, resolved, scalars, without_lazy_bits
from ..kernels.table import PARTIALS
from ..variables import warn_of_unknown_variables
from .compose import NO_TAIL
from .dispatch import Explanation, Place, explain_places, place_of
from .explanation import launched
from .gradients import Gradients
from .groups import Group, Groups
from .launches import Launches
from .norm import Norm
from .passes import Pass, passes_of
from .sharding import ProcessGroups, Sharding
from .shared import Shared
from .states import States
from .stats import TensorStats, stats_of
from .tail import Tail
from .zeroing import Zeroing

__all__ = ["FusedStep", "Group"]


class FusedStep:
    """Parameters with their states, and the launches that update them.

    Attributes:
        params: the arrays that are updated.
        gradients: the memory of parameters, states and gradients.
        tail: the tail of the step.
        norm: the norm of the last step's gradients, if the tail needs it.
        places: the devices of the parameters, and their libraries.
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
            params: NumPy arrays, torch tensors or arrays that support DLPack.
            names: their names in errors.
            group_of: the group of each parameter.
            tail: the tail of the step.
            process_groups: those over which each parameter is sharded; empty if none is.
            norm_groups: the process groups that compute the norm, whichever parameters exist here.

        Raises:
            TypeError: one is not a float array.
            ValueError: one is read-only, overlaps itself or another, or is given twice.
        """
        warn_of_unknown_variables()
        self._sharding = Sharding(process_groups, len(params), norm_groups)
        self.tail, self.norm = tail, Norm(tail, self._sharding)
        self.params, self._zeroing = list(params), Zeroing(tail.zero_grads)
        self.gradients = Gradients(self.params, names, tail.zero_grads)
        groups = np.array(group_of, np.int64)
        parameters, smallest = self.gradients.parameters, tail.min_8bit_size
        self._states = States(self.params, parameters, groups, smallest)
        places = dict.fromkeys(map(place_of, self.gradients.params()))
        self.places = tuple(places) or (Place("cpu"),)
        totals = self._sharding if self._sharding.sharded else None
        apart = totals if tail.measures else None
        self._launches = Launches(self.places, self.gradients, self._states, apart, totals)
        self._shared = Shared(self._sharding)

    @property
    def states(self) -> list[dict[str, Any]]:
        """For each parameter its states by name; empty until its first gradient."""
        return self._states.arrays

    @property
    def formats(self) -> list[dict[str, str]]:
        """For each parameter, the formats of its encoded states, by name."""
        return self._states.formats

    @property
    def state_changes(self) -> int:
        """How often states were loaded, allocated, or converted."""
        return self._states.changes

    def values_of_states(self) -> list[dict[str, Any]]:
        """Return the states by name; encoded ones become new float arrays."""
        return self._states.values()

    def values_of_state(self, i: int) -> dict[str, Any]:
        """Return the states of parameter ``i`` as `values_of_states` does."""
        return self._states.values_of(i)

    def copies_of_states(self, decoded: bool) -> list[dict[str, Any]]:
        """Return copies of the states by name, as they are or ``decoded`` to floats."""
        return self._states.copies(decoded)

    @property
    def steps(self) -> npt.NDArray[np.int64]:
        """The number of updates of each parameter; synchronizes with devices, which count."""
        return self._launches.pull_steps()

    @property
    def carried(self) -> list[dict[str, float]]:
        """For each parameter, its carried and shared numbers by name; synchronizes with devices."""
        self._shared.write_into(self._launches.pull_carried(), self._states.steps)
        return self._states.carried

    @property
    def shared(self) -> dict[str, float]:
        """The shared numbers by name, empty before the first step; synchronizes with devices."""
        return self._shared.numbers()

    @property
    def backends(self) -> tuple[str, ...]:
        """The backends that update the parameters of each place, and strided arrays."""
        return self._launches.backends

    def explain(self) -> Explanation:
        """Return which backend updates the parameters, and the launches of the last step."""
        names, measures = self.gradients.parameters.names, self.tail.measures
        return replace(
            explain_places(self.places), launched=launched(self._launches, names, measures)
        )

    def load(
        self,
        steps: Sequence[int],
        states: Sequence[dict[str, Any]],
        carried: Sequence[Mapping[str, float]] = (),
        formats: Sequence[Mapping[str, str]] = (),
    ) -> None:
        """Replace step counts and states; the next step rebuilds its launches.

        Args:
            steps: the number of updates of each parameter.
            states: the states of each parameter, by name.
            carried: the carried numbers of each; missing ones get their initial values.
            formats: for each parameter, the formats of its encoded states, by name.
        """
        self._launches.forget()
        self._states.load(steps, states, carried, formats)
        self._shared.load(carried)

    def expose_states(self) -> list[dict[str, Any]]:
        """Return the live states; from now on, each step checks whether they moved."""
        self.gradients.parameters.expose_states()
        return self.states

    def complete_states(self, groups: Groups) -> None:
        """Allocate the states that updated parameters lack after a change of rule."""
        updated = [i for i, step in enumerate(self.steps.tolist()) if step or self.states[i]]
        self._states.allocate(updated, groups, steps=False)

    def stats(self) -> list[TensorStats]:
        """Return the statistics of each parameter at the last step; synchronizes with devices.

        They are zeros for a parameter without a gradient. Those of a sharded parameter cover all
        its shards, and wait for the other processes.
        """
        found = self._launches.read_partials(self.tail.measures)
        return [stats_of(own, self.norm.factor()) for own in self._sharding.combine(found)]

    def check(self, grads: Sequence[Any]) -> None:
        """Raise TypeError or ValueError if the memory of gradients does not fit."""
        self.gradients.detect_changes([without_lazy_bits(grad) for grad in grads])

    def run(self, grads: Sequence[Any], groups: Sequence[Group], skip: Any = None) -> None:
        """Update every parameter that has a gradient, once.

        Args:
            grads: for each parameter an array of its shape, in any memory order and float dtype,
                or None.
            groups: the options of each group.
            skip: a one-element float array, which devices read themselves; unless 0, nothing
                changes.

        Raises:
            TypeError, ValueError: a gradient does not fit; nothing has been changed.
            BackendError: the forced backend cannot run; nothing has been changed.
            OverflowError: a parameter has had 2**63 - 1 steps; nothing has been changed.
        """
        self._states.check_counts()
        if skip is not None and (scalars.on_host(skip) or self._launches.any_on_host()):
            if scalars.value_of(skip):  # synchronizes only if the host updates tensors, too
                self.norm.skip()
                return self._zeroing.zero(grads)
            skip = None
        lazy: list[Any] = []
        try:
            changes = self.gradients.detect_changes(grads)
        except LazyError:  # the memory of some does not hold their values
            self.check(grads)
            lazy, grads = list(filter(is_lazy, grads)), list(map(resolved, grads))
            changes = self.gradients.detect_changes(grads)
        groups = Groups.of(groups)
        rebuilt = self._launches.refresh(changes, groups)
        if rebuilt:
            self.norm.expect(self.gradients.params())
        self._shared.refresh(self._launches, groups, rebuilt)
        self._launch(grads, groups, skip)
        self._zeroing.zero(lazy)

    def _combine_sums(self, count: int) -> None:
        """Let all processes add the sums of their shards."""
        found = np.zeros((len(self.params), count + 1, len(PARTIALS)))
        for launch in self._launches:
            own = launch.read_sums()
            found[launch.tensors, : own.shape[1], 0] = own
        whole = self._sharding.combine(found)[..., 0]
        for launch in self._launches:
            launch.write_sums(whole[launch.tensors])

    def run_pass(
        self,
        name: str,
        groups: Groups,
        grads: Sequence[Any] | None = None,
        among: Collection[int] = (),
    ) -> None:
        """Run a pass of the rules, outside of a step.

        Args:
            name: the name of the pass.
            groups: the options of each group, as for a step.
            grads: for each parameter an array of its shape, or None; for a pass over gradients.
            among: for any other pass, the indices of the groups whose parameters are changed.

        Raises:
            TypeError, ValueError: an array does not fit; nothing has been changed.
            BackendError: the forced backend cannot run; nothing has been changed.
        """
        parameters = self.gradients.parameters
        moved = parameters.detect_changes()
        if moved:
            parameters.accept(moved)
            self._launches.invalidate()
        names = parameters.names[: len(self.params)]
        own = Pass(self.params, names, self.places, self._states, self._sharding)
        groups = passes_of(groups, name, self.tail)
        if grads is None:
            self._launches.pull_steps()  # for rounding remainders of weights
            own.over_states(groups, among)
        else:
            own.over_gradients(grads, groups, self.tail.skip_nonfinite)

    def _launch(self, grads: Sequence[Any], groups: Groups, skip: Any) -> None:
        launches = list(self._launches)
        for launch in launches:
            launch.prepare(grads, groups, skip)
        self._shared.prepare(grads, groups, skip)
        self.norm.scaled_by(groups)
        if self.tail.measures:
            groups, skipped = self.norm.measure(launches, grads, groups, skip)
            if skipped:
                return self._zeroing.zero(grads)
        elif skip is not None:
            self.norm.count(launches, skip)
        groups = self._shared.before(grads, self._states.steps, groups, self.norm)
        for launch in launches:
            launch.sum_up(grads, self._states.steps, groups)
        if self._sharding.sharded and groups.sums:
            self._combine_sums(groups.sums)
        for launch in launches:
            launch.compute(self._states.steps, groups)
        for launch in launches:
            launch.run(grads)
        self._shared.after(groups, skip, self.norm)
        self._states.steps += self._launches.active
        mark_written(self._launches.tensors)
        self._zeroing.mark(grads)

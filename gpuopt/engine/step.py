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

from ..arrays import LazyError, bare, is_lazy, mark_written, resolved, scalars
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
from .states import States
from .stats import TensorStats, stats_of
from .tail import Tail
from .zeroing import Zeroing

__all__ = ["FusedStep", "Group"]


class FusedStep:
    """Parameters with their states, and the launches that update them.

    Attributes:
        params: the arrays that are updated.
        gradients: where parameters, states and gradients lie.
        tail: what a step does besides the update.
        norm: the norm of the last step's gradients, where the tail needs it.
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
            params: NumPy arrays, torch tensors or arrays that speak DLPack.
            names: what errors call each.
            group_of: the group of each.
            tail: what a step does besides the update.
            process_groups: those over which each parameter is sharded; empty if none is.
            norm_groups: those that ask for the norm, whichever parameters there are.

        Raises:
            TypeError: one is no array of floats.
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
        apart = self._sharding if tail.measures and self._sharding.sharded else None
        self._launches = Launches(self.places, self.gradients, self._states, apart)

    @property
    def states(self) -> list[dict[str, Any]]:
        """For each parameter its states by name; empty until its first gradient."""
        return self._states.arrays

    @property
    def formats(self) -> list[dict[str, str]]:
        """For each parameter the formats of those states that have codes and scales, by name."""
        return self._states.formats

    @property
    def state_changes(self) -> int:
        """How often states were loaded, allocated, or changed to another format."""
        return self._states.changes

    def values_of_states(self) -> list[dict[str, Any]]:
        """Return the states by name, those in a format as new arrays of floats."""
        return self._states.values()

    def values_of_state(self, i: int) -> dict[str, Any]:
        """Return the states of parameter ``i`` as `values_of_states` does."""
        return self._states.values_of(i)

    def copies_of_states(self, decoded: bool) -> list[dict[str, Any]]:
        """Return copies of the states by name: as they are, or those in a format as floats."""
        return self._states.copies(decoded)

    @property
    def steps(self) -> npt.NDArray[np.int64]:
        """How many updates each parameter has had; waits for devices, which count themselves."""
        return self._launches.pull_steps()

    @property
    def carried(self) -> list[dict[str, float]]:
        """For each parameter its carried numbers by name; waits for devices."""
        return self._launches.pull_carried()

    @property
    def backends(self) -> tuple[str, ...]:
        """The backends that update the parameters: that of each place, and of strided arrays."""
        return self._launches.backends

    def explain(self) -> Explanation:
        """Return which backend updates the parameters, and how the last step did."""
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
        """Replace step counts and states; the next step builds its launches anew.

        Args:
            steps: the updates that each parameter has had.
            states: of each parameter, by name.
            carried: the carried numbers of each; those that are missing start anew.
            formats: of each, by name, the format of the states that have codes and scales.
        """
        self._launches.forget()
        self._states.load(steps, states, carried, formats)

    def expose_states(self) -> list[dict[str, Any]]:
        """Return the live states; from now on, each step checks whether they moved."""
        self.gradients.parameters.expose_states()
        return self.states

    def complete_states(self, groups: Groups) -> None:
        """Allocate the states that updated parameters lack since an option picked another rule."""
        updated = [i for i, step in enumerate(self.steps.tolist()) if step or self.states[i]]
        self._states.allocate(updated, groups, steps=False)

    def stats(self) -> list[TensorStats]:
        """Return the statistics of each parameter at the last step; waits for devices.

        They are zeros where a parameter had no gradient. Those of a sharded parameter are of all
        its shards, and wait for the other processes.
        """
        found = self._launches.read_partials(self.tail.measures)
        return [stats_of(own, self.norm.factor()) for own in self._sharding.combine(found)]

    def check(self, grads: Sequence[Any]) -> None:
        """Raise TypeError or ValueError if the memory of gradients does not fit."""
        self.gradients.detect_changes([bare(grad) for grad in grads])

    def run(self, grads: Sequence[Any], groups: Sequence[Group], skip: Any = None) -> None:
        """Update every parameter that has a gradient, once.

        Args:
            grads: for each parameter an array of its shape, in any memory order and float dtype,
                or None.
            groups: the options of each group.
            skip: an array of one float, which devices read themselves; unless 0, nothing changes.

        Raises:
            TypeError, ValueError: a gradient does not fit; nothing has been changed.
            BackendError: the forced backend cannot run; nothing has been changed.
            OverflowError: a parameter has had 2**63 - 1 steps; nothing has been changed.
        """
        self._states.check_counts()
        if skip is not None and (scalars.on_host(skip) or self._launches.any_on_host()):
            if scalars.value_of(skip):  # waits for a device, where the host updates tensors, too
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
        if self._launches.fit(changes, groups):
            self.norm.expect(self.gradients.params())
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
            name: of the pass.
            groups: the options of each group, as for a step.
            grads: for each parameter an array of its shape, or None; for a pass over gradients.
            among: for any other, the indices of the groups whose parameters are changed.

        Raises:
            TypeError, ValueError: an array does not fit; nothing has been changed.
            BackendError: the forced backend cannot run; nothing has been changed.
        """
        parameters = self.gradients.parameters
        moved = parameters.detect_changes()
        if moved:
            parameters.accept(moved)
            self._launches.outdate()
        names = parameters.names[: len(self.params)]
        own = Pass(self.params, names, self.places, self._states, self._sharding)
        groups = passes_of(groups, name, self.tail)
        if grads is None:
            self._launches.pull_steps()  # by which the rest of a weight is rounded
            own.over_states(groups, among)
        else:
            own.over_gradients(grads, groups, self.tail.skip_nonfinite)

    def _launch(self, grads: Sequence[Any], groups: Groups, skip: Any) -> None:
        for launch in self._launches:
            launch.prepare(grads, groups, skip)
        self.norm.scaled_by(groups)
        if self.tail.measures:
            groups, skipped = self.norm.measure(self._launches, grads, groups, skip)
            if skipped:
                return self._zeroing.zero(grads)
        elif skip is not None:
            self.norm.count(self._launches, skip)
        for launch in self._launches:
            launch.sum_up(grads, self._states.steps, groups)
        if self._sharding.sharded and groups.sums:
            self._combine_sums(groups.sums)
        for launch in self._launches:
            launch.compute(self._states.steps, groups)
        for launch in self._launches:
            launch.run(grads)
        self._states.steps += self._launches.active
        mark_written(self._launches.tensors)
        self._zeroing.mark(grads)

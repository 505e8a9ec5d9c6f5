"""Passes of rules, which methods of an optimizer run over all elements outside of steps."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from ..arrays import is_lazy, mark_written, resolved
from ..arrays.changes import NONE, Snapshot
from ..rules.stages import SCALE_GRADIENT
from .compose import pass_of
from .dispatch import Place
from .gradients import Changes, Gradients
from .groups import Groups
from .launches import Launches
from .norm import Norm
from .sharding import Sharding
from .states import States
from .tail import Tail


def passes_of(groups: Groups, name: str, tail: Tail) -> Groups:
    """Return groups whose updates are passes of the same rules.

    Args:
        groups: the groups of a step.
        name: the name of the pass.
        tail: the tail of the steps.
    """
    scaled = (SCALE_GRADIENT,) if groups.common["grad_factor"] != 1.0 else ()
    updates = [pass_of(update.rule, name, tail, scaled) for update in groups.updates]
    read = {option for update in updates for option in update.option_names}
    tensors = {option: values for option, values in groups.tensors.items() if option in read}
    numbers, common = groups.numbers, groups.common
    return Groups(updates, groups.state_dtypes, numbers, common, tensors, groups)


class Pass:
    """One run of a pass over the parameters of an optimizer, with its own launches.

    These count no steps and carry no numbers, so the launches of steps stay unchanged.
    """

    def __init__(
        self,
        params: Sequence[Any],
        names: Sequence[str],
        places: Sequence[Place],
        states: States,
        sharding: Sharding,
    ) -> None:
        """Check the parameters.

        Args:
            params: the parameters of the optimizer.
            names: their names in errors.
            places: the places of all parameters.
            states: the states of the parameters, with their step counts.
            sharding: the process groups of each parameter.

        Raises:
            TypeError, ValueError: a parameter cannot be updated.
        """
        self._params, self._places, self._states = params, places, states
        self._sharding = sharding
        self._gradients = Gradients(params, names)
        self._gradients.parameters.set_states(states.arrays)

    def over_states(self, groups: Groups, among: Collection[int]) -> None:
        """Run a pass without gradients over the parameters that have all states it takes.

        Args:
            groups: groups with the pass as their update.
            among: the indices of the groups whose parameters are changed.
        """
        of = self._states.group_of.tolist()
        memories = enumerate(self._gradients.params())
        held = {i: m for i, m in memories if of[i] in among and self._has_states(i, groups)}
        # No kernel reads the gradients, but tensors without one are skipped.
        changes = Changes(None, held, NONE.moved, NONE.addresses, Snapshot())
        launches = self._launches(changes, groups, None)
        self._run(launches, self._params, groups)

    def over_gradients(self, grads: Sequence[Any], groups: Groups, skips: bool) -> None:
        """Run a pass over the parameters that have a gradient.

        Args:
            grads: for each parameter an array of its shape, or None.
            groups: groups with the pass as their update.
            skips: change nothing if a gradient contains an infinity or NaN.

        Raises:
            TypeError, ValueError: a gradient does not fit; nothing has been changed.
        """
        grads = [resolved(grad) if is_lazy(grad) else grad for grad in grads]
        changes = self._gradients.detect_changes(grads)
        apart = self._sharding if skips and self._sharding.sharded else None
        launches = self._launches(changes, groups, apart)
        self._run(launches, grads, groups, Tail(skip_nonfinite=True) if skips else None)

    def _has_states(self, i: int, groups: Groups) -> bool:
        own = groups.updates[self._states.group_of[i]].instead
        return own is not None and self._states.arrays[i].keys() >= {*own.values} - {"p"}

    def _launches(self, changes: Changes, groups: Groups, apart: Sharding | None) -> Launches:
        launches = Launches(self._places, self._gradients, self._states, apart)
        launches.refresh(changes, groups)
        return launches

    def _run(
        self, launches: Launches, grads: Sequence[Any], groups: Groups, tail: Tail | None = None
    ) -> None:
        for launch in launches:
            launch.prepare(grads, groups)
        if tail is not None:
            norm = Norm(tail, self._sharding)
            norm.expect(self._gradients.params())
            norm.scaled_by(groups)
            groups, skipped = norm.measure(launches, grads, groups, None)
            if skipped:
                return
        for launch in launches:
            launch.compute(self._states.steps, groups)
        for launch in launches:
            launch.run(grads)
        if any(0 in update.written for update in groups.updates):
            mark_written(launches.tensors)

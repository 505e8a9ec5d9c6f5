"""The states, step counts and carried numbers of an optimizer's parameters."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import repeat
from typing import Any

import numpy as np
import numpy.typing as npt

from ..arrays import Memory, copy_as, describe_state, zeros_like
from ..rules.formats import FORMATS, is_coded, scale_name
from ..rules.split import REMAINDER
from .coded_states import coded_from, new_coded, values_of
from .groups import Group, Groups
from .masters import KINDS, float32_masters, remainders_of, round_to, source_kind
from .parameters import Parameters
from .table import Entry
from .update import Update

LAST_STEP = int(np.iinfo(np.int64).max)
"""Steps are counted in int64."""


class States:
    """The data that an optimizer keeps for each parameter from step to step.

    Attributes:
        params: the parameters.
        group_of: int64, the group of each parameter.
        arrays: for each parameter its states by name; empty until its first gradient.
        steps: int64, the number of updates of each parameter, as far as the host knows.
        carried: for each parameter its carried numbers by name, as far as the host knows.
        changes: how often states were loaded, allocated, or converted.
        formats: for each parameter the formats of its encoded states, by name; such a state has
            an array of codes and one of scales.
    """

    def __init__(
        self,
        params: Sequence[Any],
        parameters: Parameters,
        group_of: npt.NDArray[np.int64],
        min_8bit_size: int = 0,
    ) -> None:
        """Start without states.

        Args:
            params: the parameters.
            parameters: their memory; is informed of new states.
            group_of: the group of each parameter.
            min_8bit_size: the minimum number of elements for 8-bit states.
        """
        self._min_8bit_size = min_8bit_size
        self.params, self._parameters, self.group_of = params, parameters, group_of
        self.arrays: list[dict[str, Any]] = [{} for _ in params]
        self.steps = np.zeros(len(params), np.int64)
        self.carried: list[dict[str, float]] = [{} for _ in params]
        self.formats: list[dict[str, str]] = [{} for _ in params]
        self.changes = 0
        self._left: int | None = None

    def load(
        self,
        steps: Sequence[int],
        arrays: Sequence[dict[str, Any]],
        carried: Sequence[Mapping[str, float]],
        formats: Sequence[Mapping[str, str]] = (),
    ) -> None:
        """Replace everything; missing carried numbers get their initial values."""
        self.steps[:] = steps
        self.formats = [dict(names) for names in formats or [{} for _ in self.params]]
        self.carried = [dict(numbers) for numbers in carried or [{} for _ in self.params]]
        self.arrays = list(arrays)
        self._left = None
        self.changes += 1
        self._parameters.set_states(self.arrays)

    def allocate(self, indices: Sequence[int], groups: Groups, steps: bool = True) -> None:
        """Allocate the states that parameters lack; if that fails, none are added.

        States are converted to or from 8 bits as wanted. So are masters of another kind if a step
        follows, since converting them may change the parameters.
        """
        made: list[tuple[int, str, _Made]] = []
        for i in indices:
            group, update = groups[self.group_of[i]], self._update_of(i, groups)
            stored = self._stored_states(i, group, update)
            kind = source_kind(self.arrays[i], update.states, self._parameters.memories[i].dtype)
            for name in update.states:
                if kind is not None and name in KINDS:
                    if steps and self._differs(i, kind, name, stored[name]):
                        made.append((i, name, self._of_kind(i, kind, name, stored[name])))
                elif name not in self.arrays[i]:
                    made.append((i, name, self._new(i, name, group, update)))
                elif self.formats[i].get(name) != _format_in(stored[name]):
                    made.append((i, name, self._changed(i, name, stored[name])))
            self._begin_carried(i, update, groups)
        for i, name, (arrays, own) in made:
            self.arrays[i].pop(scale_name(name), None)
            if name in KINDS:
                self._replace_masters(i, name, arrays[name])
            self.arrays[i].update(arrays)
            self.formats[i] = {k: v for k, v in self.formats[i].items() if k != name} | own
        if made:
            self.changes += 1
            self._parameters.set_states(self.arrays)

    def values(self) -> list[dict[str, Any]]:
        """Return the states of each parameter by name; encoded ones become new float arrays."""
        return list(map(self.values_of, range(len(self.params))))

    def values_of(self, i: int) -> dict[str, Any]:
        """Return the states of a parameter by name; encoded ones become new float arrays."""
        return self._values(i, _same)

    def copies(self, decoded: bool) -> list[dict[str, Any]]:
        """Return copies of the states of each parameter by name, as they are or ``decoded``."""
        if decoded:
            return list(map(self._values, range(len(self.params)), repeat(_copy)))
        return [{name: _copy(array) for name, array in held.items()} for held in self.arrays]

    def _values(self, i: int, otherwise: Callable[[Any], Any]) -> dict[str, Any]:
        param, held, formats = self.params[i], self.arrays[i], self.formats[i]
        scales = set(map(scale_name, formats))
        return {
            name: values_of(param, held, name, FORMATS[formats[name]])
            if name in formats
            else otherwise(array)
            for name, array in held.items()
            if name not in scales
        }

    def check_counts(self) -> None:
        """Raise OverflowError if a parameter's step count is at its maximum.

        It reads the counts once, and then only counts its own calls.
        """
        if self._left is None:
            self._left = LAST_STEP - int(self.steps.max(initial=0))
        if self._left <= 0:
            raise OverflowError(
                f"step: a parameter has had {LAST_STEP} updates, the most that are counted"
            )
        self._left -= 1

    def entry(self, i: int, grad: Memory, groups: Groups) -> Entry:
        """Return a parameter with its gradient, its states and its update.

        Args:
            i: the parameter's index.
            grad: the memory of its gradient.
            groups: the options of each group.
        """
        update = self._update_of(i, groups)
        states = {name: describe_state(self.arrays[i][name], name) for name in update.states}
        stored = {name: memory.dtype for name, memory in states.items()}
        update = update.for_states({**stored, **self.formats[i]})
        self._begin_carried(i, update, groups)
        scales = [describe_state(self.arrays[i][name], name) for name in update.scales]
        memory = self._parameters.memories[i], grad.without_owner(), *states.values(), *scales
        return Entry(i, update, memory)

    def arrays_of(self, entry: Entry) -> list[Any]:
        """Return a tensor's parameter, its states and their scales, in the update's order."""
        held, names = self.arrays[entry.index], entry.update.lists[2:]
        return [self.params[entry.index], *(held[name] for name in names)]

    def carried_of(self, i: int, update: Update) -> list[float]:
        """Return a parameter's carried numbers in the update's order; sums are still 0."""
        kept = [self.carried[i][name] for name in update.kept_names]
        given = update.carried_names[len(kept) :]
        if not given:
            return kept
        memory = describe_state(self.params[i], "parameter")
        facts = {"ndim": len(memory.shape), "size": memory.size}
        return [*kept, *(facts.get(name, 0.0) for name in given)]

    def _update_of(self, i: int, groups: Groups) -> Update:
        update: Update = groups.updates[self.group_of[i]]
        return update.for_params(self._parameters.memories[i].dtype)

    def _begin_carried(self, i: int, update: Update, groups: Groups) -> None:
        """Initialize the carried numbers that a parameter lacks."""
        if update.kept_names:
            at_first = update.carried_at_first(groups[self.group_of[i]].options, i)
            self.carried[i] = {**dict(zip(update.kept_names, at_first)), **self.carried[i]}

    def _stored_states(self, i: int, group: Group, update: Update) -> dict[str, str]:
        """Return the wanted dtype or format of each state of a parameter."""
        memory = self._parameters.memories[i]
        wanted = group.state_dtype
        small = is_coded(wanted) and memory.size < self._min_8bit_size
        return update.stored_states(memory.dtype, None if small else wanted)

    def _new(self, i: int, name: str, group: Group, update: Update) -> _Made:
        """Return the new arrays of a state."""
        param, dtype = self.params[i], self._stored_states(i, group, update)[name]
        own = update.own_states.get(name)
        if (own and own.copies) or name in update.rule.copies:
            return {name: copy_as(param, dtype)}, {}
        start = group.options.get(update.rule.initial.get(name, ""), 0.0)
        if dtype in FORMATS:
            return new_coded(param, name, FORMATS[dtype], start), {name: dtype}
        return {name: zeros_like(param, dtype, start)}, {}

    def _differs(self, i: int, kind: str, name: str, dtype: str) -> bool:
        """Whether a parameter's kind of master differs from the one that its update takes."""
        held = describe_state(self.arrays[i][kind], kind).dtype
        return kind != name or (name == REMAINDER and held != dtype)

    def _of_kind(self, i: int, kind: str, name: str, dtype: str) -> _Made:
        """Return the masters of a parameter in another kind; synchronizes with a device."""
        param, held = self.params[i], self.arrays[i][kind]
        if name == REMAINDER:
            return {name: remainders_of(param, held, dtype)}, {}
        return {name: float32_masters(param, held)}, {}

    def _replace_masters(self, i: int, name: str, made: Any) -> None:
        """Drop a parameter's old masters, and round it as the new ones expect it."""
        held = [self.arrays[i].pop(kind) for kind in KINDS if kind in self.arrays[i]]
        if held and name == REMAINDER:
            round_to(self.params[i], held[0], describe_state(made, name).dtype)

    def _changed(self, i: int, name: str, dtype: str) -> _Made:
        """Return a state in another format, or as floats; synchronizes with a device."""
        param, held, now = self.params[i], self.arrays[i], self.formats[i].get(name)
        if now is not None:
            to = "float32" if dtype in FORMATS else dtype
            held = {name: values_of(param, held, name, FORMATS[now], to)}
        if dtype in FORMATS:
            return coded_from(param, name, FORMATS[dtype], held[name]), {name: dtype}
        return {name: held[name]}, {}


_Made = tuple[dict[str, Any], dict[str, str]]
"""Arrays by name, and the formats of encoded states."""


def _same(array: Any) -> Any:
    return array


def _copy(array: Any) -> Any:
    return copy_as(array, describe_state(array, "state").dtype)


def _format_in(stored: str) -> str | None:
    return stored if stored in FORMATS else None

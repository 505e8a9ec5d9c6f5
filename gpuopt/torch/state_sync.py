"""Synchronizes an optimizer's ``state`` in torch's form with the states of its step."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch

from ..arrays import FLOATS, describe_state
from ..engine.masters import KINDS
from ..engine.step import FusedStep
from ..optimizers.loaded import OF_TAILS
from ..optimizers.params import Key
from ..rules.formats import scale_name
from ..rules.rounding import SEED
from .coded import Coded
from .inactive import States
from .local_tensors import LocalTensors
from .shard_seeds import ShardSeeds
from .state_values import number_in
from .step_counts import StepCounts

_NONE = Coded({}, {})
"""For a parameter whose states were not loaded as codes."""


class StateSync:
    """Copies states, step counts and carried numbers between ``state`` and a `FusedStep`.

    States share memory between the two; only numbers are copied. The exception are 8-bit states:
    ``state`` has their float32 values from when it is read until the next step.
    """

    def __init__(
        self,
        step: FusedStep,
        tensors: LocalTensors,
        group_of: Sequence[int],
        carried: frozenset[str],
        constant: frozenset[str] = frozenset(),
    ) -> None:
        """Store the two sides.

        Args:
            step: the step that updates the parameters.
            tensors: the local tensors of the parameters.
            group_of: the group of each parameter.
            carried: the names of the rules' carried numbers.
            constant: the names of the states that passes may have changed before the first step.
        """
        self._constant = constant
        self._step, self._tensors, self._carried = step, tensors, carried
        self._group_of, self._seeds = group_of, ShardSeeds(tensors.shards, step.tail)
        self._dropped_at = 0

    def load(
        self,
        state: States,
        names: frozenset[str],
        counts: StepCounts,
        state_dtypes: Sequence[str | None],
        coded: Mapping[torch.Tensor, Coded],
    ) -> None:
        """Load ``state`` into the step, unless the step already has the same.

        Args:
            state: the states of each parameter, by torch's names.
            names: the states of every rule that the optimizer may use.
            counts: the exact counts behind the step tensors.
            state_dtypes: for each group, the dtype of states that are new or not updated yet.
            coded: the states of parameters that were loaded as codes, which ``state`` lacks.

        Raises:
            TypeError, ValueError: a state does not fit its parameter, or a number is not one.
        """
        steps, states, carried, formats = [], [], [], []
        for i, param in enumerate(self._tensors.params):
            own = state.get(param) or {}
            arrays = {
                n: self._tensors.local_state(i, n, own[n]) for n in names if own.get(n) is not None
            }
            codes = coded.get(param, _NONE)
            arrays |= codes.arrays
            wanted = state_dtypes[self._group_of[i]]
            count, numbers = self._numbers(i, own, arrays, counts, wanted)
            steps.append(count)
            kept = arrays if count or codes.formats else self._constant
            states.append({n: a if n in kept else _unused(n, a, wanted) for n, a in arrays.items()})
            formats.append(codes.formats)
            carried.append(numbers)
        known = self._step.steps.tolist(), [dict(c) for c in self._step.carried]
        if known != (steps, carried) or not _same_memory(states, self._step.states):
            self._step.load(steps, states, carried, formats)
        if any(states):
            self._step.expose_states()  # `state` has these tensors, too: any code may replace them

    def drop_decoded(self, state: States) -> None:
        """Remove the values of 8-bit states from ``state``: a step has encoded them.

        Masters that a step has converted are removed as well.
        """
        if self._step.state_changes == self._dropped_at:
            return
        pairs = zip(self._tensors.params, self._step.formats, self._step.states)
        for param, formats, held in pairs:
            for name in formats:
                state[param].pop(name, None)
            for name in (n for n in KINDS if n in state.get(param, ()) and n not in held):
                del state[param][name]
        self._dropped_at = self._step.state_changes

    def save(
        self,
        state: dict[torch.Tensor, dict[str, Any]],
        step_tensors: Sequence[tuple[Any, torch.dtype]],
        counted: bool,
        counts: StepCounts,
    ) -> None:
        """Write the step's states into ``state``.

        Args:
            state: the states of each parameter, by torch's names.
            step_tensors: for each group, the device (None: the parameter's) and the dtype of
                torch's step tensors.
            counted: whether torch keeps step counts. Stochastic rounding always needs them.
            counts: records the exact counts behind the step tensors.
        """
        values = self._step.values_of_states()
        for i, own in self._counted(state, values, step_tensors, counted, counts):
            own.update({n: self._tensors.state_in_torch(i, n, a) for n, a in values[i].items()})

    def coded(
        self,
        state: dict[torch.Tensor, dict[str, Any]],
        names: frozenset[str],
        step_tensors: Sequence[tuple[Any, torch.dtype]],
        counted: bool,
        counts: StepCounts,
    ) -> tuple[dict[Any, dict[str, Any]], dict[Key, dict[str, str]]]:
        """Return the content of ``state``, with the step's codes and scales in place of values.

        A DTensor keeps values, since its blocks are those of a shard. The arguments are those of
        `load` and `save`.

        Returns:
            The states of each parameter, and by index the formats of those that are codes.
        """
        shown: dict[Any, dict[str, Any]] = {key: dict(own) for key, own in state.items()}
        formats: dict[Key, dict[str, str]] = {}
        held = self._step.states
        for i, own in self._counted(state, held, step_tensors, counted, counts):
            others = {n: v for n, v in own.items() if n not in names}
            param = self._tensors.params[i]
            if i in self._tensors.shards.indices or not self._step.formats[i]:
                arrays = self._step.values_of_state(i)
                own_states = {n: self._tensors.state_in_torch(i, n, a) for n, a in arrays.items()}
            else:
                formats[i] = own_formats = self._step.formats[i]
                in_codes = {*own_formats, *map(scale_name, own_formats)}
                own_states = {
                    n: a if n in in_codes else self._tensors.state_in_torch(i, n, a)
                    for n, a in held[i].items()
                }
            shown[param] = {**others, **own_states}
        return shown, formats

    def _counted(
        self,
        state: dict[torch.Tensor, dict[str, Any]],
        states: Sequence[Mapping[str, Any]],
        step_tensors: Sequence[tuple[Any, torch.dtype]],
        counted: bool,
        counts: StepCounts,
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield the index and the entry of each parameter that has one, with its numbers."""
        steps, carried = self._step.steps.tolist(), self._step.carried
        for i, param in enumerate(self._tensors.params):
            writes_step = counted or SEED in carried[i]
            if not (steps[i] or self._constant & states[i].keys()):  # torch has no entry then
                continue
            if not (states[i] or writes_step):
                continue
            own, name = state[param], self._tensors.names[i]
            if writes_step and ("step" not in own or counts.read(param, own, name) != steps[i]):
                device, dtype = step_tensors[self._group_of[i]]
                device = device or param.device
                _write_number(own, "step", float(steps[i]), dtype, device)
                counts.note(param, own["step"], steps[i])
                numbers = self._saved_numbers(i, carried[i])
            else:  # shared numbers may have changed in steps without this one
                numbers = {n: x for n, x in carried[i].items() if n in self._step.shared}
            for number, value in numbers.items():
                device = step_tensors[self._group_of[i]][0] or param.device
                _write_number(own, number, value, torch.float64, device)
            yield i, own

    def _numbers(
        self,
        i: int,
        own: Mapping[str, Any],
        arrays: Mapping[str, torch.Tensor],
        counts: StepCounts,
        state_dtype: str | None,
    ) -> tuple[int, dict[str, float]]:
        """Return a parameter's step count and its carried numbers."""
        name, param = self._tensors.names[i], self._tensors.params[i]
        count = counts.read(param, own, name) if "step" in own else int(bool(arrays))
        given = [n for n in self._carried if n in own and count]
        numbers = {n: number_in(own, n, name) for n in given}
        if self._seeds.needed(i, arrays, state_dtype):
            numbers[SEED] = self._seeds.of_shard(i, numbers.get(SEED))
        return count, numbers

    def _saved_numbers(self, i: int, carried: Mapping[str, float]) -> Mapping[str, float]:
        """Return a parameter's carried numbers; the seed is the whole tensor's."""
        return {**carried, SEED: self._seeds.whole[i]} if i in self._seeds.whole else carried


def _unused(name: str, array: torch.Tensor, state_dtype: str | None) -> torch.Tensor:
    """Return a state that no step has updated yet (as torch's Adagrad creates) in its dtype."""
    if name in OF_TAILS:
        return array
    if state_dtype in FLOATS:
        return array.to(getattr(torch, state_dtype))
    return array.float() if array.element_size() < 4 else array


def _write_number(
    own: dict[str, Any], name: str, number: float, dtype: torch.dtype, device: Any
) -> None:
    """Write a number into a parameter's states.

    In place, like the states: a state dict shares these tensors, and its step must match its
    states.
    """
    tensor = own.get(name)
    if isinstance(tensor, torch.Tensor) and tensor.dtype is dtype and not tensor.is_inference():
        tensor.detach().fill_(number)
    else:
        own[name] = torch.tensor(number, dtype=dtype, device=device)


def _same_memory(one: Sequence[Mapping[str, Any]], other: Sequence[Mapping[str, Any]]) -> bool:
    """Whether two dicts hold the same tensors by name, or views of the same memory."""
    return all(
        mine.keys() == theirs.keys()
        and all(
            mine[name] is theirs[name]
            or describe_state(mine[name], name) == describe_state(theirs[name], name)
            for name in mine
        )
        for mine, theirs in zip(one, other)
    )

"""The parameters and gradients of an optimizer: where they lie, and whether that is well.

A step asks `Inputs.look` first. As long as nothing moved, that costs a comparison an array;
what did move is described and checked, and nothing is remembered before `Inputs.accept`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from . import watch
from .arrays import Memory, describe
from .overlap import Index
from .table import grad_address


@dataclass(frozen=True)
class Changes:
    """What is not where it was at the last step.

    Attributes:
        params: the parameters that moved, by place.
        grads: the gradients that moved, or None for those that are gone, by place.
        sights: what was seen of all parameters, and of all gradients.
    """

    params: Mapping[int, Memory]
    grads: Mapping[int, Memory | None]
    sights: tuple[watch.Sight, watch.Sight]

    def __bool__(self) -> bool:
        """Whether anything moved."""
        return bool(self.params or self.grads)


class Inputs:
    """Parameters, and the gradients of the last step.

    Attributes:
        names: what errors call each parameter.
        params: where each lies.
        grads: where each one's last gradient lay; None before the first.
        addresses: int64, of each one's gradient as the table holds it; 0: it rests.
    """

    def __init__(self, arrays: Sequence[Any], names: Sequence[str]) -> None:
        """Describe and check the parameters.

        Raises:
            TypeError: one is no array of floats.
            ValueError: one is read-only, overlaps itself or another, or is given twice.
        """
        self._arrays = arrays
        self.names = list(names)
        self.params = [describe(array, name) for array, name in zip(arrays, names)]
        self._check_params(self.params)
        self.grads: list[Memory | None] = [None] * len(self.params)
        self.addresses = np.zeros(len(self.params), np.int64)
        nothing = [None] * len(self.params)
        self._seen = (watch.look(arrays)[0], watch.look(nothing)[0])
        self._written: Index | None = None

    def look(self, grads: Sequence[Any], states: Sequence[Mapping[str, Any]]) -> Changes:
        """Find, describe and check what moved since the last step.

        Args:
            grads: one array a parameter, or None.
            states: what else must not overlap a gradient.

        Raises:
            TypeError, ValueError: an array does not fit. Nothing has been changed.
        """
        params_seen, params_moved = watch.look(self._arrays, self._seen[0])
        grads_seen, grads_moved = watch.look(grads, self._seen[1])
        described = {i: self._moved_param(i) for i in params_moved}
        params = {i: memory for i, memory in described.items() if memory != self.params[i]}
        moved = {
            i: None if grads[i] is None else self._moved_grad(i, grads[i], grads_seen)
            for i in grads_moved
        }
        if params:
            self._check_params([params.get(i, m) for i, m in enumerate(self.params)])
            self._check_apart_from_states(params, states)
        if params or moved:
            # A parameter that moved may have come to lie on a gradient that stayed.
            known = {**dict(enumerate(self.grads)), **moved} if params else moved
            present = {i: m for i, m in known.items() if m is not None and grads[i] is not None}
            self._check_grads_apart(present, params, states)
        return Changes(params, moved, (params_seen, grads_seen))

    def layout_changed(self, changes: Changes) -> bool:
        """Whether a table built for the last step does not fit the next."""
        return bool(changes.params) or any(
            memory is not None and not _same_layout(memory, self.grads[i])
            for i, memory in changes.grads.items()
        )

    def accept(self, changes: Changes) -> None:
        """Take ``changes`` for what is."""
        for i, memory in changes.params.items():
            self.params[i] = memory
        for i, grad in changes.grads.items():
            self.addresses[i] = 0 if grad is None else grad_address(grad)
            self.grads[i] = grad or self.grads[i]
        if changes.params:
            self.forget_states()
        self._seen = changes.sights

    def forget_states(self) -> None:
        """Look at the states anew: others have come."""
        self._written = None

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
        self._check_given_once()

    def _check_apart_from_states(
        self, params: Mapping[int, Memory], states: Sequence[Mapping[str, Any]]
    ) -> None:
        places = list(params)
        for place, _ in Index(_described(states)).overlapping(list(params.values())):
            raise ValueError(f"{self.names[places[place]]}: overlaps a state in memory")

    def _check_given_once(self) -> None:
        first: dict[int, str] = {}
        for name, array in zip(self.names, self._arrays):
            if first.setdefault(id(array), name) != name:
                raise ValueError(f"{first[id(array)]} and {name} are the same array")

    def _moved_param(self, i: int) -> Memory:
        name, before = self.names[i], self.params[i]
        memory = describe(self._arrays[i], name)
        if memory.shape != before.shape or memory.device != before.device:
            raise ValueError(
                f"{name}: was of shape {before.shape} on {before.device}, is now of shape "
                f"{memory.shape} on {memory.device}; make a new optimizer"
            )
        return memory

    def _moved_grad(self, i: int, grad: Any, sight: watch.Sight) -> Memory:
        last = self.grads[i]
        if last is not None:
            memory = watch.moved_only(last, grad, i, sight, self._seen[1])
            if memory is not None:
                return memory
        param, name = self.params[i], f"gradient of {self.names[i]}"
        memory = describe(grad, name)
        if memory.shape != param.shape:
            raise ValueError(f"{name}: expected shape {param.shape}, got {memory.shape}")
        if memory.device != param.device:
            raise ValueError(f"{name}: expected an array on {param.device}, got {memory.device}")
        return memory

    def _check_grads_apart(
        self,
        grads: Mapping[int, Memory],
        params: Mapping[int, Memory],
        states: Sequence[Mapping[str, Any]],
    ) -> None:
        written = None if params else self._written
        if written is None:
            lie = (params.get(i, m) for i, m in enumerate(self.params))
            written = Index([*lie, *_described(states)])
        if not params:
            self._written = written
        places = list(grads)
        for place, other in written.overlapping(list(grads.values())):
            what = self.names[other] if other < len(self.names) else "a state"
            raise ValueError(f"gradient of {self.names[places[place]]}: overlaps {what} in memory")


def _described(states: Sequence[Mapping[str, Any]]) -> list[Memory]:
    return [describe(state, "state") for named in states for state in named.values()]


def _same_layout(memory: Memory, last: Memory | None) -> bool:
    return (
        last is not None
        and memory.dtype == last.dtype
        and memory.order == last.order
        and (memory.address - last.address) % 16 == 0
    )

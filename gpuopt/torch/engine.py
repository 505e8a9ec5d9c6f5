"""The fused step behind a torch optimizer: its parameters, states and counts as gpuopt has them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import is_
from typing import Any

import torch

from ..arrays import describe, mark_written
from ..launch import Group
from ..step import FusedStep
from ..tail import Tail

States = Mapping[torch.Tensor, dict[str, Any]]


class Engine:
    """A fused step over the parameters of an optimizer.

    Complex tensors are two real numbers an element, here and in torch.

    Attributes:
        params: the parameters.
        step: the step.
    """

    def __init__(
        self,
        params: Sequence[torch.Tensor],
        names: Sequence[str],
        sizes: Sequence[int],
        carried: frozenset[str],
        tail: Tail,
        state_dtype: str | None,
    ) -> None:
        """Describe and check the parameters.

        Args:
            params: the parameters.
            names: what errors call each.
            sizes: the number of parameters of each group, in their order.
            carried: the numbers that the optimizer's rules carry from step to step.
            tail: what surrounds the update.
            state_dtype: of states that no step has touched yet.
        """
        self._carried = carried
        self._state_dtype = state_dtype and getattr(torch, state_dtype)
        self.params = list(params)
        self._names = list(names)
        self._sizes = list(sizes)
        self._group_of = [i for i, size in enumerate(sizes) for _ in range(size)]
        self._complex = [i for i, p in enumerate(params) if p.is_complex()]
        self._views = [_real(p.detach()) if p.is_complex() else p for p in params]
        self.step = FusedStep(self._views, names, self._group_of, tail)

    def fits(self, params: Sequence[torch.Tensor], sizes: Sequence[int]) -> bool:
        """Whether these are its parameters, in its groups, where its views of them lie."""
        return (
            self._sizes == sizes
            and all(map(is_, params, self.params))
            and all(params[i].data_ptr() == self._views[i].data_ptr() for i in self._complex)
        )

    def run(
        self,
        grads: Sequence[torch.Tensor | None],
        groups: Sequence[Group],
        skip: torch.Tensor | None = None,
    ) -> None:
        """Update every parameter that has a gradient, unless ``skip`` holds another number than 0.

        A device reads that by itself.
        """
        given = [i for i in self._complex if grads[i] is not None]
        if given:
            real = {i: _real(grads[i]) for i in given}
            grads = [real.get(i, grad) for i, grad in enumerate(grads)]
        self.step.run(grads, groups, skip)
        mark_written([self.params[i] for i in given])

    def load(self, state: States, names: frozenset[str]) -> None:
        """Take over what an optimizer's ``state`` holds, if that is not what is here.

        Args:
            state: of each parameter, by torch's names.
            names: of the states of every rule that the optimizer may use.

        Raises:
            ValueError: a state is not like its parameter.
        """
        steps, held, carried = [], [], []
        for i, param in enumerate(self.params):
            own = state.get(param) or {}
            arrays = {n: self._like(i, n, own[n]) for n in names if own.get(n) is not None}
            steps.append(int(own["step"]) if "step" in own else int(bool(arrays)))
            held.append(arrays if steps[i] else {n: self._fresh(a) for n, a in arrays.items()})
            carried.append({n: float(own[n]) for n in self._carried if n in own and steps[i]})
        known = self.step.steps.tolist(), [dict(c) for c in self.step.carried]
        if known != (steps, carried) or not _same(held, self.step.states):
            self.step.load(steps, held, carried)
        if any(held):
            self.step.lend_states()  # others know these tensors, too, and may move them

    def save(self, state: dict[torch.Tensor, dict[str, Any]], with_steps: Sequence[Any]) -> None:
        """Write the states and counts into an optimizer's ``state``.

        Args:
            state: of each parameter, by torch's names.
            with_steps: for each group, the device of its counts (None: the parameter's); or
                False, if torch keeps no counts for it.
        """
        steps, carried = self.step.steps.tolist(), self.step.carried
        for i, (param, held) in enumerate(zip(self.params, self.step.states)):
            device = with_steps[self._group_of[i]]
            if not held and (device is False or not steps[i]):
                continue
            own = state[param]
            own.update({name: self._as_torchs(i, array) for name, array in held.items()})
            if device is not False and ("step" not in own or int(own["step"]) != steps[i]):
                where = param.device if device is None else device
                own["step"] = torch.tensor(float(steps[i]), dtype=_step_dtype(), device=where)
                for name, number in carried[i].items():
                    own[name] = torch.tensor(number, dtype=torch.float64, device=where)

    def _like(self, i: int, name: str, array: torch.Tensor) -> torch.Tensor:
        """Return a state as the step wants it: real, where its parameter lies."""
        shape = self.params[i].shape
        if array.shape != shape:
            raise ValueError(
                f"state {name!r} of {self._names[i]}: expected shape {tuple(shape)}, "
                f"got {tuple(array.shape)}"
            )
        array = array.to(self.params[i].device)
        return _real(array) if array.is_complex() else array

    def _fresh(self, array: torch.Tensor) -> torch.Tensor:
        """Return a state that no step has touched yet (as torch's Adagrad makes)."""
        if self._state_dtype is not None:
            return array.to(self._state_dtype)
        return array.float() if array.element_size() < 4 else array

    def _as_torchs(self, i: int, array: torch.Tensor) -> torch.Tensor:
        return torch.view_as_complex(array) if i in self._complex else array


def _real(tensor: torch.Tensor) -> torch.Tensor:
    return torch.view_as_real(tensor.resolve_conj())


def _same(held: Sequence[Mapping[str, Any]], states: Sequence[Mapping[str, Any]]) -> bool:
    """Whether these are the very tensors, or views of the same memory."""
    return all(
        mine.keys() == theirs.keys()
        and all(
            mine[name] is theirs[name] or describe(mine[name], name) == describe(theirs[name], name)
            for name in mine
        )
        for mine, theirs in zip(held, states)
    )


def _step_dtype() -> torch.dtype:
    """Return what torch counts steps in."""
    double = torch.get_default_dtype() == torch.float64
    return torch.float64 if double else torch.float32

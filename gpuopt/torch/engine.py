"""The fused step behind a torch optimizer: its parameters, states and counts as gpuopt has them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import repeat
from operator import attrgetter, is_
from typing import Any

import torch

from ..arrays import bare, describe, fill, mark_written, resolved
from ..engine.groups import Groups
from ..engine.low_precision import BITS_16, EXACT
from ..engine.step import FusedStep
from ..engine.tail import Tail
from ..rules.rounding import SEED, shard_seed, tensor_seed
from .counts import Counts
from .inactive import States, is_inactive, real_view, with_placeholders
from .shards import Shards
from .state_values import checked_state, number_in
from .without_numba import warn_without_numba

GRAD = attrgetter("grad")
"""In a map, the fastest way to many gradients."""


class Engine:
    """A fused step over the parameters of an optimizer.

    Complex tensors are two real numbers an element, here and in torch. Of parameters that rest, as
    `is_inactive` says, the step knows nothing: it has an empty tensor in their place.

    Attributes:
        params: the parameters.
        shards: what this process has of them.
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
        state: States,
        norm_group: Any = None,
    ) -> None:
        """Describe and check the parameters.

        Args:
            params: the parameters.
            names: what errors call each.
            sizes: the number of parameters of each group, in their order.
            carried: the numbers that the optimizer's rules carry from step to step.
            tail: what surrounds the update.
            state_dtype: of states that no step has touched yet.
            state: of each parameter, by torch's names.
            norm_group: see `shards.Shards`.
        """
        self._carried = carried
        self._state_dtype = state_dtype and getattr(torch, state_dtype)
        self.params = list(params)
        self._names = list(names)
        self._sizes = list(sizes)
        self._group_of = [i for i, size in enumerate(sizes) for _ in range(size)]
        resting = [i for i, p in enumerate(params) if is_inactive(p, state)]
        self._at_rest = [params[i] for i in resting]
        present = with_placeholders(self.params, resting)
        self.shards = Shards(present, self._names, norm_group)
        if tail.measures or tail.stats:
            self.shards.check_known("stats" if tail.stats else "clip_norm, skip_nonfinite")
        own = self.shards.locals
        self._complex = [i for i, p in enumerate(own) if p.is_complex()]
        self._views = [real_view(p, name) for p, name in zip(own, names)]
        process_groups, norm_groups = self.shards.process_groups, self.shards.norm_groups
        self.step = FusedStep(self._views, names, self._group_of, tail, process_groups, norm_groups)
        self._seeds: dict[int, float] = {}
        self._on_cpu = any(p.device.type == "cpu" for p in own)

    def fits(
        self, params: Sequence[torch.Tensor], sizes: Sequence[int], state: States | None
    ) -> bool:
        """Whether these are its parameters, in its groups, where its views of them lie.

        Args:
            params: the parameters.
            sizes: the number of parameters of each group.
            state: of each parameter, if somebody may have changed it.
        """
        return (
            self._sizes == sizes
            and all(map(is_, params, self.params))
            and all(map(is_, map(GRAD, self._at_rest), repeat(None)))
            and not (state and any(map(state.get, self._at_rest)))
            and self.shards.fit(params)
            and all(_lie_together(self.shards.locals[i], self._views[i]) for i in self._complex)
        )

    def lacks_casts_of(self, params: Sequence[torch.Tensor]) -> bool:
        """Whether a parameter of it has become complex since."""
        return any(p.is_complex() != (i in self._complex) for i, p in enumerate(params))

    def run(
        self,
        grads: Sequence[torch.Tensor | None],
        groups: Groups,
        skip: torch.Tensor | None = None,
    ) -> None:
        """Update every parameter that has a gradient, unless ``skip`` holds another number than 0.

        A device reads that by itself.
        """
        shards = self.shards.of(grads)
        if skip is not None:
            skip = self.shards.any(skip)
        given = [i for i in self._complex if grads[i] is not None]
        real = {i: _real(shards[i]) for i in given}
        own = [real.get(i, shard) for i, shard in enumerate(shards)] if given else shards
        zeroed = self.step.tail.zero_grads
        copied = {i: _real(bare(shards[i])) for i in given if zeroed and shards[i].is_conj()}
        if copied:
            self.step.check([copied.get(i, grad) for i, grad in enumerate(own)])
        if self._on_cpu:
            warn_without_numba()
        self.step.run(own, groups, skip)
        if zeroed:
            self.shards.zero_others(grads, shards)
            for memory in copied.values():
                fill(memory, 0.0)
            mark_written([shards[i] for i in copied])
        sharded = [i for i in self.shards.places if grads[i] is not None]
        mark_written([self.params[i] for i in (*given, *sharded)])

    def load(self, state: States, names: frozenset[str], exact: Counts) -> None:
        """Take over what an optimizer's ``state`` holds, if that is not what is here.

        Args:
            state: of each parameter, by torch's names.
            names: of the states of every rule that the optimizer may use.
            exact: the counts behind the step tensors.

        Raises:
            TypeError, ValueError: a state is not like its parameter, or a number is none.
        """
        steps, held, carried = [], [], []
        for i, param in enumerate(self.params):
            own, whose = state.get(param) or {}, self._names[i]
            arrays = {n: self._like(i, n, own[n]) for n in names if own.get(n) is not None}
            counted = "step" in own
            steps.append(exact.read(param, own, whose) if counted else int(bool(arrays)))
            held.append(arrays if steps[i] else {n: self._fresh(a) for n, a in arrays.items()})
            given = [n for n in self._carried if n in own and steps[i]]
            carried.append({n: number_in(own, n, whose) for n in given})
            if i in self.shards.places and self._rounds_by_chance(i, arrays):
                carried[i][SEED] = self._seed_of_shard(i, carried[i].get(SEED))
        known = self.step.steps.tolist(), [dict(c) for c in self.step.carried]
        if known != (steps, carried) or not _same(held, self.step.states):
            self.step.load(steps, held, carried)
        if any(held):
            self.step.expose_states()  # others know these tensors, too, and may move them

    def save(
        self,
        state: dict[torch.Tensor, dict[str, Any]],
        counts: Sequence[tuple[Any, torch.dtype]],
        counted: bool,
        exact: Counts,
    ) -> None:
        """Write the states and counts into an optimizer's ``state``.

        Args:
            state: of each parameter, by torch's names.
            counts: for each group, the device of its counts (None: the parameter's) and their
                dtype.
            counted: whether torch keeps counts; what is rounded by chance needs them anyway.
            exact: learns the counts behind the step tensors.
        """
        steps, carried = self.step.steps.tolist(), self.step.carried
        for i, (param, held) in enumerate(zip(self.params, self.step.states)):
            keeps = counted or SEED in carried[i]
            if not steps[i] or not (held or keeps):  # torch keeps nothing then
                continue
            own = state[param]
            own.update({name: self._as_torchs(i, array) for name, array in held.items()})
            if not keeps:
                continue
            if "step" not in own or exact.read(param, own, self._names[i]) != steps[i]:
                where, dtype = counts[self._group_of[i]]
                where = where or param.device
                _write_number(own, "step", float(steps[i]), dtype, where)
                exact.note(param, own["step"], steps[i])
                numbers = {**carried[i], **({SEED: self._seeds[i]} if i in self._seeds else {})}
                for name, number in numbers.items():
                    _write_number(own, name, number, torch.float64, where)

    def _like(self, i: int, name: str, array: torch.Tensor) -> torch.Tensor:
        """Return a state as the step wants it: real, where its parameter lies."""
        what, param = f"state {name!r} of {self._names[i]}", self.params[i]
        given = checked_state(array, param, what)
        own = resolved(self.shards.shard_of(i, given).to(self.shards.locals[i].device))
        real = _real(own) if own.is_complex() else own
        if describe(real, what).overlaps_itself:
            raise ValueError(f"{what}: elements of the array overlap (is it broadcast?)")
        return real

    def _fresh(self, array: torch.Tensor) -> torch.Tensor:
        """Return a state that no step has touched yet (as torch's Adagrad makes)."""
        if self._state_dtype is not None:
            return array.to(self._state_dtype)
        return array.float() if array.element_size() < 4 else array

    def _as_torchs(self, i: int, array: torch.Tensor) -> torch.Tensor:
        return self.shards.like(i, torch.view_as_complex(array) if i in self._complex else array)

    @property
    def swapped_in_place(self) -> frozenset[int]:
        """The places of parameters of which the step has a view, whose memory is to stay theirs."""
        return frozenset((*self.shards.places, *self._complex))

    def as_given(self, values: Sequence[torch.Tensor]) -> dict[torch.Tensor, torch.Tensor]:
        """Return values, one like each parameter of the step, as those of the optimizer's."""
        pairs = zip(self.params, values, self._views)
        return {
            p: p if value is view else self._as_torchs(i, value)
            for i, (p, value, view) in enumerate(pairs)
        }

    def _rounds_by_chance(self, i: int, states: Mapping[str, torch.Tensor]) -> bool:
        """Whether a parameter, or one of its states, is rounded by chance."""
        narrow = {state.dtype for name, state in states.items() if name not in EXACT}
        narrow.add(self._state_dtype)
        of_param = self.shards.locals[i].dtype is torch.bfloat16
        chance = self.step.tail.stochastic_rounding and of_param
        return chance or not narrow.isdisjoint(getattr(torch, name) for name in BITS_16)

    def _seed_of_shard(self, i: int, known: float | None) -> float:
        """Return the rounding seed of this process's shard; ``known`` is the whole tensor's."""
        number = self.shards.number(i)
        if known is None:
            known = self._seeds.get(i, tensor_seed({"seed": self.step.tail.seed}, i))
        if any(number):
            self._seeds[i] = known
        return shard_seed(known, number)


def _write_number(
    own: dict[str, Any], name: str, number: float, dtype: torch.dtype, where: Any
) -> None:
    """Write a number into a parameter's states; in place, so that state dicts stay of one step."""
    held = own.get(name)
    if isinstance(held, torch.Tensor) and held.dtype is dtype and not held.is_inference():
        held.detach().fill_(number)
    else:
        own[name] = torch.tensor(number, dtype=dtype, device=where)


def _lie_together(tensor: torch.Tensor, view: torch.Tensor) -> bool:
    return bool(tensor.data_ptr() == view.data_ptr())


def _real(tensor: torch.Tensor) -> torch.Tensor:
    """Return a complex tensor as real numbers in the same memory, or in a copy."""
    return torch.view_as_real(resolved(tensor) if tensor.is_conj() else tensor)


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

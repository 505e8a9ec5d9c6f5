"""The fused step for torch parameters, including DTensors, complex and inactive ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import repeat
from operator import attrgetter, is_
from typing import Any

import torch

from ..arrays import fill, mark_written, without_lazy_bits
from ..engine.groups import Groups
from ..engine.step import FusedStep
from ..engine.tail import Tail
from .complex_tensors import as_real
from .inactive import States, is_inactive, with_placeholders
from .local_tensors import LocalTensors
from .shards import Shards
from .state_sync import StateSync
from .without_llvmlite import warn_without_llvmlite

GRAD = attrgetter("grad")
"""The fastest way, in a map, to read many gradients."""


class TensorStep:
    """A fused step over the parameters of an optimizer.

    The step updates the views that `LocalTensors` makes, with an empty tensor for each inactive
    parameter.

    Attributes:
        step: the step.
        tensors: the tensors that it updates.
        states: loads and saves the optimizer's ``state``.
    """

    def __init__(
        self,
        params: Sequence[torch.Tensor],
        names: Sequence[str],
        sizes: Sequence[int],
        carried: frozenset[str],
        tail: Tail,
        state: States,
        norm_group: Any = None,
        constant: frozenset[str] = frozenset(),
        totals: bool = False,
    ) -> None:
        """Check the parameters, and make the step.

        Args:
            params: the parameters.
            names: of the parameters, for error messages.
            sizes: the number of parameters of each group, in their order.
            carried: the names of the rules' carried numbers.
            tail: the tail of the optimizer.
            state: the states of each parameter, by torch's names.
            norm_group: see `shards.Shards`.
            constant: see `state_sync.StateSync`.
            totals: whether the rules have sums over all parameters.

        Raises:
            TypeError, ValueError: a parameter cannot be updated.
        """
        self._sizes = list(sizes)
        inactive = [i for i, p in enumerate(params) if is_inactive(p, state)]
        self._inactive = [params[i] for i in inactive]
        shards = self._shards = Shards(with_placeholders(params, inactive), names, norm_group)
        if tail.measures or tail.stats:
            shards.check_on_mesh("stats" if tail.stats else "clip_norm, skip_nonfinite")
        elif totals:
            shards.check_on_mesh("sums over all parameters")
        self.tensors = LocalTensors(params, names, shards)
        group_of = [i for i, size in enumerate(sizes) for _ in range(size)]
        self.step = FusedStep(
            self.tensors.views, names, group_of, tail, shards.process_groups, shards.norm_groups
        )
        self.states = StateSync(self.step, self.tensors, group_of, carried, constant)
        self._on_cpu = any(p.device.type == "cpu" for p in shards.locals)

    def fits(
        self, params: Sequence[torch.Tensor], sizes: Sequence[int], state: States | None
    ) -> bool:
        """Whether this is still the step of these parameters, in these groups.

        Args:
            params: the parameters.
            sizes: the number of parameters of each group.
            state: the states of each parameter, if they may have changed since the last step.
        """
        return (
            self._sizes == sizes
            and all(map(is_, params, self.tensors.params))
            and not (self._inactive and self._any_active(state))
            and self.tensors.fits(params)
        )

    def _any_active(self, state: States | None) -> bool:
        """Whether an inactive parameter has got a gradient or a state."""
        if not all(map(is_, map(GRAD, self._inactive), repeat(None))):
            return True
        return state is not None and any(map(state.get, self._inactive))

    def any_became_complex_or_real(self, params: Sequence[torch.Tensor]) -> bool:
        """Whether a real parameter has become complex, or vice versa."""
        return any(p.is_complex() != (i in self.tensors.complex) for i, p in enumerate(params))

    def run(
        self,
        grads: Sequence[torch.Tensor | None],
        groups: Groups,
        found_inf: torch.Tensor | None = None,
    ) -> None:
        """Update every parameter that has a gradient.

        Args:
            grads: the gradient of each parameter, or None.
            groups: the rules and numbers of each group.
            found_inf: skips the step if it is not 0; does not synchronize with a device.

        Raises:
            TypeError, ValueError: a gradient does not fit its parameter; nothing has been changed.
        """
        if found_inf is not None:
            found_inf = self._shards.any(found_inf)
        if self._on_cpu:
            warn_without_llvmlite()
        if self.tensors.all_plain:
            self.step.run(grads, groups, found_inf)
        else:
            self._run_views(grads, groups, found_inf)

    def run_pass(
        self,
        name: str,
        groups: Groups,
        grads: Sequence[torch.Tensor | None] | None,
        among: Sequence[int],
    ) -> None:
        """Run a pass of the rules, as `FusedStep.run_pass` does.

        Args:
            name: the name of the pass.
            groups: the rules and numbers of each group.
            grads: the gradient of each parameter, or None; for a pass over gradients.
            among: for any other pass, the indices of the groups whose parameters are changed.

        Raises:
            TypeError, ValueError: a gradient does not fit its parameter; nothing has been changed.
        """
        if self._on_cpu:
            warn_without_llvmlite()
        if grads is not None and not self.tensors.all_plain:
            shards = self._shards.of(grads)
            own = {i: as_real(shards[i]) for i in self.tensors.complex if grads[i] is not None}
            grads = [own.get(i, shard) for i, shard in enumerate(shards)]
        self.step.run_pass(name, groups, grads, among)
        if grads is None:
            views = (*self.tensors.complex, *self._shards.indices)
            mark_written([self.tensors.params[i] for i in views])

    def _run_views(
        self,
        grads: Sequence[torch.Tensor | None],
        groups: Groups,
        found_inf: torch.Tensor | None,
    ) -> None:
        """Update parameters of which some are complex or sharded."""
        shards = self._shards.of(grads)
        active_complex = [i for i in self.tensors.complex if grads[i] is not None]
        real = {i: as_real(shards[i]) for i in active_complex}
        own = [real.get(i, shard) for i, shard in enumerate(shards)] if real else shards
        zeroed = self.step.tail.zero_grads
        memories = _memory_of_conjugated(shards, active_complex) if zeroed and real else {}
        if memories:
            self.step.check([memories.get(i, grad) for i, grad in enumerate(own)])
        self.step.run(own, groups, found_inf)
        if zeroed:
            self._shards.zero_redistributed(grads, shards)
            _zero(memories, shards)
        sharded = [i for i in self._shards.indices if grads[i] is not None]
        mark_written([self.tensors.params[i] for i in (*active_complex, *sharded)])


def _memory_of_conjugated(grads: Sequence[Any], indices: Sequence[int]) -> dict[int, torch.Tensor]:
    """Return the memory of conjugated gradients, which the step updates copies of, by `as_real`."""
    return {i: as_real(without_lazy_bits(grads[i])) for i in indices if grads[i].is_conj()}


def _zero(memories: Mapping[int, torch.Tensor], grads: Sequence[Any]) -> None:
    """Zero conjugated gradients, through their memory."""
    for memory in memories.values():
        fill(memory, 0.0)
    mark_written([grads[i] for i in memories])

"""Translate the options of ``param_groups`` into the fused step's rules and numbers."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from ..arrays import scalars
from ..engine.groups import Groups
from ..optimizers.plan import Plan, as_floats
from .missing_options import check_options, torch_name
from .param_groups import CheckedParamGroups
from .shared_attributes import Shared

_IMPLEMENTATION_FLAGS = ("foreach", "capturable", "fused")
"""The options that select torch's implementation of a step."""


class PlannedParamGroups(CheckedParamGroups):
    """Groups whose rules and numbers are recomputed only when an option changes."""

    _plan = Shared()
    """The options of all groups at the last step, and the rules and numbers derived from them."""
    _planned_sizes = Shared()
    """The number of names in each group when the plan was made."""

    def _groups(self) -> Groups:
        """Return the rules and numbers of each group; the same object while no option changes.

        Raises:
            TypeError, ValueError: an option is missing, or has a value that is not accepted.
        """
        plan: Plan | None = self._plan
        rules = [] if plan is None else plan.rules
        before = None if plan is None else plan.groups
        if plan is None or list(map(len, self.param_groups)) != self._planned_sizes:
            plan = self._plan = self._new_plan()
        factor = self._grad_factor()
        groups = plan.take(self.param_groups, factor)
        changed = rules is not plan.rules and rules != plan.rules
        if before and (changed or before.state_dtypes != groups.state_dtypes):
            # Make the step reload its states: a new rule may lack some, and rounded shards need
            # seeds.
            self.state  # noqa: B018
        return groups

    def _new_plan(self) -> Plan:
        """Check all groups, whose names may have changed, and return a plan for them."""
        self._check_groups()
        self._planned_sizes = list(map(len, self.param_groups))
        names = [name for name in self.defaults if name not in _IMPLEMENTATION_FLAGS]
        reads = self._definition.parts, self._accepted_rule, self._numbers_of
        checks = partial(check_options, self), self._check_changed
        more = self._repeated(), self._definition.optional
        return Plan(names, *reads, self._tail, self._state_dtype, *checks, *more)

    def _numbers_of(self, name: str, values: Sequence[Any]) -> Sequence[float]:
        """Return the values of one hyperparameter of a rule, in all groups, as floats."""
        numbers = as_floats(values)
        if numbers is not None:
            return numbers
        return [self._number(i, name, value) for i, value in enumerate(values)]

    def _number(self, i: int, name: str, value: Any) -> float:
        """Return the value of an option of group ``i``; errors name it as torch does."""
        try:
            return scalars.number_of(value)
        except (TypeError, ValueError, OverflowError, RuntimeError):
            # RuntimeError: a tensor with several elements
            name = f"param_groups[{i}]: {torch_name(self, name)}"
            raise TypeError(f"{name}: expected a number, got {value!r:.80}") from None

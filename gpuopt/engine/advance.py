"""The step of an optimizer's shared numbers, in the form of an update for a device."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache, cached_property
from types import FunctionType

import numpy as np

from ..kernels.trace.retarget import function_from
from ..rules.registry import Rule
from .measure import measure
from .read_only_update import ReadOnlyUpdate
from .update_coefficients import parameters_of


class Advance(ReadOnlyUpdate):
    """The step of the shared numbers, in the form of an update of a tensor without elements.

    The shared numbers are its carried numbers, followed by the totals; see `kernels.table.Update`.
    """

    lists = ("params", "grads")
    read = (1,)
    watched_names = ("gradient",)
    wants_sums = False
    wants_counts = True
    coefficient_names = ()
    function = staticmethod(measure)
    dtypes = ("float64", "float64")
    """Of its lists, whose only tensor has no elements: the first says in which it computes."""

    def __init__(self, rule: Rule) -> None:
        """Store the rule."""
        assert rule.advance is not None
        self._advance = rule.advance
        self.name = f"advance_{rule.name}"
        self.kept_names = tuple(rule.shared)
        self.carried_names = (*rule.shared, *rule.totals)
        self.option_names = parameters_of(rule.advance)[len(self.carried_names) :]

    @cached_property
    def coefficients_function(self) -> FunctionType:
        """The function from step, carried numbers and options to the next carried numbers."""
        takes, n = parameters_of(self._advance), len(self.kept_names)
        new = [f"c{i}" for i in range(n)]
        source = "\n    ".join(
            (
                f"def coefficients({', '.join(('step', *takes))}):",
                f"({', '.join(new)},) = advance({', '.join(takes)})",
                f"return ({', '.join((*new, *self.carried_names[n:]))},)\n",
            )
        )
        names = {"__name__": __name__, "advance": self._advance}
        return function_from(source, "coefficients", names)

    def after(
        self, numbers: Sequence[float], totals: Sequence[float], options: Mapping[str, float]
    ) -> list[float]:
        """Return the shared numbers after a step."""
        given = (options[name] for name in self.option_names)
        with np.errstate(all="ignore"):  # inf and NaN are valid results
            found = self._advance(*map(np.float64, (*numbers, *totals, *given)))
        return list(map(float, found))


advance_of = cache(Advance)

"""The pass before an update that computes sums."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from types import FunctionType
from typing import Any

from ..kernels.trace.retarget import function_from
from .read_only_update import ReadOnlyUpdate
from .update_calls import Call, UpdateCalls, bytes_of, call_of, lines_of
from .update_coefficients import parameters_of


class Sums(ReadOnlyUpdate):
    """A pass before an update that computes sums over a tensor, and writes nothing.

    It has the lists and the coefficients of the update. Its function takes all of them, and returns
    the values that are summed, or whose squares are.

    Attributes:
        watched_names: the names of the sums.
        n_plain: how many of them are sums of values, not of squares: all or none.
    """

    wants_sums = True
    wants_counts = False

    def __init__(
        self,
        update: UpdateCalls,
        what: str,
        names: tuple[str, ...],
        function: Callable[..., Any] | None,
        plain: bool = False,
    ) -> None:
        """Store the update, the names of the sums, and the function that returns the values."""
        assert function is not None
        self._update, self._summed = update, function
        self.name = f"{what}_of_{update.name.removeprefix('update_')}"
        self.lists, self.blocked = update.lists, update.blocked
        self.coefficient_names = update.coefficient_names
        self.carried_names, self.option_names = update.carried_names, update.option_names
        self.coefficients_function = update.coefficients_function
        self.watched_names = names
        self.n_plain = len(names) if plain else 0

    @cached_property
    def _needed(self) -> tuple[list[Call], set[str]]:
        """The calls of stages whose results are used, and the values that all of them take."""
        calls: list[Call] = []
        needed = set(parameters_of(self._summed))
        for stage in reversed(self._update.stages):
            if needed.intersection(stage.results):
                calls.insert(0, call_of(stage))
                needed = needed.difference(stage.results).union(parameters_of(stage.function))
        return calls, needed

    @cached_property
    def read(self) -> tuple[int, ...]:
        """The rows that it reads."""
        _, needed = self._needed
        return tuple(i for i, name in enumerate(self._update.values) if name in needed)

    def bytes_per_element(self, dtypes: Sequence[str]) -> float:
        """Return the minimum memory traffic: each list that it needs, read once."""
        return bytes_of(self.blocked, dtypes, self.read)

    @cached_property
    def function(self) -> FunctionType:
        """The composed NumPy function."""
        (calls, _), values = self._needed, self._update.values
        body = lines_of(calls)
        given = (*(values[i] for i in self.read), *self.coefficient_names)
        header = f"def {self.name}({', '.join(given)}):"
        result = f"return summed({', '.join(parameters_of(self._summed))})"
        names: dict[str, Any] = {callee: function for callee, function, *_ in calls}
        names |= {"__name__": __name__, "summed": self._summed}
        return function_from("\n    ".join((header, *body, result)) + "\n", self.name, names)

"""The functions that an update calls for each element, and the lists of arrays that they take."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ..kernels.storage import BLOCK, STORAGE, compute_dtype
from ..rules.formats import FORMATS, IN_8_BITS, ROOT8, SOFTSIGN8, is_coded, scale_name
from ..rules.registry import Stage, State
from .update_coefficients import UpdateCoefficients, parameters_of

Call = tuple[str, Callable[..., Any], tuple[str, ...], tuple[str, ...]]
"""The name of a function, the function, the values that it replaces, and its coefficients."""


@dataclass(frozen=True, eq=False)
class UpdateCalls(UpdateCoefficients):
    """The part of an `Update` that does not need its source: its calls, and lists of arrays.

    Attributes:
        narrow: how rounding errors of 16-bit parameters are kept; one of `NARROW`, or empty.
        watched: whether the function returns the `WATCHED` values after its results.
        formats: the encoded states, and the format of each.
    """

    narrow: str
    watched: bool
    formats: tuple[tuple[str, str], ...] = ()

    def stored_states(self, params: str, wanted: str | None = None) -> dict[str, str]:
        """Return the dtype of each state.

        Args:
            params: the dtype of the parameters.
            wanted: the dtype of the rule's states, the name of a format, or `IN_8_BITS`; None for
                the dtype of computation.
        """
        compute = compute_dtype(params)
        rule = {n: self._stored_state(n, compute, wanted) for n in self.rule.states}
        own = {
            name: state.dtype or (params if state.narrow else compute)
            for name, state in self.own_states.items()
        }
        return {**rule, **own}

    def _stored_state(self, name: str, compute: str, wanted: str | None) -> str:
        if wanted is None or name in self.rule.wide:
            return compute
        if wanted == "float16" and name in self.rule.not_in_float16:
            return compute
        if is_coded(wanted) and (compute == "float64" or name in self.rule.not_in_8_bits):
            return compute
        if wanted == IN_8_BITS:
            return (ROOT8 if name in self.rule.nonnegative else SOFTSIGN8).name
        return wanted

    @property
    def name(self) -> str:
        """The names of the rule and its stages."""
        coded = [name for name, _ in self.formats]
        of_codes = {f"{role}_{name}" for role in ("decode", "prepare", "encode") for name in coded}
        names = [stage.name for stage in self._around if stage.name not in of_codes]
        formats = dict.fromkeys(name for _, name in self.formats)
        core = [self.rule.name, *([self.instead.name] if self.instead else [])]
        return "_".join(("update", *core, *names, *["watched"] * self.watched, *formats))

    @property
    def states(self) -> tuple[str, ...]:
        """The states of the rule and its stages."""
        return (*self.rule.states, *self.own_states)

    @cached_property
    def own_states(self) -> dict[str, State]:
        """The states of the stages."""
        found = [stage.state for stage in self._around if stage.state]
        return {state.name: state for state in found}

    @property
    def lists(self) -> tuple[str, ...]:
        """The lists of arrays, in the order of the table's rows; the scales come last."""
        return ("params", "grads", *self.states, *self.scales)

    def dtypes_of_lists(self, stored: Mapping[str, str]) -> tuple[str, ...]:
        """Return the dtypes of the lists of states, and of those of scales.

        Args:
            stored: the dtype of each state, or its format, by name.
        """
        of_states = (stored[name] for name in self.states)
        codes = (FORMATS[own].codes if own in FORMATS else own for own in of_states)
        return (*codes, *("float32" for _ in self.scales))

    @cached_property
    def scales(self) -> tuple[str, ...]:
        """The lists of scales."""
        return tuple(scale_name(name) for name, _ in self.formats)

    @cached_property
    def blocked(self) -> tuple[tuple[int, int], ...]:
        """The rows of codes, each with the row of its scales."""
        rows = {name: i for i, name in enumerate(self.values)}
        return tuple((rows[name], rows[scale_name(name)]) for name, _ in self.formats)

    @property
    def values(self) -> tuple[str, ...]:
        """The functions' name for an element of each list."""
        return ("p", "g", *self.states, *self.scales)

    @cached_property
    def coefficient_names(self) -> tuple[str, ...]:
        """The coefficients that the function takes; rounding stages share theirs."""
        names = (name for *_, names in (*self._calls, *self._encoding_calls) for name in names)
        return tuple(dict.fromkeys(names))

    @property
    def _totals_behind(self) -> tuple[str, ...]:
        """The totals that are computed during the update."""
        return () if self.rule.totals_first or self.instead else self.rule.totals

    @cached_property
    def _calls(self) -> tuple[Call, ...]:
        rule, own = self.rule, self.instead
        core = f"apply_{rule.name}", rule.update, rule.results, rule.coefficient_names
        return (
            *map(call_of, self._in_front),
            *self._totalling,
            call_of(own) if own else core,
            *map(call_of, self._behind),
        )

    @property
    def _totalling(self) -> tuple[Call, ...]:
        """The call that returns the values to be totalled; its coefficients are the rule's."""
        names, function = self._totals_behind, self.rule.totalled
        return ((f"total_{self.rule.name}", function, names, ()),) if names and function else ()

    @cached_property
    def _encoding_calls(self) -> tuple[Call, ...]:
        return tuple(map(call_of, self.encoding))


def bytes_of(
    blocked: Sequence[tuple[int, int]], dtypes: Sequence[str], rows: Sequence[int]
) -> float:
    """Return the bytes per element of accesses to lists; a scale counts for its block.

    Args:
        blocked: the rows of codes, each with the row of its scales.
        dtypes: the dtype of each list.
        rows: the rows of the lists, once for each access.
    """
    scales = {row for _, row in blocked}
    return sum(STORAGE[dtypes[row]].itemsize / (BLOCK if row in scales else 1) for row in rows)


def lines_of(calls: Sequence[Call]) -> list[str]:
    """Return the lines of a function that makes these calls in order."""
    return [
        f"{', '.join(results)} = {callee}({', '.join(parameters_of(function))})"
        for callee, function, results, _ in calls
    ]


def call_of(stage: Stage) -> Call:
    """Return the call of a stage's function."""
    return f"apply_{stage.name}", stage.function, stage.results, stage.coefficient_names

"""Compose the coefficients of a rule and the stages around it into one function."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import FunctionType
from typing import Any

from ..kernels.trace.retarget import function_from
from ..rules.registry import Rule, Stage

_Call = tuple[str, Callable[..., Any], tuple[str, ...]]
"""The name of a function, the function, and the names of its results."""


@dataclass(frozen=True, eq=False)
class UpdateCoefficients:
    """The part of an `Update` that is computed for a whole tensor: its coefficients.

    Attributes:
        rule: the rule.
        stages: the stages before it, in order; those that are ``behind``, directly after it.
        after: the stages after those, in order.
        encoding: the stages that compute codes of states, once the scales of blocks are known.
        instead: the pass that replaces the rule, or None.
    """

    rule: Rule
    stages: tuple[Stage, ...]
    after: tuple[Stage, ...]
    encoding: tuple[Stage, ...]
    instead: Stage | None

    @property
    def _around(self) -> tuple[Stage, ...]:
        return (*self.stages, *self.after, *self.encoding)

    @property
    def _in_front(self) -> tuple[Stage, ...]:
        return tuple(stage for stage in self.stages if not stage.behind)

    @property
    def _behind(self) -> tuple[Stage, ...]:
        return (*(stage for stage in self.stages if stage.behind), *self.after)

    @property
    def carried_names(self) -> tuple[str, ...]:
        """The names of a tensor's numbers: carried numbers, facts, and sums."""
        return (*self.kept_names, *self._given)

    @property
    def kept_names(self) -> tuple[str, ...]:
        """The names of the carried numbers."""
        return (*self._of_rule, *self._constant)

    @property
    def _given(self) -> tuple[str, ...]:
        """The facts and sums that the rule's coefficients take."""
        return () if self.instead else (*self.rule.facts, *self.rule.sums)

    @property
    def _of_rule(self) -> tuple[str, ...]:
        """The carried numbers that the rule's coefficients return; a pass does not change them."""
        return () if self.instead else tuple(self.rule.carried)

    @cached_property
    def _constant(self) -> tuple[str, ...]:
        """The carried numbers that never change: the stages' own."""
        return tuple(dict.fromkeys(name for stage in self._around for name in stage.carried))

    @cached_property
    def _carries(self) -> bool:
        return bool(self.carried_names)

    @cached_property
    def option_names(self) -> tuple[str, ...]:
        """The options that the coefficients depend on."""
        given = {"step", *self._constant, *self._given}
        own = [
            name
            for stage in (*self._around, *filter(None, [self.instead]))
            if stage.coefficients
            for name in parameters_of(stage.coefficients)
        ]
        rule = self.rule
        shared = [n for n in parameters_of(rule.coefficients) if n in rule.shared_names]
        of_rule = () if self.instead else (*shared, *rule.hyperparameters)
        names = dict.fromkeys((*own, *of_rule))
        return tuple(name for name in names if name not in given)

    @cached_property
    def coefficients_source(self) -> str:
        """The Python source of `coefficients_function`."""
        body: list[str] = []
        results: list[str] = []
        carried: list[str] = []
        for callee, function, names in self._coefficient_calls:
            n = len(results) + len(carried)
            own = [f"c{n + i}" for i in range(len(names))]
            body.append(f"({', '.join(own)},) = {callee}({', '.join(parameters_of(function))})")
            of_rule = len(self.rule.coefficient_names) if callee == "of_rule" else len(own)
            results, carried = results + own[:of_rule], carried + own[of_rule:]
        returned = (*results, *carried, *self._constant, *self._given)
        parameters = ", ".join(("step", *self.carried_names, *self.option_names))
        header = f"def coefficients({parameters}):"
        return "\n    ".join((header, *body, f"return ({', '.join(returned)},)")) + "\n"

    @property
    def _coefficient_calls(self) -> list[_Call]:
        known: set[str] = set()

        def of(stages: Sequence[Stage]) -> list[_Call]:
            calls = []
            for stage in stages:
                if stage.coefficients and not known.issuperset(stage.coefficient_names):
                    calls.append((f"of_{stage.name}", stage.coefficients, stage.coefficient_names))
                known.update(stage.coefficient_names)
            return calls

        before, behind = of(self._in_front), (*self._behind, *self.encoding)
        if self.instead:
            return [*before, *of([self.instead]), *of(behind)]
        names = (*self.rule.coefficient_names, *self.rule.carried)
        return [*before, ("of_rule", self.rule.coefficients, names), *of(behind)]

    @cached_property
    def coefficients_function(self) -> FunctionType:
        """The composed function of the step, the carried numbers and the options.

        It returns the coefficients of a tensor, followed by its carried numbers for the next step.
        """
        names = {"__name__": __name__, **self.coefficient_callees}
        return function_from(self.coefficients_source, "coefficients", names)

    @property
    def coefficient_callees(self) -> dict[str, Callable[..., Any]]:
        """The functions that `coefficients_function` calls, by the names in its source."""
        return {callee: function for callee, function, _ in self._coefficient_calls}

    def coefficients(
        self, step: int, options: Mapping[str, float], carried: Sequence[float] = ()
    ) -> tuple[float, ...]:
        """Return the float64 coefficients of a tensor, followed by its next carried numbers.

        Args:
            step: the number of this update of the tensor (1 for the first).
            options: the options of the rule and of the stages, by name.
            carried: the carried numbers that its last step returned; the initial ones by default.
        """
        numbers = carried
        if self._carries and not len(carried):
            numbers = self.carried_at_first(options)
        given = map(options.__getitem__, self.option_names)
        return tuple(map(float, self.coefficients_function(step, *numbers, *given)))

    def carried_at_first(self, options: Mapping[str, float], tensor: int = 0) -> tuple[float, ...]:
        """Return the carried numbers for the first step of a tensor; ``tensor`` is its index."""
        starts = map(self.rule.carried.__getitem__, self._of_rule)
        of_rule = (options[x] if isinstance(x, str) else x for x in starts)
        starts_of = {n: start for stage in self._around for n, start in stage.carried.items()}
        of_stages = (starts_of[name](options, tensor) for name in self._constant)
        not_known_yet = (1.0 for _ in self._given)
        return (*of_rule, *of_stages, *not_known_yet)


def parameters_of(function: Callable[..., Any]) -> tuple[str, ...]:
    """Return the names of a function's parameters."""
    code = function.__code__
    return code.co_varnames[: code.co_argcount]

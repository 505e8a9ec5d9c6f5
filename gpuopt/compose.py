"""One function from a rule and the stages in front of it: what every backend compiles."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from types import FunctionType
from typing import Any

from .kernels.retarget import function_from
from .registry import Rule, Stage
from .rules import DECOUPLED_DECAY, L2_DECAY, SCALE_GRADIENT


@dataclass(frozen=True, eq=False)
class Update:
    """The whole update of one element: ``p, *states = function(p, g, *states, *coefficients)``.

    Attributes:
        rule: the rule at its heart.
        stages: what runs in front of it, in order.
    """

    rule: Rule
    stages: tuple[Stage, ...]

    @property
    def name(self) -> str:
        """The rule's name and its stages'."""
        return "_".join(("update", self.rule.name, *(stage.name for stage in self.stages)))

    @property
    def lists(self) -> tuple[str, ...]:
        """The lists of arrays that the table has a row for, in the function's order."""
        return ("params", "grads", *self.rule.states)

    @property
    def written(self) -> tuple[int, ...]:
        """The rows that the function's results go to."""
        return (0, *range(2, len(self.lists)))

    @property
    def coefficient_names(self) -> tuple[str, ...]:
        """The function's parameters after the values."""
        own = (name for stage in self.stages for name in stage.coefficient_names)
        return (*own, *self.rule.coefficient_names)

    @cached_property
    def source(self) -> str:
        """The Python text of the function."""
        values = ("p", "g", *self.rule.states)
        written = ", ".join(("p", *self.rule.states))
        body = [
            f"{stage.result} = apply_{stage.name}({', '.join(_parameters(stage.function))})"
            for stage in self.stages
        ]
        arguments = ", ".join((*values, *self.rule.coefficient_names))
        body.append(f"{written} = apply_{self.rule.name}({arguments})")
        header = f"def {self.name}({', '.join((*values, *self.coefficient_names))}):"
        return "\n    ".join((header, *body, f"return ({written},)")) + "\n"

    @cached_property
    def function(self) -> FunctionType:
        """The composed NumPy function."""
        callees = {f"apply_{stage.name}": stage.function for stage in self.stages}
        callees[f"apply_{self.rule.name}"] = self.rule.update
        return function_from(self.source, self.name, {"__name__": __name__, **callees})

    @property
    def carried_names(self) -> tuple[str, ...]:
        """The numbers that each tensor carries from step to step."""
        return tuple(self.rule.carried)

    @property
    def option_names(self) -> tuple[str, ...]:
        """The numbers that the coefficients are computed from, beside the step and those."""
        own = [name for s in self.stages for name in _parameters(s.coefficients)]
        return tuple(dict.fromkeys((*own, *self.rule.hyperparameters)))

    @cached_property
    def coefficients_source(self) -> str:
        """The Python text of `coefficients_function`."""
        parts = [(stage.name, stage.coefficients, stage.coefficient_names) for stage in self.stages]
        of_rule = (*self.rule.coefficient_names, *self.carried_names)
        parts.append(("rule", self.rule.coefficients, of_rule))
        body: list[str] = []
        results: list[str] = []
        for callee, function, names in parts:
            own = [f"c{len(results) + i}" for i in range(len(names))]
            body.append(f"({', '.join(own)},) = {callee}({', '.join(_parameters(function))})")
            results += own
        parameters = ", ".join(("step", *self.carried_names, *self.option_names))
        header = f"def coefficients({parameters}):"
        return "\n    ".join((header, *body, f"return ({', '.join(results)},)")) + "\n"

    @cached_property
    def coefficients_function(self) -> FunctionType:
        """The composed function of a step, what is carried, and options.

        It returns one tensor's coefficients, and behind them what is carried on.
        """
        callees = {stage.name: stage.coefficients for stage in self.stages}
        callees["rule"] = self.rule.coefficients
        return function_from(
            self.coefficients_source, "coefficients", {"__name__": __name__, **callees}
        )

    def coefficients(
        self, step: int, options: Mapping[str, float], carried: Sequence[float] = ()
    ) -> tuple[float, ...]:
        """Return the coefficients of one tensor, in float64, and behind them what it carries on.

        Args:
            step: how many updates the tensor will have had after this one (1 for the first).
            options: the hyperparameters of the rule and of the stages, by name.
            carried: what its last step carried on; without it, where that starts.
        """
        numbers = carried if len(carried) else self.carried_at_first(options)
        given = (options[name] for name in self.option_names)
        values = self.coefficients_function(step, *numbers, *given)
        return tuple(float(value) for value in values)

    def carried_at_first(self, options: Mapping[str, float]) -> tuple[float, ...]:
        """Return what a tensor carries to its first step."""
        starts = self.rule.carried.values()
        return tuple(options[x] if isinstance(x, str) else x for x in starts)


@cache
def compose(rule: Rule, stages: tuple[Stage, ...] = ()) -> Update:
    """Return the update of ``rule`` behind ``stages``; the same object for the same parts."""
    return Update(rule, stages)


def stages_for(rule: Rule, options: Sequence[Mapping[str, float]]) -> tuple[Stage, ...]:
    """Return the stages that groups of one rule need: none that would multiply by one.

    Args:
        rule: decides whether decay is decoupled.
        options: the hyperparameters of each group.
    """
    stages: list[Stage] = []
    if any(o["maximize"] or o["grad_factor"] != 1.0 for o in options):
        stages.append(SCALE_GRADIENT)
    if any(o["weight_decay"] for o in options):
        stages.append(DECOUPLED_DECAY if rule.decoupled else L2_DECAY)
    return tuple(stages)


def updates_for(rules: Sequence[Rule], options: Sequence[Mapping[str, float]]) -> list[Update]:
    """Return the update of each group: groups of one rule share one, with all their stages.

    Args:
        rules: of each group.
        options: the hyperparameters of each group.
    """
    alike: dict[Rule, list[Mapping[str, float]]] = {}
    for rule, own in zip(rules, options):
        alike.setdefault(rule, []).append(own)
    updates = {rule: compose(rule, stages_for(rule, theirs)) for rule, theirs in alike.items()}
    return [updates[rule] for rule in rules]


def _parameters(function: Callable[..., Any]) -> tuple[str, ...]:
    code = function.__code__
    return code.co_varnames[: code.co_argcount]

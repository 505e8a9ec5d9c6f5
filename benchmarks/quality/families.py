"""Families of optimizers, distinguished by their rules' states and sums, and their members."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gpuopt.demo.methods import METHODS as DEMOS
from gpuopt.demo.methods import Method
from gpuopt.rules.definitions import Definition
from gpuopt.rules.registry import Rule


@dataclass(frozen=True)
class Family:
    """A family of similar optimizers.

    Attributes:
        name: its name in tables and pictures.
        example: the class whose path is drawn.
        has: whether an optimizer with its defaults is one of them.
    """

    name: str
    example: str
    has: Callable[[Definition, Rule], bool]


_TORCHS = {"Adam", "AdamW", "Adamax", "NAdam", "RAdam"}

_AVERAGES = {"exp_avg", "exp_avg_fast", "exp_avg_sq", "exp_inf"}

FAMILIES = (
    Family("lr estimated", "Prodigy", lambda d, rule: bool(getattr(rule, "shared", ()))),
    Family("schedule-free", "AdamWScheduleFree", lambda d, rule: "train" in d.passes),
    Family("scaled by norms", "LAMB", lambda d, rule: "of_p" in rule.sums),
    Family(
        "Adam, changed",
        "Adan",
        lambda d, rule: len({*rule.states} & _AVERAGES) > 1 and d.name not in _TORCHS,
    ),
    Family("Adam in torch.optim", "AdamW", lambda d, rule: len({*rule.states} & _AVERAGES) > 1),
    Family(
        "signs, clipped",
        "Lion",
        lambda d, rule: bool({"exp_avg", "step_size"} & {*rule.states}),
    ),
    Family("squares alone", "RMSProp", lambda d, rule: bool({*rule.nonnegative} - {"exp_avg_sq"})),
    Family("SGD, momentum", "Momentum", lambda d, rule: True),
)
"""All families; an optimizer belongs to the first that matches."""

ORDER = tuple(reversed(FAMILIES))
"""The families in the order of display, starting with the simplest."""


def family_of(definition: Definition) -> Family:
    """Return the family of an optimizer with its defaults."""
    rule = definition.rule_for(definition.defaults)
    return next(family for family in FAMILIES if family.has(definition, rule))


OPTIONS = ("nesterov", "amsgrad", "adamw_cautious")
"""Members that differ from their class by an option."""


def _members() -> dict[str, Method]:
    """Return a method for each class, and those with `OPTIONS`, by label, ordered by family."""
    found = [
        method
        for name, method in DEMOS.items()
        if name in OPTIONS or (not method.options and method.batch_size is None)
    ]
    found.sort(key=lambda method: ORDER.index(family_of(method.definition)))
    return {label_of(method): method for method in found}


def label_of(method: Method) -> str:
    """Return the name of a method: its class's if all options are defaults."""
    return method.label if method.options else method.optimizer


MEMBERS = _members()
"""The compared methods, by label."""

"""Optimizers as data, from which both APIs' classes, docstrings and stubs are generated."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

from ..messages.suggest import did_you_mean
from .options import MAXIMIZE, TRAIN_MODE, Option, weight_decay
from .ranges import REAL
from .registry import RULES, Rule
from .rule import WEIGHT_DECAY

Groups = Mapping[str, Any]
"""The options of one group, by name."""


@dataclass(frozen=True, eq=False)
class Definition:
    """An optimizer: its rules, one of which its options select, and its arguments.

    Attributes:
        name: the name of its classes; the drop-in derives from torch.optim's class of this name.
        rules: the name of the rule for each combination of the options in ``choices``, each True
            if the option is not zero.
        options: in the order of the constructor's arguments, torch's if torch has the optimizer.
        choices: the names of the options that select the rule.
        keyword_only: the names of the keyword-only options.
        summary: the first line of the docstring.
        equation: in TeX.
        remarks: what else users should know.
        source: paper and year.
        example: a doctest of the class over plain arrays.
        check: raises ValueError if options exclude each other.
        counts_steps: whether torch's state dicts hold a step count for each parameter.
        registered: the rule, if this is the definition of `Optimizer` for that rule; otherwise "".
    """

    name: str
    rules: Mapping[tuple[bool, ...], str]
    options: tuple[Option, ...]
    choices: tuple[str, ...] = ()
    keyword_only: tuple[str, ...] = ("maximize",)
    summary: str = ""
    equation: str = ""
    remarks: str = ""
    source: str = ""
    example: str = ""
    check: Callable[[Groups], None] | None = None
    counts_steps: bool = True
    registered: str = ""

    @cached_property
    def defaults(self) -> dict[str, Any]:
        """The default of each option, by name."""
        return {option.name: option.default for option in self.options}

    @cached_property
    def by_name(self) -> dict[str, Option]:
        """The options, by name."""
        return {option.name: option for option in self.options}

    @cached_property
    def parts(self) -> dict[str, tuple[str, ...]]:
        """The hyperparameters that each option sets, by its name."""
        return {option.name: option.parts for option in self.options}

    @cached_property
    def optional(self) -> frozenset[str]:
        """The options that may be None."""
        return frozenset(option.name for option in self.options if option.optional)

    def rule_for(self, options: Groups) -> Rule:
        """Return the rule of a group; depends only on the options in ``choices``."""
        return RULES[self.rules[tuple(bool(options[name]) for name in self.choices)]]

    @cached_property
    def all_rules(self) -> tuple[Rule, ...]:
        """The rules that its options can select."""
        return tuple(RULES[name] for name in dict.fromkeys(self.rules.values()))

    @cached_property
    def passes(self) -> frozenset[str]:
        """The passes of its rules."""
        return frozenset(name for rule in self.all_rules for name in rule.passes)

    @cached_property
    def state_names(self) -> frozenset[str]:
        """The states of all its rules."""
        return frozenset(name for rule in self.all_rules for name in rule.states)

    @cached_property
    def constant_names(self) -> frozenset[str]:
        """The states that only passes change, possibly before the first step."""
        return frozenset(name for rule in self.all_rules for name in rule.constant)

    @cached_property
    def carried_names(self) -> frozenset[str]:
        """The carried and shared numbers of its rules."""
        return frozenset(name for rule in self.all_rules for name in (*rule.carried, *rule.shared))

    @cached_property
    def shared(self) -> dict[str, float | str]:
        """The numbers that all tensors share, with their initial values; see `Rule.shared`."""
        return {name: start for rule in self.all_rules for name, start in rule.shared.items()}


DEFINITIONS: dict[str, Definition] = {}
"""All optimizers, by name."""


def define(definition: Definition) -> None:
    """Add an optimizer to both APIs."""
    DEFINITIONS[definition.name] = definition


def single(rule: str) -> Mapping[tuple[bool, ...], str]:
    """Return the `Definition.rules` of an optimizer that has one rule."""
    return {(): rule}


def either(option_is_zero: str, otherwise: str) -> Mapping[tuple[bool, ...], str]:
    """Return the `Definition.rules` of an optimizer whose rule depends on one option."""
    return {(False,): option_is_zero, (True,): otherwise}


def definition_for(name: Any) -> Definition:
    """Return the definition of the optimizer that has a registered rule.

    Raises:
        TypeError, ValueError: there is no such rule.
    """
    if not isinstance(name, str):
        raise TypeError(f"rule: expected the name of a registered rule, got {name!r:.80}")
    if name not in RULES:
        hint = did_you_mean(name, RULES)
        raise ValueError(
            f"rule: expected a registered rule, one of {', '.join(RULES)}, got {name!r}"
            f"{hint or '; gpuopt.register adds rules'}"
        )
    return _of_rule(RULES[name])


@cache
def _of_rule(rule: Rule) -> Definition:
    starts = dict.fromkeys(rule.initial.values())
    more = [
        Option(name, 0.0, "initial value of a state", (REAL,))
        for name in starts
        if name not in rule.hyperparameters
    ]
    decays = [] if WEIGHT_DECAY in rule.hyperparameters else [weight_decay(0.0, rule.decoupled)]
    modes = [TRAIN_MODE] if "train" in rule.passes else []
    options = (*rule.options, *more, *decays, MAXIMIZE, *modes)
    return Definition(
        "Optimizer",
        single(rule.name),
        options,
        keyword_only=tuple(o.name for o in options),
        registered=rule.name,
    )

"""The rules that are timed, each in gpuopt's, torch's and the textbook form."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import gpuopt
from gpuopt.inspection.spelling import families
from gpuopt.rules.definitions import DEFINITIONS, Definition
from gpuopt.rules.registry import RULES, Rule

from . import textbook

Options = Mapping[str, Any]


@dataclass(frozen=True)
class Case:
    """One rule, and how each contender calls it.

    Attributes:
        name: the value of ``--rule``.
        rule: its entry in the registry.
        optimizer: gpuopt's class for plain arrays; None to time the drop-in alone.
        options: the options of gpuopt's optimizer; the textbook form takes all but the flags.
        torch: the name of the optimizer in torch.optim.
        torch_options: its options.
        textbook: the function of `benchmarks.textbook` that updates one tensor, or None.
        note: a remark on the comparison.
    """

    name: str
    rule: Rule
    optimizer: type[Any] | None
    options: Options
    torch: str
    torch_options: Options
    textbook: Callable[..., None] | None
    note: str = ""


_ADAM = {"lr": 1e-3, "betas": (0.9, 0.999), "eps": 1e-8}
_ADAMW = {**_ADAM, "weight_decay": 1e-2}
_AMSGRAD = {**_ADAM, "amsgrad": True}

_DROP_INS: dict[str, Options] = {
    "Adagrad": {"lr": 1e-2},
    "Adadelta": {"lr": 1.0},
    "Adamax": {"lr": 2e-3},
    "NAdam": {"lr": 2e-3},
    "RAdam": {"lr": 1e-3},
    "Rprop": {"lr": 1e-2},
    "ASGD": {"lr": 1e-2},
}
"""Rules that are timed only through `gpuopt.torch`, by torch's names."""

CASES: dict[str, Case] = {
    case.name: case
    for case in (
        Case(
            "sgd",
            RULES["gradient_descent"],
            gpuopt.SGD,
            {"lr": 1e-2},
            "SGD",
            {"lr": 1e-2},
            textbook.sgd,
        ),
        Case(
            "momentum",
            RULES["momentum"],
            gpuopt.Momentum,
            {"lr": 1e-2, "beta": 0.9},
            "SGD",
            {"lr": 1e-2, "momentum": 0.9},
            textbook.momentum,
            "torch.optim.SGD keeps lr outside the velocity: the same parameters while lr stays",
        ),
        Case(
            "rmsprop",
            RULES["rmsprop"],
            gpuopt.RMSProp,
            {"lr": 1e-2, "beta": 0.9, "eps": 1e-8},
            "RMSprop",
            {"lr": 1e-2, "alpha": 0.9, "eps": 1e-8},
            textbook.rmsprop,
        ),
        Case("adam", RULES["adam"], gpuopt.Adam, _ADAM, "Adam", _ADAM, textbook.adam),
        Case("adamw", RULES["adamw"], gpuopt.AdamW, _ADAMW, "AdamW", _ADAMW, textbook.adamw),
        Case(
            "amsgrad",
            RULES["amsgrad"],
            gpuopt.Adam,
            _AMSGRAD,
            "Adam",
            _AMSGRAD,
            textbook.amsgrad,
        ),
        *(
            Case(name.lower(), RULES[name.lower()], None, {}, name, options, None)
            for name, options in _DROP_INS.items()
        ),
    )
}

_TIMED = {case.rule.name for case in CASES.values()}

OTHERS: dict[str, Definition] = {
    rule: definition
    for definition in DEFINITIONS.values()
    if (rule := definition.rule_for(definition.defaults).name) not in _TIMED
}
"""The optimizers that torch.optim lacks, by the rule of their defaults."""

FAMILIES = families(
    {name: case.rule for name, case in CASES.items()} | {n: RULES[n] for n in OTHERS}
)
"""The names of the rules in each family."""

"""The methods to compare, each an optimizer with a learning rate and a batch size."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import gpuopt
from gpuopt.demo.mlp import Array
from gpuopt.demo.training import Optimizer
from gpuopt.rules.definitions import DEFINITIONS, Definition

ALL = "all"
"""Stands for all methods."""

BETAS = ("beta", "betas")
"""The options that --beta sets, if an optimizer has one."""


@dataclass(frozen=True)
class Method:
    """One way to train the network.

    Attributes:
        name: its name on the command line.
        label: its name in tables and plots.
        optimizer: its class in gpuopt.
        lr: the learning rate: among 1 and 3 times powers of ten, the one with the lowest
            training loss after 30 epochs, averaged over the seeds 0 to 4.
        options: further options of the optimizer.
        batch_size: images per gradient, 0 for all; None for the settings' number.
    """

    name: str
    label: str
    optimizer: str
    lr: float
    options: Mapping[str, Any] = field(default_factory=dict)
    batch_size: int | None = None

    @property
    def definition(self) -> Definition:
        """The optimizer's definition."""
        return DEFINITIONS[self.optimizer]

    @property
    def beta(self) -> str | None:
        """The option that --beta sets; None if there is none."""
        return next((name for name in BETAS if name in self.definition.defaults), None)

    def build(
        self,
        params: list[Array],
        lr: float | None = None,
        beta: float | None = None,
        stats: bool = False,
    ) -> Optimizer:
        """Return the optimizer; None for the method's learning rate or the default beta."""
        options = {**self.options, "lr": self.lr if lr is None else lr, "stats": stats}
        if beta is not None and self.beta is not None:
            default = self.definition.defaults[self.beta]
            options[self.beta] = (beta, *default[1:]) if self.beta == "betas" else beta
        optimizer: Optimizer = getattr(gpuopt, self.optimizer)(params, **options)
        return optimizer


DEFAULT = (
    Method("batch", "batch GD", "SGD", 0.3, batch_size=0),
    Method("stochastic", "stochastic GD", "SGD", 0.03, batch_size=1),
    Method("minibatch", "mini-batch GD", "SGD", 0.3),
    Method("momentum", "Momentum", "Momentum", 0.1),
    Method("rmsprop", "RMSProp", "RMSProp", 0.003),
    Method("adam", "Adam", "Adam", 0.01),
)

OTHERS = (
    Method("nesterov", "Nesterov", "Momentum", 0.1, {"nesterov": True}),
    Method("rmsprop_centered", "RMSProp, centered", "RMSProp", 0.003, {"centered": True}),
    Method("rmsprop_momentum", "RMSProp, momentum", "RMSProp", 0.0003, {"momentum": 0.9}),
    Method(
        "rmsprop_centered_momentum",
        "RMSProp, both",
        "RMSProp",
        0.0003,
        {"centered": True, "momentum": 0.9},
    ),
    Method("amsgrad", "AMSGrad", "Adam", 0.01, {"amsgrad": True}),
    Method("adamw", "AdamW", "AdamW", 0.01),
    Method("adamw_amsgrad", "AdamW, AMSGrad", "AdamW", 0.01, {"amsgrad": True}),
    Method("adagrad", "Adagrad", "Adagrad", 0.1),
    Method("adamw_cautious", "AdamW, cautious", "AdamW", 0.01, {"cautious": True}),
    Method(
        "adamw_cautious_decay",
        "AdamW, cautious decay",
        "AdamW",
        0.01,
        {"cautious_weight_decay": True},
    ),
)

TUNED = {
    "Adadelta": 10.0,
    "Adamax": 0.03,
    "AdamWScheduleFree": 0.03,
    "Adan": 0.01,
    "AdEMAMix": 0.01,
    "ADOPT": 0.01,
    "ASGD": 0.3,
    "CAdamW": 0.003,
    "LAMB": 0.003,
    "LaProp": 0.01,
    "LARS": 1.0,
    "Lion": 0.0003,
    "MARS": 0.01,
    "NAdam": 0.01,
    "RAdam": 0.003,
    "RAdamScheduleFree": 0.1,
    "SGDScheduleFree": 1.0,
    "SophiaG": 0.001,
    "StableAdamW": 0.01,
}
"""The learning rates of further optimizers, found in the same way; others use their defaults."""


def _further(listed: Collection[Method]) -> Iterator[Method]:
    """Yield a method for each optimizer that the listed ones do not have."""
    names = {method.name for method in listed} | {method.optimizer.lower() for method in listed}
    for name, definition in DEFINITIONS.items():
        if name.lower() not in names:
            lr = TUNED.get(name, definition.defaults["lr"])
            yield Method(name.lower(), name, name, lr)


LISTED = (*DEFAULT, *OTHERS)
METHODS = {method.name: method for method in (*LISTED, *_further(LISTED))}
"""All methods, by name: those above, and every other optimizer that gpuopt has."""


def chosen(also: Iterable[str] = ()) -> tuple[Method, ...]:
    """Return the default methods, then the further ones or `ALL`, without duplicates.

    Raises:
        KeyError: there is no method of that name.
    """
    further = [name for given in also for name in (METHODS if given == ALL else (given,))]
    names = dict.fromkeys([*(method.name for method in DEFAULT), *further])
    return tuple(METHODS[name] for name in names)

"""The methods to compare, each an optimizer with a learning rate and a batch size."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import gpuopt
from gpuopt.demo.mlp import Array
from gpuopt.demo.training import Optimizer

BETA2 = 0.999


@dataclass(frozen=True)
class Method:
    """One way to train the network.

    Attributes:
        name: its name on the command line.
        label: its name in tables and plots.
        optimizer: its class in gpuopt.
        lr: the learning rate. Of 1 and 3 times the powers of ten, the one with the lowest
            training loss after 30 epochs, averaged over the seeds 0 to 4.
        options: further options of the optimizer.
        batch_size: images per gradient, 0 for all; None for that of the settings.
        beta: the option that --beta sets; None if there is none.
    """

    name: str
    label: str
    optimizer: str
    lr: float
    options: Mapping[str, Any] = field(default_factory=dict)
    batch_size: int | None = None
    beta: str | None = None

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
            options[self.beta] = (beta, BETA2) if self.beta == "betas" else beta
        optimizer: Optimizer = getattr(gpuopt, self.optimizer)(params, **options)
        return optimizer


DEFAULT = (
    Method("batch", "batch GD", "SGD", 0.3, batch_size=0),
    Method("stochastic", "stochastic GD", "SGD", 0.03, batch_size=1),
    Method("minibatch", "mini-batch GD", "SGD", 0.3),
    Method("momentum", "Momentum", "Momentum", 0.1, beta="beta"),
    Method("rmsprop", "RMSProp", "RMSProp", 0.003, beta="beta"),
    Method("adam", "Adam", "Adam", 0.01, beta="betas"),
)

OTHERS = (
    Method("nesterov", "Nesterov", "Momentum", 0.1, {"nesterov": True}, beta="beta"),
    Method(
        "rmsprop_centered", "RMSProp, centered", "RMSProp", 0.003, {"centered": True}, beta="beta"
    ),
    Method(
        "rmsprop_momentum", "RMSProp, momentum", "RMSProp", 0.0003, {"momentum": 0.9}, beta="beta"
    ),
    Method(
        "rmsprop_centered_momentum",
        "RMSProp, both",
        "RMSProp",
        0.0003,
        {"centered": True, "momentum": 0.9},
        beta="beta",
    ),
    Method("amsgrad", "AMSGrad", "Adam", 0.01, {"amsgrad": True}, beta="betas"),
    Method("adamw", "AdamW", "AdamW", 0.01, beta="betas"),
    Method("adamw_amsgrad", "AdamW, AMSGrad", "AdamW", 0.01, {"amsgrad": True}, beta="betas"),
    Method("adagrad", "Adagrad", "Adagrad", 0.1),
)

METHODS = {method.name: method for method in (*DEFAULT, *OTHERS)}


def chosen(also: Iterable[str] = ()) -> tuple[Method, ...]:
    """Return the default methods, then the further ones, without duplicates.

    Raises:
        KeyError: there is no method of that name.
    """
    names = dict.fromkeys([*(method.name for method in DEFAULT), *also])
    return tuple(METHODS[name] for name in names)

"""The arguments of optimizers: their ranges, descriptions, and the hyperparameters they set."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from .ranges import BELOW_ONE, FINITE, NOT_GIVEN, REAL, OrNone, Range


@dataclass(frozen=True)
class Option:
    """An argument of an optimizer, which each group may override.

    Attributes:
        name: torch.optim's name, if torch has the option.
        default: its default value.
        description: what it does, without a full stop; for docstrings.
        ranges: the accepted range, or one for each number of a tuple; empty for a flag.
        parts: the hyperparameters that it sets; by default the one with its own name.
        tensor: whether it may be a one-element float tensor, which is read at every step.
        added: whether it is newer than the optimizer, so that older state dicts lack it.
        set_by: the methods that change it, for errors; empty if assignments do.
    """

    name: str
    default: Any
    description: str
    ranges: tuple[Range, ...] = ()
    parts: tuple[str, ...] = ()
    tensor: bool = False
    added: bool = False
    set_by: str = ""

    def __post_init__(self) -> None:
        """Fill in the parts."""
        if not self.parts:
            object.__setattr__(self, "parts", (self.name,))

    @property
    def optional(self) -> bool:
        """Whether it may be None."""
        return any(isinstance(accepted, OrNone) for accepted in self.ranges)

    @property
    def hyperparameters(self) -> dict[str, float]:
        """The hyperparameters that it sets, with their defaults.

        >>> betas().hyperparameters
        {'beta1': 0.9, 'beta2': 0.999}
        """
        values = self.default if len(self.parts) > 1 else (self.default,)
        return {n: NOT_GIVEN if x is None else x for n, x in zip(self.parts, values)}


def learning_rate(default: float) -> Option:
    """Return the learning rate."""
    return Option("lr", default, "learning rate, at least 0", (FINITE,), tensor=True)


def betas(
    *defaults: float,
    description: str = "decay rates of the averages of the gradient and of its square",
) -> Option:
    """Return decay rates; by default Adam's two."""
    rates = defaults or (0.9, 0.999)
    names = tuple(f"beta{i}" for i in range(1, len(rates) + 1))
    return Option(
        "betas", rates, f"{description}, each in [0, 1)", (BELOW_ONE,) * len(rates), names
    )


def epsilon(default: float = 1e-8) -> Option:
    """Return the term that keeps a denominator from zero."""
    return Option("eps", default, "added to the denominator, at least 0", (FINITE,))


def weight_decay(default: float = 0.0, decoupled: bool = False) -> Option:
    """Return weight decay: an L2 penalty, or decoupled from the gradient."""
    how = "decoupled decay: p shrinks by lr*weight_decay" if decoupled else "L2 penalty"
    return Option("weight_decay", default, f"{how}; at least 0", (FINITE,))


MAXIMIZE = Option("maximize", False, "ascend instead of descending")

TRAIN_MODE = Option(
    "train_mode",
    False,
    "whether the parameters are in the mode of train(), which steps need, or of eval()",
    set_by="train() and eval()",
)

DECOUPLED = Option(
    "decoupled_weight_decay",
    False,
    "shrink p by lr*weight_decay instead of adding the decay to the gradient",
    added=True,
)

_RANGES = {
    "eps": FINITE,
    "momentum": FINITE,
    "beta": BELOW_ONE,
    "beta1": BELOW_ONE,
    "beta2": BELOW_ONE,
    "beta3": BELOW_ONE,
}
"""The ranges of hyperparameters with these names, unless the rule defines them."""


def options_from(hyperparameters: Mapping[str, float] | Iterable[Option]) -> tuple[Option, ...]:
    """Return hyperparameters as options.

    Args:
        hyperparameters: options, or default values by name; lr, eps, momentum, beta, beta1, beta2
            and beta3 then have their usual ranges.
    """
    if not isinstance(hyperparameters, Mapping):
        options = tuple(hyperparameters)
        if not all(isinstance(option, Option) for option in options):
            raise TypeError(
                f"hyperparameters: expected numbers by name, or options, got {hyperparameters!r}"
            )
        return options
    return tuple(_hyperparameter(name, default) for name, default in hyperparameters.items())


def _hyperparameter(name: str, default: float) -> Option:
    if name == "lr":
        return learning_rate(default)
    accepts = _RANGES.get(name, REAL)
    return Option(name, default, f"hyperparameter, {accepts.description}", (accepts,))

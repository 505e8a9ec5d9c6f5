"""The classes of rules, and of the stages around them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from ..kernels.trace.coefficients import trace_coefficients
from .options import Option

WEIGHT_DECAY = "weight_decay"
"""The option of weight decay, for a stage before the rule, or as the rule's own hyperparameter."""


@dataclass(frozen=True, eq=False, repr=False)
class Rule:
    """An elementwise update: ``p, *states = update(p, g, *states, *coefficients)``.

    Attributes:
        name: its key in `RULES`.
        update: the pure NumPy function; the reference, and the source of every kernel.
        coefficients: ``coefficients(step, *carried, **hyperparameters)``, in float64, for one
            tensor. Returns the values of the update's last parameters in their order, followed by
            the carried numbers of the next step.
        states: the names of the states, as in torch, in the update's order.
        options: the options that set the hyperparameters of ``coefficients``.
        decoupled: whether ``weight_decay`` shrinks the parameter (AdamW) instead of being
            added to the gradient (L2). An update with a hyperparameter ``weight_decay`` has no
            such stage.
        decay: the stage of a decoupled decay that differs from AdamW's, or None.
        initial: for states that do not start at zero, the option with the initial value.
        carried: the scalars that a tensor keeps from step to step besides its step count, with
            their initial values: a number, or the name of an option. They change only in steps
            in which the tensor has a gradient.
        wide: the states that are never stored in 16 or 8 bits, whatever ``state_dtype`` is.
            Stochastic rounding is unbiased but noisy, and the noise would bias a maximum of the
            state, or a quotient that is averaged again.
        not_in_8_bits: the states that may be stored in 16 bits, but not in 8.
        not_in_float16: the states that are too small for float16, which ends at 6e-8.
        nonnegative: the states that are never negative; 8-bit formats store their square roots.
        facts: properties of a tensor that ``coefficients`` takes: ``"ndim"`` and ``"size"``.
        sums: the names of sums that ``coefficients`` takes: sums over the tensor of the squares of
            ``summed``'s results.
        summed: a pure NumPy function of the parameter, the gradient and states before the update,
            and of coefficients that do not depend on the sums; it takes all of them by name.
        copies: the states that start as copies of the parameter.
        constant: the states that ``update`` does not return, since only passes change them. It
            takes those that it reads; others are only for ``totalled``.
        passes: for each method of the optimizer that runs a pass, the pass over all elements. A
            pass that takes ``g`` runs over given gradients, any other over tensors that have all
            states that it takes; these states must be ``wide``.
        shared: the numbers that all tensors of an optimizer share, with their initial values: a
            number, or the name of an option. ``coefficients`` takes those that it needs by name.
        totals: the names of sums over all tensors of the values that ``totalled`` returns.
        totalled: a pure NumPy function like ``summed``; its results are added without squaring.
            Coefficients that only this function takes come after those of the update.
        advance: returns the next shared numbers, in float64; takes the shared numbers, the totals,
            and the first group's hyperparameters by name.
        totals_first: whether a pass before the update computes the totals. Coefficients may then
            also take the next shared numbers, named ``next_`` and the name.
    """

    name: str
    update: Callable[..., Any]
    coefficients: Callable[..., Any]
    states: tuple[str, ...] = ()
    options: tuple[Option, ...] = ()
    decoupled: bool = False
    initial: Mapping[str, str] = field(default_factory=dict)
    carried: Mapping[str, float | str] = field(default_factory=dict)
    wide: tuple[str, ...] = ()
    not_in_8_bits: tuple[str, ...] = ()
    not_in_float16: tuple[str, ...] = ()
    nonnegative: tuple[str, ...] = ()
    facts: tuple[str, ...] = ()
    sums: tuple[str, ...] = ()
    summed: Callable[..., Any] | None = None
    decay: Stage | None = None
    copies: tuple[str, ...] = ()
    constant: tuple[str, ...] = ()
    passes: Mapping[str, Stage] = field(default_factory=dict)
    shared: Mapping[str, float | str] = field(default_factory=dict)
    totals: tuple[str, ...] = ()
    totalled: Callable[..., Any] | None = None
    advance: Callable[..., Any] | None = None
    totals_first: bool = False

    def __repr__(self) -> str:
        """Return its name, states and hyperparameters.

        >>> Rule("halve", lambda p, g: 0.5 * p, lambda step: (), ("count",))
        Rule('halve', states=('count',), hyperparameters={})
        """
        return f"Rule({self.name!r}, states={self.states}, hyperparameters={self.hyperparameters})"

    @cached_property
    def hyperparameters(self) -> Mapping[str, float]:
        """The hyperparameters of ``coefficients`` with their defaults."""
        return {n: value for o in self.options for n, value in o.hyperparameters.items()}

    @cached_property
    def results(self) -> tuple[str, ...]:
        """The values that ``update`` returns: the parameter and the states that it changes."""
        return ("p", *(name for name in self.states if name not in self.constant))

    @cached_property
    def values(self) -> tuple[str, ...]:
        """The first parameters of ``update``, without constant states that it does not read."""
        given = parameters_of(self.update)
        return ("p", "g", *(n for n in self.states if n not in self.constant or n in given))

    @property
    def decays(self) -> bool:
        """Whether the rule handles weight decay itself, so that no stage does."""
        return WEIGHT_DECAY in self.hyperparameters

    @property
    def coefficient_names(self) -> tuple[str, ...]:
        """The update's parameters after the states, and those that only ``totalled`` takes."""
        own, values = parameters_of(self.update)[len(self.values) :], {"p", "g", *self.states}
        others = parameters_of(self.totalled) if self.totalled else ()
        return tuple(dict.fromkeys((*own, *(n for n in others if n not in values))))

    @cached_property
    def reads_step(self) -> bool:
        """Whether its coefficients depend on how many steps a tensor has had.

        >>> from gpuopt.rules.registry import RULES
        >>> RULES["adam"].reads_step, RULES["lars"].reads_step
        (True, False)
        """
        found = trace_coefficients(self.coefficients, parameters_of(self.coefficients))
        used = {operand for operation in found.operations for operand in operation.operands}
        return "step" in {*used, *found.results}

    @property
    def reads_first(self) -> bool:
        """Whether a pass before the update computes sums or totals."""
        return bool(self.sums) or self.totals_first

    @cached_property
    def shared_names(self) -> tuple[str, ...]:
        """The shared numbers that coefficients may take: current ones, and next ones."""
        after = (next_name(name) for name in self.shared) if self.totals_first else ()
        return (*self.shared, *after)

    def bytes_per_element(self, param: int = 4, grad: int = 4, state: int = 4) -> int:
        """Return the minimum memory traffic: read everything once, write all results of the update.

        Args:
            param: bytes per element of a parameter.
            grad: bytes per element of a gradient.
            state: bytes per element of a state.

        >>> from gpuopt.rules.registry import RULES
        >>> RULES["adam"].bytes_per_element()
        28
        """
        return 2 * param + grad + state * (len(self.states) + len(self.results) - 1)


@dataclass(frozen=True)
class State:
    """A state of a stage, in addition to the states of the rule.

    Attributes:
        name: its key in the tensor's states.
        copies: whether it starts as a copy of the parameter, and not at zero.
        narrow: whether it is stored in the parameter's dtype.
        dtype: its dtype otherwise; by default, the dtype of computation.
    """

    name: str
    copies: bool = False
    narrow: bool = False
    dtype: str = ""


@dataclass(frozen=True, eq=False)
class Stage:
    """A function composed before every rule, such as L2 decay, or after it, such as an EMA.

    Attributes:
        name: part of the composed function's name.
        function: ``*results = function(*values, *coefficients)``.
        results: the names of the values that it replaces.
        coefficients: returns the function's coefficients; takes ``step``, carried numbers and
            hyperparameters by name. None if there are none.
        values: the function's first parameters: ``p``, ``g``, ``element`` (the index of an
            element in its tensor) and states.
        state: its own state, if it has one.
        carried: the carried numbers that it adds to each tensor, with functions from the options
            and the tensor's index to their initial values.
        behind: whether it comes after the rule, although it is passed with those before it.
    """

    name: str
    function: Callable[..., Any]
    results: tuple[str, ...]
    coefficients: Callable[..., Any] | None = None
    values: tuple[str, ...] = ("p", "g")
    state: State | None = None
    carried: Mapping[str, Callable[[Mapping[str, float], int], float]] = field(default_factory=dict)
    behind: bool = False

    @property
    def coefficient_names(self) -> tuple[str, ...]:
        """The function's parameters that are not values."""
        return tuple(n for n in parameters_of(self.function) if n not in self.values)


def next_name(shared: str) -> str:
    """Return the coefficients' name for the next value of a shared number."""
    return f"next_{shared}"


def parameters_of(function: Callable[..., Any]) -> tuple[str, ...]:
    """Return the names of a function's parameters."""
    return tuple(inspect.signature(function).parameters)

"""What a rule is, and a stage around rules."""

from __future__ import annotations

import dis
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from .options import Option

WEIGHT_DECAY = "weight_decay"
"""The option of weight decay: of a stage in front of the rule, or a hyperparameter of its own."""


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
        decay: the stage of a decoupled decay that is not AdamW's; None: it is.
        initial: by state, the option that holds its initial value; all others start at zero.
        carried: the numbers that a tensor carries from step to step besides its step count, with
            their initial values: a number, or the name of an option. They change only in steps
            in which the tensor has a gradient.
        wide: the states that are never stored in 16 or 8 bits, whatever ``state_dtype`` says.
            Stochastic rounding keeps the mean of a state and adds noise, which would bias a
            maximum of it, or a quotient that is averaged again.
        not_in_8_bits: the states that 16 bits hold and 8 bits do not.
        nonnegative: the states that are never negative; 8 bits hold their square roots.
        facts: what ``coefficients`` takes of a tensor besides: ``"ndim"``, the number of its
            dimensions, and ``"size"``, that of its elements.
        sums: the names of numbers that ``coefficients`` takes, too: of each value that ``summed``
            returns, the sum of its squares over the whole tensor.
        summed: a pure NumPy function of the parameter, the gradient and states as they are before
            the update, and of coefficients of the update that do not depend on the sums; it takes
            all of them by name.
        copies: the states that start as copies of the parameter.
        constant: the states that ``update`` does not return: only passes change them. It takes
            those that it reads; others are ``totalled``'s alone.
        passes: by the name of the optimizer's method that runs it, what it does to each element
            outside of a step. A pass that takes ``g`` runs where a gradient is given, any other
            where the tensor has all states that it takes; these states must be ``wide``.
        shared: the numbers that all tensors of an optimizer share, with their initial values: a
            number, or the name of an option. ``coefficients`` takes those that it needs by name.
        totals: the names of sums over all tensors, of the values that ``totalled`` returns.
        totalled: a pure NumPy function like ``summed``; its values are added as they are.
            Coefficients that the update does not take stand behind those that it takes.
        advance: returns the next shared numbers, in float64; takes the shared numbers, the totals,
            and hyperparameters by name, which are those of the first group.
        totals_first: whether the totals are found in a pass in front of the update. Coefficients
            may then take the shared numbers after the step, too, as ``next_`` and the name.
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
        """The values that ``update`` returns: the parameter, and the states that it changes."""
        return ("p", *(name for name in self.states if name not in self.constant))

    @cached_property
    def values(self) -> tuple[str, ...]:
        """The first parameters of ``update``: all states but constant ones that it leaves out."""
        given = parameters_of(self.update)
        return ("p", "g", *(n for n in self.states if n not in self.constant or n in given))

    @property
    def decays(self) -> bool:
        """Whether it decays by itself, so that no stage does."""
        return WEIGHT_DECAY in self.hyperparameters

    @property
    def coefficient_names(self) -> tuple[str, ...]:
        """The update's parameters after the states, and what only ``totalled`` takes."""
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
        code = getattr(self.coefficients, "__code__", None)
        if code is None:
            return True
        loads = [i.argval for i in dis.get_instructions(code) if i.opname.startswith("LOAD_")]
        return any("step" in (x if isinstance(x, tuple) else (x,)) for x in loads)

    @property
    def reads_first(self) -> bool:
        """Whether a pass over the elements comes before the update, which finds sums or totals."""
        return bool(self.sums) or self.totals_first

    @cached_property
    def shared_names(self) -> tuple[str, ...]:
        """The shared numbers that coefficients may take: before the step, and after it."""
        after = (next_name(name) for name in self.shared) if self.totals_first else ()
        return (*self.shared, *after)

    def bytes_per_element(self, param: int = 4, grad: int = 4, state: int = 4) -> int:
        """Return the least memory traffic: read everything once, write all that the update returns.

        Args:
            param: bytes of one element of a parameter.
            grad: bytes of one element of a gradient.
            state: bytes of one element of a state.

        >>> from gpuopt.rules.registry import RULES
        >>> RULES["adam"].bytes_per_element()
        28
        """
        return 2 * param + grad + state * (len(self.states) + len(self.results) - 1)


@dataclass(frozen=True)
class State:
    """A state of a stage, which tensors have besides the states of their rule.

    Attributes:
        name: its key in the tensor's states.
        copies: whether it starts as a copy of the parameter; else it starts at zero.
        narrow: whether it is stored in the parameter's dtype.
        dtype: in which it is stored otherwise; by default, the dtype of computation.
    """

    name: str
    copies: bool = False
    narrow: bool = False
    dtype: str = ""


@dataclass(frozen=True, eq=False)
class Stage:
    """A function composed in front of every rule, such as L2 decay, or behind it, such as an EMA.

    Attributes:
        name: part of the composed function's name.
        function: ``*results = function(*values, *coefficients)``.
        results: the names of the values that it replaces.
        coefficients: returns the function's coefficients; takes ``step``, carried numbers and
            hyperparameters by name. None if there are none.
        values: the function's first parameters: ``p``, ``g``, ``element`` (the index of an
            element in its tensor) and states.
        state: its own state, if it has one.
        carried: the numbers that each tensor carries for it, with functions of the options and
            the tensor's index that return their initial values.
        behind: whether it stands behind the rule, though it is given with those in front.
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
    """Return what coefficients call a shared number after the step."""
    return f"next_{shared}"


def parameters_of(function: Callable[..., Any]) -> tuple[str, ...]:
    """Return the names of a function's parameters."""
    return tuple(inspect.signature(function).parameters)

"""The options of optimizers: what each accepts, and groups that refuse anything else."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from operator import attrgetter
from typing import Any

from ..arrays import FLOATS, scalars
from ..engine.ranges import BELOW_ONE, FINITE, boolean, two_below_one
from ..messages.suggest import did_you_mean
from .whole import check_of_group

PAIRS = {
    "betas": ("beta1", "beta2"),
    "etas": ("etaminus", "etaplus"),
    "step_sizes": ("step_size_min", "step_size_max"),
}
"""Options that hold several hyperparameters, and their names."""


def checked_state_dtype(value: Any) -> str | None:
    """Return what may be given as ``state_dtype``.

    Raises:
        ValueError: anything else.
    """
    if value is None or (isinstance(value, str) and value in FLOATS):
        return value
    raise ValueError(f"state_dtype: expected None or one of {', '.join(FLOATS)}, got {value!r}")


def _number_or_array(name: str, value: Any) -> Any:
    """Keep an array as it is: its value counts at each step, and is not read on a device."""
    if type(value) is float or not scalars.is_array(value):
        return FINITE(name, value)
    if not scalars.is_one_float(value):
        raise TypeError(f"{name}: expected a number or a tensor of one float, got {value!r}")
    if scalars.on_host(value):
        FINITE(name, scalars.value_of(value))
    return value


CHECKS: dict[str, Callable[[str, Any], Any]] = {
    "lr": _number_or_array,
    "beta": BELOW_ONE,
    "betas": two_below_one,
    "momentum": BELOW_ONE,
    "eps": FINITE,
    "weight_decay": FINITE,
    "lr_decay": FINITE,
    "initial_accumulator_value": FINITE,
    "maximize": boolean,
    "nesterov": boolean,
    "centered": boolean,
    "amsgrad": boolean,
}
"""For each option, the function that returns its value or says what is wrong with it."""


class Options(MutableMapping[str, Any]):
    """The options of one group: a dict that knows its keys and checks its values.

    >>> group = Options({"lr": 0.1})
    >>> group["lr"] = -1
    Traceback (most recent call last):
        ...
    ValueError: lr: expected a finite number of at least 0, got -1
    """

    def __init__(self, values: Mapping[str, Any]) -> None:
        """Take ``values``; their keys are the options that exist."""
        self._values = {name: CHECKS[name](name, value) for name, value in values.items()}
        self.version = 0
        """How often a value has changed."""
        self.tensors = scalars.arrays_among(self._values)
        """The options whose values are tensors."""

    def __getitem__(self, name: str) -> Any:
        """Return the value of an option."""
        return self._values[name]

    def __setitem__(self, name: str, value: Any) -> None:
        """Change an option that exists to a value that it accepts."""
        if name not in self._values:
            self.check(name)
        accepted = CHECKS[name](name, value)
        self._values[name] = accepted
        self.version += 1
        if self.tensors or type(accepted) is not float:
            self.tensors = scalars.arrays_among(self._values)

    def update(self, *args: Any, **kwargs: Any) -> None:
        """Change several options as a dict's update does, or none if one is not accepted."""
        given = dict(*args, **kwargs)
        for name in given:
            self.check(name)
        self._values.update({name: CHECKS[name](name, value) for name, value in given.items()})
        self.version += 1
        self.tensors = scalars.arrays_among(self._values)

    def __delitem__(self, name: str) -> None:
        """Refuse: every option always has a value."""
        raise TypeError(f"{name}: an option cannot be deleted")

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names."""
        return iter(self._values)

    def __len__(self) -> int:
        """Return how many options there are."""
        return len(self._values)

    def __repr__(self) -> str:
        """Show it as a dict."""
        return repr(self._values)

    def check(self, name: str) -> None:
        """Raise TypeError unless ``name`` is an option."""
        check_of_group(name)
        if name not in self._values:
            raise TypeError(
                f"unknown option {name!r}: expected one of {', '.join(self._values)}"
                f"{did_you_mean(str(name), list(self._values))}"
            )

    def keep_tensors_of(self, other: Options) -> None:
        """Take over the tensors of ``other``, with the values that these options have now."""
        for name, tensor in other.tensors.items():
            scalars.fill(tensor, float(self[name]))
            self[name] = tensor


VERSION, VALUES = attrgetter("version"), attrgetter("_values")
"""In a map, the fastest way to what many groups hold; the values are in the same dict for ever."""


def checked_rate(name: str, array: Any) -> float:
    """Return the number that an array stands for: 0.0 for one of a device, which reads it.

    Raises:
        ValueError: it is not accepted.
    """
    return FINITE(name, scalars.number_of(array))


def grouped(
    defaults: Mapping[str, Any], groups: Sequence[Mapping[str, Any]]
) -> tuple[Options, ...]:
    """Return the options of each group: the defaults, and over them its own.

    Raises:
        TypeError, ValueError: an option does not exist, or does not accept what is given; the
            message names the group if the value is the group's own.
    """
    known = Options(defaults)
    made = []
    for i, group in enumerate(groups):
        try:
            for name in group:
                known.check(name)
            made.append(Options({**defaults, **group}))
        except (TypeError, ValueError) as error:
            raise type(error)(f"params[{i}]: {error}") from None
    return tuple(made)

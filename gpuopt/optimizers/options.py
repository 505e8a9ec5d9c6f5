"""The options of a group: a dict that accepts only valid names and values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from operator import attrgetter
from typing import Any

from ..arrays import FLOATS, scalars
from ..messages.suggest import did_you_mean
from ..rules.definitions import Definition
from ..rules.formats import FORMATS, IN_8_BITS
from ..rules.options import Option
from ..rules.ranges import boolean, several
from .whole import STATE_DTYPE, check_group_option


def checked_state_dtype(value: Any) -> str | None:
    """Return a valid ``state_dtype`` unchanged.

    Raises:
        ValueError: anything else.
    """
    known = (*FLOATS, IN_8_BITS, *FORMATS)
    if value is None or (isinstance(value, str) and value in known):
        return value
    as_string = str(value).removeprefix("torch.")
    hint = f"; write {as_string!r}, a string" if as_string in known else ""
    raise ValueError(
        f"state_dtype: expected None or one of {', '.join(known)}, got {value!r}{hint}"
    )


def accepted(option: Option, value: Any) -> Any:
    """Return a given value as the option stores it.

    Raises:
        TypeError, ValueError: it is not accepted.
    """
    ranges = option.ranges
    if len(ranges) == 1:
        if type(value) is float or not (option.tensor and scalars.is_array(value)):
            return ranges[0](option.name, value)
        return _accepted_array(option, value)
    if not ranges:
        return boolean(option.name, value)
    return several(option.name, value, ranges)


def _accepted_array(option: Option, array: Any) -> Any:
    """Keep an array as it is: each step uses its current value, without reading from a device."""
    if not scalars.is_one_float(array):
        raise TypeError(f"{option.name}: expected a number or a tensor of one float, got {array!r}")
    if scalars.on_host(array):
        option.ranges[0](option.name, scalars.value_of(array))
    return array


class Options(MutableMapping[str, Any]):
    """The options of one group: a dict that knows its keys and checks its values.

    Its own ``state_dtype``, if it has one, overrides the optimizer's.

    >>> from gpuopt.rules.definitions import DEFINITIONS
    >>> group = Options(DEFINITIONS["SGD"], DEFINITIONS["SGD"].defaults)
    >>> group["lr"] = -1
    Traceback (most recent call last):
        ...
    ValueError: lr: expected a finite number of at least 0, got -1
    """

    def __init__(self, definition: Definition, values: Mapping[str, Any]) -> None:
        """Check the values of all options, and that none excludes another."""
        self._options, self._check = definition.by_name, definition.check
        self._values = {name: self._taken(name, v) for name, v in values.items()}
        if self._check is not None:
            self._check(self._values)
        self.version = 0
        """The number of changes of values."""
        self.tensors = scalars.arrays_among(self._values)
        """The options whose values are tensors."""

    def __getitem__(self, name: str) -> Any:
        """Return the value of an option."""
        return self._values[name]

    def __setitem__(self, name: str, value: Any) -> None:
        """Set an existing option to a valid value."""
        self.take(name, self.accepted(name, value))

    def accepted(self, name: str, value: Any) -> Any:
        """Return a given value as the option would store it.

        Raises:
            TypeError, ValueError: there is no such option, or it does not accept the value
                together with those of the others.
        """
        if name not in self._values:
            self.check(name)
        self._check_set_by(name)
        taken = self._taken(name, value)
        if self._check is not None and name != "lr":
            self._check({**self._values, name: taken})
        return taken

    def take(self, name: str, taken: Any) -> None:
        """Set an option to a value that `accepted` returned."""
        self._values[name] = taken
        self.version += 1
        if self.tensors or type(taken) is not float:
            self.tensors = scalars.arrays_among(self._values)

    def update(self, *args: Any, **kwargs: Any) -> None:
        """Set several options like `dict.update`, or none if a value is not accepted."""
        given = dict(*args, **kwargs)
        for name in given:
            self.check(name)
            self._check_set_by(name)
        taken = {n: self._taken(n, v) for n, v in given.items()}
        if self._check is not None:
            self._check({**self._values, **taken})
        self._values.update(taken)
        self.version += 1
        self.tensors = scalars.arrays_among(self._values)

    def __delitem__(self, name: str) -> None:
        """Delete a group's own ``state_dtype``; refuse for all others, which must have a value."""
        if name != STATE_DTYPE:
            raise TypeError(f"{name}: an option cannot be deleted")
        del self._values[name]
        self.version += 1

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
        check_group_option(name)
        known = dict.fromkeys((*self._values, STATE_DTYPE))
        if name not in known:
            raise TypeError(
                f"unknown option {name!r}: expected one of {', '.join(known)}"
                f"{did_you_mean(str(name), list(known))}"
            )

    def _check_set_by(self, name: str) -> None:
        """Raise TypeError if only methods may change the option."""
        option = self._options.get(name)
        if option is not None and option.set_by:
            raise TypeError(f"{name}: it cannot be assigned; {option.set_by} change it")

    def _taken(self, name: str, value: Any) -> Any:
        if name == STATE_DTYPE:
            return checked_state_dtype(value)
        return accepted(self._options[name], value)

    def keep_of(self, other: Options) -> None:
        """Keep from the replaced options their tensors, and a ``state_dtype`` if none was loaded.

        The tensors take the loaded values.
        """
        if STATE_DTYPE in other and STATE_DTYPE not in self:
            self[STATE_DTYPE] = other[STATE_DTYPE]
        for name, tensor in other.tensors.items():
            scalars.fill(tensor, float(self[name]))
            self[name] = tensor


VERSION, VALUES = attrgetter("version"), attrgetter("_values")
"""The fastest way, in a map, to read many groups; the dict of values is never replaced."""


def grouped(
    definition: Definition, defaults: Mapping[str, Any], groups: Sequence[Mapping[str, Any]]
) -> tuple[Options, ...]:
    """Return the options of each group: the defaults, overridden by its own.

    Raises:
        TypeError, ValueError: an option does not exist, or does not accept what is given; the
            message names the group if the value is the group's own.
    """
    known = Options(definition, defaults)
    made = []
    for i, group in enumerate(groups):
        try:
            for name in group:
                known.check(name)
            made.append(Options(definition, {**defaults, **group}))
        except (TypeError, ValueError) as error:
            raise type(error)(f"params[{i}]: {error}") from None
    return tuple(made)

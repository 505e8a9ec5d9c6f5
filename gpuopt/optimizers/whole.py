"""Options of the whole optimizer, not of a group: read-only attributes."""

from __future__ import annotations

from operator import attrgetter
from typing import Any

from ..engine.tail import CHANGEABLE, OPTIONS

OF_OPTIMIZERS = frozenset({*OPTIONS, "norm_group"})
"""The options that only the whole optimizer has."""

STATE_DTYPE = "state_dtype"
"""The option of the whole optimizer that a group may override."""


def how_to_set(name: str) -> str:
    """Return an error message that says how to set such an option."""
    later = f"opt.change({name}=...) changes it" if name in CHANGEABLE else "it cannot be changed"
    return f"{name}: an option of the whole optimizer; give it to the constructor; {later} later"


def check_group_option(name: str) -> None:
    """Check that a name is not an option that only the whole optimizer has.

    Raises:
        TypeError: it is such an option.
    """
    if name in OF_OPTIMIZERS:
        raise TypeError(how_to_set(name))


class OptimizerOption:
    """A read-only attribute with the value of an option; the error says how to set it."""

    def __init__(self, where: str = "") -> None:
        """Store where the value is found; by default, in the attribute of `tail` with its name."""
        self._where = where

    def __set_name__(self, owner: type, name: str) -> None:
        """Learn the option's name from the attribute's."""
        self._name = name
        self._value = attrgetter(self._where or f"tail.{name}")

    def __get__(self, optimizer: Any, owner: type | None = None) -> Any:
        """Return its value."""
        return self if optimizer is None else self._value(optimizer)

    def __set__(self, optimizer: Any, value: Any) -> None:
        """Raise AttributeError: assigning would have no effect."""
        raise AttributeError(how_to_set(self._name))

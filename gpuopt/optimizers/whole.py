"""The options of a whole optimizer, as opposed to a group's: read as attributes, never assigned."""

from __future__ import annotations

from operator import attrgetter
from typing import Any

from ..engine.tail import CHANGEABLE, TailOptions

OF_OPTIMIZERS = frozenset({*TailOptions.__annotations__, "state_dtype", "norm_group"})
"""The options that no group has."""


def how_to_set(name: str) -> str:
    """Return what errors say of an option that was set in a way that has no effect."""
    later = (
        f", and opt.change({name}=...) changes it" if name in CHANGEABLE else ", it stays as it is"
    )
    return f"{name}: an option of the whole optimizer; give it to the constructor{later}"


def check_of_group(name: str) -> None:
    """Raise TypeError if the name of a group's option is that of one of the optimizer's."""
    if name in OF_OPTIMIZERS:
        raise TypeError(how_to_set(name))


class OptimizerOption:
    """An attribute that shows an option and says how to set it."""

    def __init__(self, where: str = "") -> None:
        """Take the attribute that holds the value: by default `tail`'s of the same name."""
        self._where = where

    def __set_name__(self, owner: type, name: str) -> None:
        """Learn the option's name from the attribute's."""
        self._name = name
        self._value = attrgetter(self._where or f"tail.{name}")

    def __get__(self, optimizer: Any, owner: type | None = None) -> Any:
        """Return its value."""
        return self if optimizer is None else self._value(optimizer)

    def __set__(self, optimizer: Any, value: Any) -> None:
        """Refuse: nothing would follow from it."""
        raise AttributeError(how_to_set(self._name))

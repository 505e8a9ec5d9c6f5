"""Attributes that an optimizer shares with frameworks' wrappers around it."""

from __future__ import annotations

from typing import Any

from ..engine.locks import StepLock
from .step_counts import StepCounts

SHARED = "_gpuopt_shared"
"""The attribute with the shared attributes."""


def new_shared() -> dict[str, Any]:
    """Return the shared attributes of a new optimizer."""
    return {"lock": StepLock(), "_step_counts": StepCounts()}


class Shared:
    """An attribute with one value for all objects that share an optimizer's ``__dict__``.

    Lightning and Fabric wrap an optimizer in a subclass of its class: one copies its ``__dict__``,
    the other looks up every missing attribute in it. An ordinary attribute that a step replaces,
    such as the fused step itself, would only be set on the object that the step was called on.
    """

    def __init__(self, default: Any = None) -> None:
        """Store its initial value."""
        self._default = default

    def __set_name__(self, owner: type, name: str) -> None:
        """Learn the attribute's name."""
        self._name = name

    def __get__(self, one: Any, owner: type | None = None) -> Any:
        """Return the value, or the default on the class."""
        return self._default if one is None else getattr(one, SHARED).get(self._name, self._default)

    def __set__(self, one: Any, value: Any) -> None:
        """Set the value for all objects that share it."""
        getattr(one, SHARED)[self._name] = value

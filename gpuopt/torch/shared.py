"""Attributes that an optimizer has in common with whatever stands in for it."""

from __future__ import annotations

import threading
from typing import Any

from .counts import Counts

SHARED = "_gpuopt_shared"


def new_shared() -> dict[str, Any]:
    """Return where an optimizer keeps its shared attributes."""
    return {"lock": threading.RLock(), "_exact": Counts()}


class Shared:
    """An attribute that is one for all that have an optimizer's ``__dict__``, or look into it.

    Lightning's and Fabric's optimizers are made a subclass of the optimizer's class; one takes over
    its ``__dict__``, the other asks it for every attribute that itself lacks. Attributes that are
    set anew, such as the engine, would be those of the one that they were set on.
    """

    def __init__(self, default: Any = None) -> None:
        """Take what it is until it is set."""
        self._default = default

    def __set_name__(self, owner: type, name: str) -> None:
        """Take its name."""
        self._name = name

    def __get__(self, one: Any, owner: type | None = None) -> Any:
        """Return the value."""
        return self._default if one is None else getattr(one, SHARED).get(self._name, self._default)

    def __set__(self, one: Any, value: Any) -> None:
        """Set it for all."""
        getattr(one, SHARED)[self._name] = value

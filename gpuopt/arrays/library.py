"""The interface to an array library."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .memory import Memory


@dataclass(frozen=True)
class Library:
    """The operations on the arrays of one library.

    Attributes:
        describe: returns the memory of an array; the second argument is its name in errors.
        full_like: returns a new array with the same device, shape and memory order, with another
            dtype, filled with a number.
        zeros: returns a new float32 array of zeros, on the same device.
        on_host: returns the array, or a copy of it, in the host's memory.
        assign: copies into an array from one with the same library, shape and dtype, or from
            the result of `on_host`.
    """

    describe: Callable[[Any, str], Memory]
    full_like: Callable[[Any, str, float], Any]
    zeros: Callable[[Any, int], Any]
    on_host: Callable[[Any], Any]
    assign: Callable[[Any, Any], None]

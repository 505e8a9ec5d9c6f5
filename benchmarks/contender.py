"""What a contender is: something that makes a step out of a rule and shared memory."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .arena import Arena
    from .cases import Case


class Unavailable(Exception):
    """A contender that cannot run here, or not for this rule; the message says why."""


@dataclass(frozen=True)
class Step:
    """What is timed.

    Attributes:
        run: one whole step, Python included.
        around: what must be in force meanwhile; entered outside the clock.
    """

    run: Callable[[], object]
    around: Callable[[], AbstractContextManager[Any]] = nullcontext


Maker = Callable[["Case", "Arena"], Step]
"""Returns the step of a rule over an arena, or raises `Unavailable`."""

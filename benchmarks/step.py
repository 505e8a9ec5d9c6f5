"""The unit that is timed: one optimizer step."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any


class Unavailable(Exception):
    """Something cannot run here, or not for this rule; the message says why."""


@dataclass(frozen=True)
class Step:
    """One optimizer step, ready to run.

    Attributes:
        run: takes the step; all of its Python is timed.
        context: returns a context manager in which to run it; entering it is not timed.
    """

    run: Callable[[], object]
    context: Callable[[], AbstractContextManager[Any]] = nullcontext

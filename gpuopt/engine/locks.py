"""A lock for the steps of one optimizer, which also defers signal handlers."""

from __future__ import annotations

import os
import threading
from typing import Any
from weakref import WeakSet

from .interrupts import DeferredSignals


class StepLock:
    """A reentrant lock that also defers signal handlers, and is free in a forked child.

    A process may fork while one of its threads holds the lock. The child does not have that thread,
    and would wait forever.
    """

    def __init__(self) -> None:
        """Make a lock that nobody holds."""
        self._lock: Any = threading.RLock()
        self._held: list[DeferredSignals] = []
        _locks.add(self)

    def __enter__(self) -> None:
        """Defer signal handlers, then lock: an exception after locking would leave it locked."""
        signals = DeferredSignals()
        signals.__enter__()
        self._lock.acquire()
        self._held.append(signals)

    def __exit__(self, *_: object) -> None:
        """Release the lock, then run the handlers that are due.

        Raises:
            Whatever a handler raises.
        """
        signals = self._held.pop()
        self._lock.release()
        signals.__exit__(None, None, None)

    def _free(self) -> None:
        """Drop a lock that another thread of the parent may hold; the forking thread keeps its."""
        if not self._lock._is_owned():
            self._lock, self._held = threading.RLock(), []


_locks: WeakSet[StepLock] = WeakSet()


def _free_in_child() -> None:
    for lock in list(_locks):
        lock._free()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_free_in_child)

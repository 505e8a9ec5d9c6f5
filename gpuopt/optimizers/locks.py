"""The lock of an optimizer: what changes it, or reads what a step changes, excludes the rest.

A step may replace states, tables and launches that another thread's step still uses.
"""

from __future__ import annotations

import os
from threading import RLock
from typing import Any
from weakref import WeakSet

_locks: WeakSet[Any] = WeakSet()


def new_lock() -> Any:
    """Return a lock that a thread may acquire again, and that a forked child finds free."""
    lock = RLock()
    _locks.add(lock)
    return lock


def _free_locks() -> None:
    """Release, in a forked child, what threads hold that it does not have."""
    for lock in _locks:
        if not lock._is_owned():
            lock._at_fork_reinit()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_free_locks)

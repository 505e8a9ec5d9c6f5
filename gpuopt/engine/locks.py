"""A lock for the steps of one optimizer, in which no signal handler runs."""

from __future__ import annotations

import os
import threading

from .interrupts import DeferredSignals


class StepLock:
    """A reentrant lock: one thread at a time, and no signal handler in it, works inside.

    Nobody holds it in a forked child. A process may fork while one of its threads holds the lock;
    the child has no such thread, and would wait for ever.
    """

    def __init__(self) -> None:
        """Make a lock that nobody holds."""
        self._renew()

    def _renew(self) -> None:
        self._lock, self._process = threading.RLock(), os.getpid()
        self._held: list[DeferredSignals] = []

    def __enter__(self) -> None:
        """Defer signal handlers, then wait for the lock: an exception would leave it locked."""
        signals = DeferredSignals()
        signals.__enter__()
        if self._process != os.getpid():
            self._renew()
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

"""Defer signal handlers until a step has ended, so that none interrupts it."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Sequence
from types import FrameType, TracebackType
from typing import Any

try:
    # The C module skips the conversion to enums, which takes twenty times as long.
    from _signal import getsignal as _getsignal  # type: ignore[import-not-found]  # no stubs
    from _signal import signal as _setsignal
except ImportError:  # another Python than CPython
    from signal import getsignal as _getsignal
    from signal import signal as _setsignal

_NUMBERS = sorted(signal.valid_signals(), key=lambda number: number == signal.SIGINT)
"""All signals; Ctrl-C's is last, so that its handler is restored last."""

_Handler = Callable[[int, "FrameType | None"], Any]


_main = threading.main_thread()
_known: tuple[list[Any], list[tuple[int, _Handler]]] = [], []
"""The handlers of all signals at the last check, and those among them that are Python's."""


def _python_handlers() -> list[tuple[int, _Handler]]:
    """Return the signals that have a handler in Python, with it."""
    global _known
    found = list(map(_getsignal, _NUMBERS))
    if found != _known[0]:
        pairs = zip(map(int, _NUMBERS), found)
        _known = found, [(number, own) for number, own in pairs if callable(own)]
    return _known[1]


def _after_fork() -> None:
    """The thread that forked is the main thread of the child."""
    global _main
    _main = threading.main_thread()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


class DeferredSignals:
    """A context that defers Python's signal handlers to its end.

    Python runs them only in the main thread, between any two operations, so there is nothing to do
    in other threads.
    """

    __slots__ = ("_due", "_handlers")

    def __init__(self) -> None:
        """Defer nothing yet."""
        self._handlers: Sequence[tuple[int, _Handler]] = ()
        self._due: list[tuple[int, FrameType | None]] = []

    def __enter__(self) -> None:
        """Replace each handler by one that only records the signal."""
        if threading.get_ident() != _main.ident:
            return
        self._handlers = _python_handlers()
        try:
            for number, _ in self._handlers:
                _setsignal(number, self._note)  # runs pending handlers first, which may raise
        except BaseException:
            self._put_back()
            raise

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Restore the handlers, and call those whose signals have arrived, in order.

        Raises:
            Whatever a handler raises; the last one, if several do.
        """
        if not self._handlers:  # in another thread there are none
            return
        raised = self._put_back()
        for number, frame in self._due:
            try:
                dict(self._handlers)[number](number, frame)
            except BaseException as problem:
                raised = problem
        if raised is not None:
            raise raised

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._due.append((number, frame))

    def _put_back(self) -> BaseException | None:
        """Restore the handlers; return an exception that one of them has raised meanwhile."""
        raised: BaseException | None = None
        i = 0
        while i < len(self._handlers):
            try:
                _setsignal(*self._handlers[i])  # as above
                i += 1
            except BaseException as problem:
                raised = problem
        return raised

"""A small thread pool over equal shares of work.

The kernels release the GIL, so plain threads run them side by side. Nothing here depends on
Numba's own threading layers, some of which abort when two threads use them at once.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from itertools import pairwise
from threading import Lock

import numpy as np
import numpy.typing as npt

SMALL = 1 << 16
"""Elements below which handing work to other threads takes longer than doing it."""

_lock = Lock()
_pool: ThreadPoolExecutor | None = None


def thread_count() -> int:
    """Return how many threads a step uses: GPUOPT_NUM_THREADS, or the usable processors.

    Raises:
        ValueError: the variable is not a positive integer.
    """
    given = os.environ.get("GPUOPT_NUM_THREADS")
    if given is None:
        affinity = getattr(os, "sched_getaffinity", None)
        return len(affinity(0)) if affinity else os.cpu_count() or 1
    if not given.isdecimal() or int(given) < 1:
        raise ValueError(f"GPUOPT_NUM_THREADS: expected a positive integer, got {given!r}")
    return int(given)


def for_each_share(work: Callable[[int, int], None], ends: npt.NDArray[np.int64]) -> None:
    """Call ``work(first, last)`` over all items, one share of equal weight a thread.

    Returns when every share is done, also when the wait is interrupted.

    Args:
        work: updates the items from ``first`` up to ``last``.
        ends: the summed weight of all items up to and with each.
    """
    threads = thread_count()  # a wrong number is an error before anything has changed
    total = int(ends[-1]) if len(ends) else 0
    count = 1 if total < SMALL else min(threads, len(ends))
    if count == 1:
        work(0, len(ends))
        return
    targets = [total * k // count for k in range(1, count)]
    bounds = [0, *np.searchsorted(ends, targets, side="right"), len(ends)]
    shares = [(int(a), int(b)) for a, b in pairwise(bounds)]
    futures: list[Future[None]] = []
    try:
        for share in shares[1:]:
            futures.append(_submit(work, *share))
        work(*shares[0])
    finally:
        _finish(futures)
    for share, future in zip(shares[1:], futures):
        if future.cancelled():
            work(*share)
        else:
            future.result()


def _submit(work: Callable[[int, int], None], first: int, last: int) -> Future[None]:
    """Hand one share over; it is cancelled where no further thread can be started.

    The pool may refuse work and yet keep it in its queue. A cancelled share stays undone there.
    """
    share: Future[None] = Future()

    def run() -> None:
        if share.set_running_or_notify_cancel():
            try:
                work(first, last)
            except BaseException as error:
                share.set_exception(error)
            else:
                share.set_result(None)

    try:
        _get_pool().submit(run)
    except RuntimeError:  # the interpreter is exiting, or the system is out of threads
        share.cancel()
    return share


def _finish(shares: list[Future[None]]) -> None:
    try:
        wait([share for share in shares if not share.cancelled()])
    except BaseException:  # Ctrl-C: memory must not change after the call is over
        _finish(shares)
        raise


def _get_pool() -> ThreadPoolExecutor:
    global _pool
    with _lock:
        if _pool is None:
            _pool = ThreadPoolExecutor(max(thread_count() - 1, 1), thread_name_prefix="gpuopt")
        return _pool


def _forget_pool() -> None:
    """A forked child has none of its parent's threads."""
    global _pool, _lock
    _pool, _lock = None, Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_pool)

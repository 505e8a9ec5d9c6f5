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
    total = int(ends[-1]) if len(ends) else 0
    count = 1 if total < SMALL else min(thread_count(), len(ends))
    if count == 1:
        work(0, len(ends))
        return
    bounds = [0, *np.searchsorted(ends, [total * k // count for k in range(1, count)]), len(ends)]
    shares = [(int(a), int(b)) for a, b in pairwise(bounds)]
    futures = [_submit(work, *share) for share in shares[1:]]
    try:
        work(*shares[0])
    finally:
        _finish([future for future in futures if future is not None])
    for share, future in zip(shares[1:], futures):
        if future is None:
            work(*share)
        else:
            future.result()


def _submit(work: Callable[[int, int], None], first: int, last: int) -> Future[None] | None:
    """Hand one share over; None where the interpreter is exiting and starts no more threads."""
    try:
        return _get_pool().submit(work, first, last)
    except RuntimeError:
        return None


def _finish(futures: list[Future[None]]) -> None:
    try:
        wait(futures)
    except BaseException:  # Ctrl-C: memory must not change after the call is over
        wait(futures)
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

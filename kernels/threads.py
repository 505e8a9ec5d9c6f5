"""A thread pool that splits work into equal shares.

The kernels release the GIL, so Python threads run them in parallel.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from itertools import pairwise
from threading import Lock

import numpy as np
import numpy.typing as npt

from .float_mode import set_default_mode
from .thread_count import thread_count

SMALL = 1 << 16
"""Below this number of elements, a single thread is faster."""

_lock = Lock()
_pool: ThreadPoolExecutor | None = None


def for_each_share(work: Callable[[int, int], None], ends: npt.NDArray[np.int64]) -> None:
    """Call ``work(first, last)`` over all items, on threads with shares of equal weight.

    Returns after every share is finished, even if interrupted.

    Args:
        work: updates the items from ``first`` to ``last``, exclusive.
        ends: the cumulative weight of the items.

    Raises:
        ValueError: GPUOPT_NUM_THREADS is invalid; nothing has been updated.
    """
    total = int(ends[-1]) if len(ends) else 0
    count = 1 if total < SMALL else min(thread_count(), len(ends))
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
    """Submit a share to the pool; return it cancelled if no thread can be started.

    If the pool raises, the work may still be in its queue, where a cancelled share does nothing.
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
    except BaseException:  # Ctrl-C: memory must not change after the call has returned
        _finish(shares)
        raise


def _get_pool() -> ThreadPoolExecutor:
    global _pool
    with _lock:
        if _pool is None:
            _pool = ThreadPoolExecutor(
                max(thread_count() - 1, 1), "gpuopt", initializer=set_default_mode
            )
        return _pool


def _forget_pool() -> None:
    """Discard the pool in a forked child, which does not inherit the threads."""
    global _pool, _lock
    _pool, _lock = None, Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_pool)

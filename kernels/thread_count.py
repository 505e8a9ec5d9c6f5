"""How many threads a step uses."""

from __future__ import annotations

import os

_valid: str | None = None
"""The last value of GPUOPT_NUM_THREADS that was accepted; None: it was not set."""


def thread_count() -> int:
    """Return the number of threads of a step: GPUOPT_NUM_THREADS, or the available CPUs.

    Raises:
        ValueError: the variable is not a positive integer.
    """
    given = os.environ.get("GPUOPT_NUM_THREADS")
    if given is None:
        return usable_cores()
    if not given.isdecimal() or int(given) < 1:
        raise ValueError(f"GPUOPT_NUM_THREADS: expected a positive integer, got {given!r}")
    return int(given)


def check_thread_count() -> None:
    """Raise if `thread_count` would; checks each value of the variable only once."""
    global _valid
    given = os.environ.get("GPUOPT_NUM_THREADS")
    if given != _valid:
        thread_count()
        _valid = given


def usable_cores() -> int:
    """Return the number of CPUs that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1

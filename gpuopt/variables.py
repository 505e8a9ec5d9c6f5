"""The environment variables that gpuopt reads, and those that look as if it did."""

from __future__ import annotations

import os
from functools import cache

from .messages.suggest import did_you_mean
from .messages.warn import warn

BACKEND = "GPUOPT_BACKEND"
NUM_THREADS = "GPUOPT_NUM_THREADS"
REQUIRE_GPU = "GPUOPT_REQUIRE_GPU"
"""Of the tests: fail where there is no GPU, in place of skipping."""

KNOWN = (BACKEND, NUM_THREADS, REQUIRE_GPU)


def unknown_variables() -> dict[str, str]:
    """Return the variables that begin as gpuopt's do and are none, each with what is to be said."""
    unknown = sorted(name for name in os.environ if name.startswith("GPUOPT_"))
    return {
        name: f"unknown, and ignored{did_you_mean(name, KNOWN)}"
        for name in unknown
        if name not in KNOWN
    }


@cache
def warn_of_unknown_variables() -> None:
    """Name them, once in a process."""
    for name, problem in unknown_variables().items():
        warn(f"environment variable {name}: {problem}")

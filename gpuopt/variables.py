"""The environment variables that gpuopt reads, and warnings of misspelt ones."""

from __future__ import annotations

import os
from functools import cache

from .messages.suggest import did_you_mean
from .messages.warn import warn

BACKEND = "GPUOPT_BACKEND"
NUM_THREADS = "GPUOPT_NUM_THREADS"
CACHE_DIR = "GPUOPT_CACHE_DIR"
CPU = "GPUOPT_CPU"
"""LLVM's name of the processor to compile for; this machine's by default."""
DEBUG = "GPUOPT_DEBUG"
REQUIRE_GPU = "GPUOPT_REQUIRE_GPU"
"""For the tests: without a GPU, fail instead of skipping."""
LONG_FAULTS = "GPUOPT_LONG_FAULTS"
"""For the tests: fault injection that takes a minute per test."""

KNOWN = (BACKEND, NUM_THREADS, CACHE_DIR, CPU, DEBUG, REQUIRE_GPU, LONG_FAULTS)


def unknown_variables() -> dict[str, str]:
    """Return the unknown variables with gpuopt's prefix, each with a message."""
    unknown = sorted(name for name in os.environ if name.startswith("GPUOPT_"))
    return {
        name: f"unknown, and ignored{did_you_mean(name, KNOWN)}"
        for name in unknown
        if name not in KNOWN
    }


@cache
def warn_of_unknown_variables() -> None:
    """Warn of unknown variables, once per process."""
    for name, problem in unknown_variables().items():
        warn(f"environment variable {name}: {problem}")

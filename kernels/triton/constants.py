"""What Triton's kernels are told at compile time.

torch is not needed for it: `gpuopt inspect` compiles with the very same constants anywhere.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import triton.language as tl

from ..storage import STORAGE, compute_dtype
from ..table import Update
from .maths import jit

CHUNK = 8192
"""Elements that one program updates: enough to keep a stream of loads going, few enough that
a small model still fills the device."""

TOTAL_BLOCK = 512
"""Rows of partials that the one program of `multi_tensor_total` adds at once."""

WARPS = 4
"""Warps of a program."""

COEFFICIENT_BLOCK = 128
"""Tensors whose coefficients one program computes."""

OPTIONS = {"num_warps": WARPS, "enable_fp_fusion": False}
"""What all kernels are compiled with: nothing is contracted to an fma."""

MOST_REGISTERS = 128
"""Of a thread, where a rule computes in float64."""


def used_dtypes(update: Update, dtypes: tuple[str, ...]) -> tuple[str, ...]:
    """Return the dtypes of the lists that an update touches."""
    return tuple(dtypes[row] for row in sorted({*update.read, *update.written}))


def block_size(update: Update, dtypes: tuple[str, ...]) -> int:
    """Return how many elements a program updates at once: one table for all architectures.

    1,024 elements on 128 threads are 8 a thread: two 16-byte accesses for each float32 list.
    With a 16-bit list beside a wider one, 512 keep Triton from exchanging values between
    threads through shared memory: 16 bytes a thread of the wider list, 8 of the other. For the
    same reason, and since it takes two registers a value, float64 gets 256. What is watched
    takes four registers an element and thing: 512 with several.
    """
    if "float64" in (dtypes[0], *(dtypes[row] for row in update.written)):
        return 256
    widths = {STORAGE[dtype].itemsize for dtype in used_dtypes(update, dtypes)}
    return 512 if len(widths) > 1 or len(update.watched_names) > 1 else 1024


def update_options(dtypes: tuple[str, ...]) -> dict[str, Any]:
    """Return what `multi_tensor_update` is compiled with.

    Left alone, ptxas spills a few float64 values on some architectures to fit one block more
    on a multiprocessor; told the most registers that it may take, it takes what it needs.
    """
    if compute_dtype(dtypes[0]) == "float64":
        return {**OPTIONS, "maxnreg": MOST_REGISTERS}
    return dict(OPTIONS)


@cache
def update_constants(update: Update, dtypes: tuple[str, ...], vectors: bool) -> dict[str, Any]:
    """Return the compile-time arguments of `multi_tensor_update`."""
    compute = compute_dtype(dtypes[0])
    used = used_dtypes(update, dtypes)
    narrowest = min(STORAGE[dtype].itemsize for dtype in used)
    return {
        "UPDATE": jit(update.function, compute),
        "DTYPES": tuple(getattr(tl, dtype) for dtype in dtypes),
        "READ": update.read,
        "WRITTEN": update.written,
        "N_WATCHED": len(update.watched_names),
        "N_STREAMS": len(update.random_streams),
        "CLEARS": 1 in update.written,
        "COMPUTE": getattr(tl, compute),
        "N_COEFFICIENTS": len(update.coefficient_names),
        "CHUNK": CHUNK,
        "BLOCK": block_size(update, dtypes),
        "VECTOR": 16 if vectors else narrowest,
    }


@cache
def coefficients_constants(update: Update) -> dict[str, Any]:
    """Return the compile-time arguments of `multi_tensor_coefficients`."""
    return {
        "COEFFICIENTS": jit(update.coefficients_function, "float64"),
        "N_CARRIED": len(update.carried_names),
        "N_OPTIONS": len(update.option_names),
        "N_COEFFICIENTS": len(update.coefficient_names),
        "BLOCK": COEFFICIENT_BLOCK,
    }

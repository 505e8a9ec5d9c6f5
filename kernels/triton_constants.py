"""What Triton's kernels are told at compile time.

torch is not needed for it: `gpuopt inspect` compiles with the very same constants anywhere.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import triton.language as tl

from .storage import STORAGE, compute_dtype
from .table import Update
from .triton_kernels import jit

CHUNK = 8192
"""Elements that one program updates: enough to keep a stream of loads going, few enough that
a small model still fills the device."""

WARPS = 4
"""Warps of a program."""

COEFFICIENT_BLOCK = 128
"""Tensors whose coefficients one program computes."""

OPTIONS = {"num_warps": WARPS, "enable_fp_fusion": False}
"""What both kernels are compiled with: nothing is contracted to an fma."""

MOST_REGISTERS = 128
"""Of a thread, where a rule computes in float64."""


def block_size(dtypes: tuple[str, ...]) -> int:
    """Return how many elements a program updates at once: one table for all architectures.

    1,024 elements on 128 threads are 8 a thread: two 16-byte accesses for each float32 list.
    With a 16-bit list beside a wider one, 512 keep Triton from exchanging values between
    threads through shared memory: 16 bytes a thread of the wider list, 8 of the other. For the
    same reason, and since it takes two registers a value, float64 gets 256.
    """
    if "float64" in (dtypes[0], *dtypes[2:]):  # written, that is
        return 256
    return 512 if len({STORAGE[dtype].itemsize for dtype in dtypes}) > 1 else 1024


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
    narrowest = min(STORAGE[dtype].itemsize for dtype in dtypes)
    return {
        "UPDATE": jit(update.function, compute),
        "DTYPES": tuple(getattr(tl, dtype) for dtype in dtypes),
        "WRITTEN": update.written,
        "COMPUTE": getattr(tl, compute),
        "N_COEFFICIENTS": len(update.coefficient_names),
        "CHUNK": CHUNK,
        "BLOCK": block_size(dtypes),
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

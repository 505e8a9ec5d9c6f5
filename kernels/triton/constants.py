"""The compile-time arguments and options of the Triton kernels.

This module does not import torch, so that `gpuopt inspect` can compile with the same constants.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import triton.language as tl

from ..storage import STORAGE, compute_dtype
from ..table import SUBTOTAL_ROWS, Update
from .maths import jit

CHUNK = 8192
"""Elements per program: enough to keep loads in flight, but few enough for a small model to fill
the device."""

TOTAL_BLOCK = 512
"""Rows of partials that a program adds per iteration."""

WARPS = 4
"""Warps per program."""

COEFFICIENT_BLOCK = 32
"""Tensors per program of `multi_tensor_coefficients`: one warp, whose threads find the highest bit
of their steps without shared memory."""

OPTIONS = {"num_warps": WARPS, "enable_fp_fusion": False}
"""Compile options of all kernels; no contraction to FMA."""

COEFFICIENT_OPTIONS = {**OPTIONS, "num_warps": 1}
"""Compile options of `multi_tensor_coefficients`."""

MAX_REGISTERS = 128
"""Registers per thread if a rule computes in float64."""


def used_dtypes(update: Update, dtypes: tuple[str, ...]) -> tuple[str, ...]:
    """Return the dtypes of the lists that an update reads or writes."""
    return tuple(dtypes[row] for row in sorted({*update.read, *update.written}))


def block_size(update: Update, dtypes: tuple[str, ...]) -> int:
    """Return the block size, the elements per iteration; the same on all architectures.

    1,024 elements on 128 threads are 8 per thread: two 16-byte accesses per float32 list. With a
    16-bit list and a wider one, 512 keeps Triton from converting layouts through shared memory: 16
    bytes per thread of the wider list, 8 of the other. For the same reason, and because a value
    takes two registers, float64 uses 256. Each watched value takes four registers per element, so
    updates with several of them use 512.
    """
    if "float64" in (dtypes[0], *(dtypes[row] for row in update.written)):
        return 256
    widths = {STORAGE[dtype].itemsize for dtype in used_dtypes(update, dtypes)}
    return 512 if len(widths) > 1 or len(update.watched_names) > 1 else 1024


def update_options(dtypes: tuple[str, ...]) -> dict[str, Any]:
    """Return the compile options of `multi_tensor_update`.

    By default, ptxas on some architectures spills a few float64 values to fit one more block on a
    multiprocessor; with an explicit limit it uses the registers it needs.
    """
    if compute_dtype(dtypes[0]) == "float64":
        return {**OPTIONS, "maxnreg": MAX_REGISTERS}
    return dict(OPTIONS)


@cache
def update_constants(update: Update, dtypes: tuple[str, ...], vectors: bool) -> dict[str, Any]:
    """Return the compile-time arguments of `multi_tensor_update`."""
    compute = compute_dtype(dtypes[0])
    blocked = update.blocked if update.encode_function else ()
    used = used_dtypes(update, dtypes)
    narrowest = min(STORAGE[dtype].itemsize for dtype in used)
    return {
        "UPDATE": jit(update.function, compute),
        "DTYPES": tuple(getattr(tl, dtype) for dtype in dtypes),
        "READ": update.read,
        "WRITTEN": update.written,
        "N_WATCHED": len(update.watched_names),
        "N_PLAIN": update.n_plain,
        "STREAMS": tuple(update.random_streams),
        "CLEARS": 1 in update.written,
        "COMPUTE": getattr(tl, compute),
        "N_COEFFICIENTS": len(update.coefficient_names),
        "CHUNK": CHUNK,
        "BLOCK": block_size(update, dtypes),
        "VECTOR": 16 if vectors else narrowest,
        "ENCODE": jit(update.encode_function, compute) if update.encode_function else None,
        "CODED": tuple((update.written.index(row), scale) for row, scale in blocked),
        "FIRST_SCALE": len(dtypes) - len(update.blocked),
        "KEY": tuple(map(update.coefficient_names.index, update.encode_coefficients)),
        "ENCODE_STREAMS": tuple(update.encode_streams),
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


def total_constants() -> dict[str, int]:
    """Return the compile-time arguments of `multi_tensor_total`."""
    return {"BLOCK": TOTAL_BLOCK}


def subtotals_constants() -> dict[str, int]:
    """Return the compile-time arguments of `multi_tensor_subtotals`."""
    return {"ROWS": SUBTOTAL_ROWS, "BLOCK": TOTAL_BLOCK}


def sums_constants(n_sums: int, n_carried: int, row: int, step: int) -> dict[str, int]:
    """Return the compile-time arguments of `multi_tensor_sums`."""
    numbers = {"N_SUMS": n_sums, "N_CARRIED": n_carried, "ROW": row, "STEP": step}
    return {**numbers, "BLOCK": TOTAL_BLOCK}

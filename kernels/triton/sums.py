"""Partials of watched values, in Triton."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def zero_partials(lanes, COMPUTE: tl.constexpr, N_WATCHED: tl.constexpr):
    """Return zeroed accumulators for each watched value and each lane of a block."""
    sums, largest, others = (), (), ()
    for _ in tl.static_range(N_WATCHED):
        sums = sums + (tl.zeros(lanes.shape, tl.float64),)
        largest = largest + (tl.zeros(lanes.shape, COMPUTE),)
        others = others + (tl.zeros(lanes.shape, tl.int32),)
    return sums, largest, others


@triton.jit
def _is_nonfinite(value):
    """Return whether values are infinite or NaN, from their bits, so no compiler folds it."""
    if value.dtype == tl.float64:
        exponent = (value.to(tl.uint64, bitcast=True) >> 32).to(tl.uint32) & 0x7FF00000
        return exponent == 0x7FF00000
    else:
        return (value.to(tl.uint32, bitcast=True) & 0x7F800000) == 0x7F800000


@triton.jit
def accumulate(
    seen,
    results,
    mask,
    MASKED: tl.constexpr,
    FIRST: tl.constexpr,
    N_WATCHED: tl.constexpr,
    N_PLAIN: tl.constexpr,
):
    """Accumulate the watched values of a block, which follow the stored results."""
    sums, largest, others = (), (), ()
    for i in tl.static_range(N_WATCHED):
        value = results[FIRST + i]
        if MASKED:
            value = tl.where(mask, value, 0.0)
        size, wide = tl.abs(value), value.to(tl.float64)
        if i < N_WATCHED - N_PLAIN:
            sums = sums + (tl.fma(wide, wide, seen[0][i]),)
            largest = largest + (tl.where(size > seen[1][i], size, seen[1][i]),)
            others = others + (seen[2][i] + _is_nonfinite(value).to(tl.int32),)
        else:
            sums = sums + (seen[0][i] + wide,)
            largest, others = largest + (seen[1][i],), others + (seen[2][i],)
    return sums, largest, others


@triton.jit
def store_partials(partials_ptr, seen, N_WATCHED: tl.constexpr, N_PLAIN: tl.constexpr):
    """Write the partials of a chunk, which are 0 before; see kernels.table.PARTIALS."""
    for i in tl.static_range(N_WATCHED):
        tl.store(partials_ptr + 3 * i, tl.sum(seen[0][i]))
        if i < N_WATCHED - N_PLAIN:
            tl.store(partials_ptr + 3 * i + 1, tl.max(seen[1][i]).to(tl.float64))
            tl.store(partials_ptr + 3 * i + 2, tl.sum(seen[2][i]).to(tl.float64))

"""Loads and stores of the Triton kernels."""

from __future__ import annotations

import triton
import triton.language as tl

from .blocks import load_scales
from .interpreted import INTERPRETED

_INTERPRETED = tl.constexpr(INTERPRETED)


@triton.jit
def _decode(stored, COMPUTE: tl.constexpr):
    if _INTERPRETED and stored.dtype == tl.bfloat16:
        # The interpreter loses denormals and the sign of zero; this does what kernels.storage does.
        bits = stored.to(tl.uint16, bitcast=True).to(tl.uint32) << 16
        stored = bits.to(tl.float32, bitcast=True)
    return stored.to(COMPUTE)


@triton.jit
def load(
    pointers,
    first,
    end,
    offsets,
    mask,
    MASKED: tl.constexpr,
    COMPUTE: tl.constexpr,
    READ: tl.constexpr,
    FIRST_SCALE: tl.constexpr,
):
    """Return the values of the elements from ``first`` on, for each list that is read.

    The lists from ``FIRST_SCALE`` on have one number per 32 elements.
    """
    values = ()
    for i in tl.static_range(len(READ)):
        if READ[i] >= FIRST_SCALE:
            stored = load_scales(pointers[READ[i]], first, end, offsets.shape, MASKED)
        elif MASKED:
            stored = tl.load(pointers[READ[i]] + offsets, mask=mask)
        else:
            stored = tl.load(pointers[READ[i]] + offsets)
        values = values + (_decode(stored, COMPUTE),)
    return values


@triton.jit
def _encode(value, DTYPE: tl.constexpr):
    if DTYPE.is_int() and DTYPE.primitive_bitwidth == 8:  # a code, as `maths` rounds it
        return (value.to(tl.int32, bitcast=True) >> 8).to(DTYPE)
    if DTYPE.is_int():
        return (value + 12582912.0).to(tl.int32, bitcast=True).to(DTYPE)  # conversions are slow
    if DTYPE.primitive_bitwidth == 16:
        value = value.to(tl.float32)  # as on every backend, float64 is rounded twice
    if _INTERPRETED and DTYPE == tl.bfloat16:
        # The interpreter truncates and loses denormals; this does what kernels.storage does.
        bits = value.to(tl.uint32, bitcast=True)
        bits = tl.where(value == value, bits + 0x7FFF + ((bits >> 16) & 1), 0x7FC00000)
        return (bits >> 16).to(tl.uint16).to(tl.bfloat16, bitcast=True)
    else:
        return value.to(DTYPE)


@triton.jit
def store(
    pointers,
    offsets,
    mask,
    results,
    DTYPES: tl.constexpr,
    WRITTEN: tl.constexpr,
    MASKED: tl.constexpr,
):
    """Store the results of a block of elements to the lists that are written."""
    for i in tl.static_range(len(WRITTEN)):
        value = _encode(results[i], DTYPES[WRITTEN[i]])
        if MASKED:
            tl.store(pointers[WRITTEN[i]] + offsets, value, mask=mask)
        else:
            tl.store(pointers[WRITTEN[i]] + offsets, value)

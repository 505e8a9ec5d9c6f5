"""Conversion between stored elements and values in LLVM IR; see `kernels.storage`."""

from __future__ import annotations

from typing import Any

from ..storage import STORAGE
from .vectors import (
    DOUBLE,
    FLOAT,
    HALF,
    I8,
    I16,
    I32,
    bits_of,
    constant,
    convert,
    float_of,
    type_like,
)

ITEMS = {
    "float64": DOUBLE,
    "float32": FLOAT,
    "float16": HALF,
    "bfloat16": I16,
    "int8": I8,
    "uint8": I8,
    "int16": I16,
}
"""LLVM's types of stored elements."""

TO_BFLOAT16 = ("round_bfloat16", "split16_high")
"""The functions of `kernels.roundings` whose results are bfloat16 values, with NaN as 0x7fc0."""


def itemsize(dtype: str) -> int:
    """Return the size of a stored element in bytes."""
    return STORAGE[dtype].itemsize


def decode(builder: Any, stored: Any, dtype: str, number: Any) -> Any:
    """Return stored elements as values of the type ``number``; exact."""
    if dtype in ("int8", "int16"):
        return builder.sitofp(stored, type_like(stored.type, number))
    if dtype == "uint8":
        return builder.uitofp(stored, type_like(stored.type, number))
    value = decode_bfloat16(builder, stored) if dtype == "bfloat16" else stored
    return convert(builder, value, number)


def encode(builder: Any, value: Any, dtype: str) -> Any:
    """Return values as stored elements; float64 is rounded to float32 before 16 bits.

    Integers come from `kernels.roundings`: 16-bit ones from `split16_low`, 8-bit ones from
    ``stochastic_code_0`` to ``stochastic_code_3``.
    """
    if dtype in ("float32", "float64"):
        return convert(builder, value, ITEMS[dtype])
    value = convert(builder, value, FLOAT)
    if dtype == "float16":
        return convert(builder, value, HALF)
    if dtype == "bfloat16":
        return builder.trunc(encode_bfloat16(builder, value), type_like(value.type, I16))
    if dtype == "int16":
        whole = builder.fptosi(value, type_like(value.type, I32))
        return builder.trunc(whole, type_like(value.type, I16))
    bits = bits_of(builder, value)  # a code from `roundings._stochastic_code`
    moved = builder.lshr(bits, constant(bits.type, 8))
    return builder.trunc(moved, type_like(value.type, I8))


def cut_bfloat16(builder: Any, value: Any) -> Any:
    """Return a value that `TO_BFLOAT16` has rounded as `encode` would, without rounding again."""
    bits = bits_of(builder, convert(builder, value, FLOAT))
    high = builder.lshr(bits, constant(bits.type, 16))
    return builder.trunc(high, type_like(value.type, I16))


def decode_bfloat16(builder: Any, stored: Any) -> Any:
    """Return bfloat16 as float32."""
    wide = builder.zext(stored, type_like(stored.type, I32))
    return float_of(builder, builder.shl(wide, constant(wide.type, 16)))


def encode_bfloat16(builder: Any, value: Any) -> Any:
    """Return the bits of the nearest bfloat16 as 32-bit integers; ties to even."""
    bits = bits_of(builder, value)
    half = constant(bits.type, 16)
    odd = builder.and_(builder.lshr(bits, half), constant(bits.type, 1))
    rounded = builder.add(builder.add(bits, constant(bits.type, 0x7FFF)), odd)
    is_number = builder.fcmp_ordered("ord", value, value)
    return builder.select(is_number, builder.lshr(rounded, half), constant(bits.type, 0x7FC0))


def round_float16(builder: Any, value: Any) -> Any:
    """Return the nearest float16, as float32."""
    return convert(builder, convert(builder, value, HALF), FLOAT)

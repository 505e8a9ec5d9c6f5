"""The functions that replace ``np`` in rules compiled by Numba, and conversions to 16 bits.

LLVM vectorizes each operation, and its results have NumPy's bits.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from ..roundings import CODE_MIN, ROUNDS
from .walk import LANES

jit = numba.njit(error_model="numpy", nogil=True)


@intrinsic
def pointer(typing: Any, address: Any, dtype: Any) -> Any:
    """Convert an integer address to a pointer to elements of ``dtype``."""
    signature = types.CPointer(dtype.dtype)(types.int64, dtype)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.inttoptr(args[0], context.get_value_type(signature.return_type))

    return signature, codegen


@intrinsic
def where(typing: Any, condition: Any, a: Any, b: Any) -> Any:
    """Select without a branch, which LLVM would not vectorize."""
    if a != b:
        return None
    signature = a(types.boolean, a, a)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        condition = builder.icmp_unsigned("!=", args[0], ir.Constant(args[0].type, 0))
        return builder.select(condition, args[1], args[2])

    return signature, codegen


def _half(to_float: bool) -> Any:
    @intrinsic
    def convert(typing: Any, value: Any) -> Any:
        source, target = (types.uint16, types.float32)[:: 1 if to_float else -1]

        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            half, bits = ir.HalfType(), ir.IntType(16)
            if to_float:
                return builder.fpext(builder.bitcast(args[0], half), ir.FloatType())
            return builder.bitcast(builder.fptrunc(args[0], half), bits)

        return target(source), codegen

    return convert


@jit
def _divide(a: Any, b: Any) -> Any:
    return a / b


@jit
def _quotient(a: Any, b: Any) -> Any:
    return a / b


@jit
def _maximum(a: Any, b: Any) -> Any:
    return where((a > b) | (a != a), a, b)  # b if they are equal, as in NumPy on x86


@jit
def _minimum(a: Any, b: Any) -> Any:
    return where((a < b) | (a != a), a, b)


@jit
def _decode_bfloat16(bits: Any) -> Any:
    return np.uint32(np.uint32(bits) << np.uint32(16)).view(np.float32)  # << widens


@jit
def _encode_bfloat16(value: Any) -> Any:
    bits = np.float32(value).view(np.uint32)
    odd = (bits >> np.uint32(16)) & np.uint32(1)
    rounded = np.uint32(np.uint32(bits + np.uint32(0x7FFF)) + odd) >> np.uint32(16)
    return np.uint16(where(value == value, np.uint32(rounded), np.uint32(0x7FC0)))


_decode_half, _encode_half = _half(True), _half(False)


@jit
def _encode_float16(value: Any) -> Any:
    return _encode_half(np.float32(value))


@jit
def _encode_int8(value: Any) -> Any:
    return np.int8(np.uint32(np.float32(value).view(np.uint32) >> np.uint32(8)))


@jit
def _encode_int16(value: Any) -> Any:
    return np.int16(np.int32(value))


@jit
def _encode_uint8(value: Any) -> Any:
    return np.uint8(np.uint32(np.float32(value).view(np.uint32) >> np.uint32(8)))


@jit
def _round_bfloat16(x: Any) -> Any:
    return _decode_bfloat16(_encode_bfloat16(x))


@jit
def _round_float16(x: Any) -> Any:
    return _decode_half(_encode_float16(x))


@jit
def _join_split16(high: Any, low: Any) -> Any:
    bits = np.float32(high).view(np.int32) + np.int32(low)
    return np.int32(bits).view(np.float32)


@jit
def _split16_high(x: Any) -> Any:
    bits = np.uint32(np.float32(x).view(np.uint32) + np.uint32(0x8000))
    return np.uint32(
        where(x == x, np.uint32(bits & np.uint32(0xFFFF0000)), np.uint32(0x7FC00000))
    ).view(np.float32)


@jit
def _split16_low(x: Any) -> Any:
    bits = np.uint32(where(x == x, np.float32(x).view(np.uint32), np.uint32(0)))
    low = np.int32(bits & np.uint32(0xFFFF))
    return np.float32(where(low >= np.int32(0x8000), np.int32(low - np.int32(0x10000)), low))


@jit
def _exponent_of(x: Any) -> Any:
    bits = np.int32(np.float32(x).view(np.int32) & np.int32(0x7F800000))
    least = np.int32(0x00800000)
    return np.int32(where(bits > least, bits, least)).view(np.float32)


@jit
def _inverse_exponent_of(x: Any) -> Any:
    own = np.int32(np.float32(x).view(np.int32) & np.int32(0x7F800000))
    bits, most = np.int32(np.int32(0x7F000000) - own), np.int32(0x7E000000)
    return np.int32(where(bits < most, bits, most)).view(np.float32)


@jit
def _whole(high: Any, low: Any) -> Any:
    return np.int64(high) * np.int64(65536) + np.int64(low)


@jit
def _dithered_bfloat16(x: Any, dither: Any) -> Any:
    bits = np.uint32(np.float32(x).view(np.uint32) + dither)
    return where(x == x, np.uint32(bits & np.uint32(0xFFFF0000)).view(np.float32), x)


@jit
def _stochastic_bfloat16(
    x: Any, word: Any, seed_high: Any, seed_low: Any, step_high: Any, step_low: Any
) -> Any:
    """Round; the rule passes the element's random word instead of its index."""
    return _dithered_bfloat16(np.float32(x), np.uint32(word & np.uint32(0xFFFF)))


@jit
def _stochastic_bfloat16_high(
    x: Any, word: Any, seed_high: Any, seed_low: Any, step_high: Any, step_low: Any
) -> Any:
    return _dithered_bfloat16(np.float32(x), np.uint32(word >> np.uint32(16)))


@jit
def _stochastic_float16(
    x: Any, word: Any, seed_high: Any, seed_low: Any, step_high: Any, step_low: Any
) -> Any:
    size = np.abs(np.float32(x))
    sign = np.uint32(np.float32(x).view(np.uint32) & np.uint32(0x80000000))
    bits = np.uint32(np.float32(size).view(np.uint32) + np.uint32(word & np.uint32(0x1FFF)))
    normal = np.uint32(bits & np.uint32(0xFFFFE000)).view(np.float32)
    is_tiny = size < np.float32(2.0**-14)
    units = where(is_tiny, size, np.float32(0.0)) * np.float32(2.0**24)
    whole_units = np.float32(np.int32(units))
    chance = np.float32(np.int32(word >> np.uint32(9))) + np.float32(0.5)
    less = chance * np.float32(2.0**-23) < units - whole_units
    tiny = (whole_units + where(less, np.float32(1.0), np.float32(0.0))) * np.float32(2.0**-24)
    beyond = where(size < np.float32(np.inf), np.float32(65504.0), size)
    kept = where(size < np.float32(65504.0), where(is_tiny, tiny, normal), beyond)
    return np.uint32(np.float32(kept).view(np.uint32) | sign).view(np.float32)


def _stochastic_code(byte: int) -> Any:
    shift = np.uint32(8 * byte)

    @jit
    def stochastic_code(  # a code in bits 8 to 15, as _encode_int8 and _encode_uint8 store it
        x: Any, word: Any, seed_high: Any, seed_low: Any, step_high: Any, step_low: Any
    ) -> Any:
        byte = np.uint32(np.uint32(word >> shift) & np.uint32(0xFF))
        above = where(x > CODE_MIN, np.float32(x), CODE_MIN) + np.float32(49152.0)
        return np.uint32(np.float32(above).view(np.uint32) + byte).view(np.float32)

    return stochastic_code


@jit
def fill(
    words: Any,
    begin: Any,
    stream: Any,
    seed_high: Any,
    seed_low: Any,
    step_high: Any,
    step_low: Any,
) -> None:
    """Write kernels.roundings.random_bits of `LANES` elements; ``begin`` is a multiple of 4."""
    seed = np.uint64(_whole(seed_high, seed_low))
    step = np.uint64(_whole(step_high, step_low))
    mask, shift = np.uint64(0xFFFFFFFF), np.uint64(32)
    for i in range(LANES // 4):
        block = np.uint64(begin // 4) + np.uint64(i)
        c0, c1, c2, c3 = block & mask, block >> shift, step & mask, step >> shift
        k0, k1 = seed & mask, np.uint64(stream)
        for _ in range(ROUNDS):  # what lies above 32 bits is not looked at
            a, b = np.uint64(0xD2511F53) * (c0 & mask), np.uint64(0xCD9E8D57) * (c2 & mask)
            c0, c1, c2, c3 = (b >> shift) ^ c1 ^ k0, b, (a >> shift) ^ c3 ^ k1, a
            k0, k1 = (k0 + np.uint64(0x9E3779B9)) & mask, (k1 + np.uint64(0xBB67AE85)) & mask
        words[4 * i], words[4 * i + 1] = np.uint32(c0), np.uint32(c1)
        words[4 * i + 2], words[4 * i + 3] = np.uint32(c2), np.uint32(c3)


LIBRARY = ModuleType("numba_maths")
"""Replaces ``np`` inside a rule."""
vars(LIBRARY).update(
    divide=_divide, sqrt=np.sqrt, abs=np.abs, maximum=_maximum, minimum=_minimum, where=where
)

STORED = {
    "float64": types.float64,
    "float32": types.float32,
    "float16": types.uint16,
    "bfloat16": types.uint16,
    "int8": types.int8,
    "uint8": types.uint8,
    "int16": types.int16,
}
DECODE = {"float16": _decode_half, "bfloat16": _decode_bfloat16}
ENCODE = {
    "float16": _encode_float16,
    "bfloat16": _encode_bfloat16,
    "int8": _encode_int8,
    "uint8": _encode_uint8,
    "int16": _encode_int16,
}


ROUNDINGS = {
    "quotient": _quotient,
    "round_bfloat16": _round_bfloat16,
    "round_float16": _round_float16,
    "join_split16": _join_split16,
    "split16_high": _split16_high,
    "split16_low": _split16_low,
    "exponent_of": _exponent_of,
    "inverse_exponent_of": _inverse_exponent_of,
    "stochastic_bfloat16": _stochastic_bfloat16,
    "stochastic_bfloat16_high": _stochastic_bfloat16_high,
    "stochastic_float16": _stochastic_float16,
    **{f"stochastic_code_{byte}": _stochastic_code(byte) for byte in range(4)},
}

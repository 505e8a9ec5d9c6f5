"""The functions that replace ``np`` in rules compiled by Triton, and conversions to 16 bits."""

from __future__ import annotations

from types import FunctionType, ModuleType
from typing import Any

import triton
import triton.language as tl

from ..roundings import ROUNDS
from ..trace.retarget import retarget
from .interpreted import INTERPRETED
from .source import rewritten

_ROUNDS = tl.constexpr(ROUNDS)
_INTERPRETED = tl.constexpr(INTERPRETED)
_RECIPROCAL = tl.constexpr("rcp.approx.ftz.f32 $0, $1;")


# --- functions that replace np's -----------------------------------------------------------


@triton.jit
def _divide(a, b):
    if a.dtype == tl.float64:
        return a / b
    else:
        return tl.div_rn(a, b)


@triton.jit
def _sqrt(a):
    if a.dtype == tl.float64:
        return tl.sqrt(a)
    else:
        return tl.sqrt_rn(a)


@triton.jit
def _abs(a):
    return tl.abs(a)


@triton.jit
def _where(condition, a, b):
    return tl.where(condition, a, b)


@triton.jit
def _maximum(a, b):
    return tl.maximum(a, b, propagate_nan=tl.PropagateNan.ALL)


@triton.jit
def _minimum(a, b):
    return tl.minimum(a, b, propagate_nan=tl.PropagateNan.ALL)


@triton.jit
def _float32(value):
    return tl.full((), value, tl.float32)


@triton.jit
def _float64(value):
    return tl.full((), value, tl.float64)


@triton.jit
def _or(a, b):
    return a | b


@triton.jit
def _bits_of_any(n):
    """Return the bits that are set in any element of a block."""
    if len(n.shape) == 0:
        return n
    else:
        return tl.reduce(n, 0, _or)


@triton.jit
def _integer_power(base, n):
    """Multiply squarings of the base, up to the highest bit of any exponent in the block."""
    result = tl.full(base.shape, 1.0, tl.float64)
    left = _bits_of_any(n)
    while left > 0:
        result = tl.where((n & 1) == 1, result * base, result)
        base = base * base
        n = n >> 1
        left = left >> 1
    return result


@triton.jit
def _power(base, exponent):
    """Compute gpuopt.rules.power by the same squarings; float64 exponents below 2**53."""
    n = tl.maximum(exponent.to(tl.int64), 0)
    return _integer_power(base * tl.full(n.shape, 1.0, tl.float64), n)


@triton.jit
def _real_power(base, exponent):
    """Compute gpuopt.rules.real_power by the same squarings and square roots."""
    ones = tl.full((base + exponent).shape, 1.0, tl.float64)
    base, exponent = base * ones, exponent * ones
    number = tl.where(exponent == exponent, exponent, 0.0)  # NaN is not an integer
    magnitude = tl.minimum(tl.abs(number), 9223372036854774784.0 * ones)
    n = magnitude.to(tl.int64)
    result = _integer_power(base, n)
    fraction = ((magnitude - n.to(tl.float64)) * 4503599627370496.0).to(tl.int64)  # 52 bits
    left = _bits_of_any(fraction)
    while left > 0:
        base = tl.sqrt(base)
        taken = (fraction & 0x8000000000000) != 0
        result = tl.where(taken, result * base, result)
        fraction = fraction << 1
        left = (left << 1) & 0xFFFFFFFFFFFFF
    result = tl.where(exponent < 0.0, ones / result, result)
    return tl.where(exponent == exponent, result, exponent)


# --- roundings: those of kernels.roundings, bit for bit -------------------------------------


@triton.jit
def _nearest_bfloat16_bits(x):
    bits = x.to(tl.uint32, bitcast=True)
    bits = bits + 0x7FFF + ((bits >> 16) & 1)
    return tl.where(x == x, bits & 0xFFFF0000, 0x7FC00000)


@triton.jit
def _round_bfloat16(x):
    return _nearest_bfloat16_bits(x).to(tl.float32, bitcast=True)


@triton.jit
def _round_float16(x):
    return x.to(tl.float16).to(tl.float32)


@triton.jit
def _quotient(a, b):
    """Return a / b without the checks for extreme magnitudes; see `kernels.roundings`."""
    if _INTERPRETED:
        return tl.div_rn(a, b)
    else:
        one, a = tl.full(b.shape, 1.0, tl.float32), tl.broadcast_to(a, b.shape)
        inverse = tl.inline_asm_elementwise(_RECIPROCAL, "=f,f", [b], tl.float32, True, 1)
        inverse = tl.fma(inverse, tl.fma(-b, inverse, one), inverse)
        near = a * inverse
        return tl.fma(inverse, tl.fma(-b, near, a), near)


@triton.jit
def _join_split16(high, low):
    bits = high.to(tl.int32, bitcast=True) + low.to(tl.int32)
    return bits.to(tl.float32, bitcast=True)


@triton.jit
def _split16_high(x):
    bits = (x.to(tl.uint32, bitcast=True) + 0x8000) & 0xFFFF0000
    return tl.where(x == x, bits, 0x7FC00000).to(tl.float32, bitcast=True)


@triton.jit
def _split16_low(x):
    bits = tl.where(x == x, x.to(tl.int32, bitcast=True), 0)
    return ((bits << 16) >> 16).to(tl.float32)


@triton.jit
def _exponent_of(x):
    bits = x.to(tl.int32, bitcast=True) & 0x7F800000
    return tl.where(bits > 0x00800000, bits, 0x00800000).to(tl.float32, bitcast=True)


@triton.jit
def _inverse_exponent_of(x):
    bits = 0x7F000000 - (x.to(tl.int32, bitcast=True) & 0x7F800000)
    return tl.where(bits < 0x7E000000, bits, 0x7E000000).to(tl.float32, bitcast=True)


@triton.jit
def _philox_word(block, step, seed, stream: tl.constexpr, which):
    """Return one word of kernels.roundings.philox."""
    c0, c1 = block.to(tl.uint32), (block >> 32).to(tl.uint32)
    c2, c3 = step.to(tl.uint32), (step >> 32).to(tl.uint32)
    k0, k1 = seed.to(tl.uint32), tl.full((), stream, tl.uint32)
    m0, m1 = tl.full((), 0xD2511F53, tl.uint32), tl.full((), 0xCD9E8D57, tl.uint32)
    for _ in tl.static_range(_ROUNDS):
        a, b = c0, c2
        c0 = tl.umulhi(b, m1) ^ c1 ^ k0
        c1 = b * m1
        c2 = tl.umulhi(a, m0) ^ c3 ^ k1
        c3 = a * m0
        k0 = k0 + 0x9E3779B9
        k1 = k1 + 0xBB67AE85
    first = tl.where(which == 0, c0, c1)
    return tl.where(which < 2, first, tl.where(which == 2, c2, c3))


@triton.jit
def _whole(high, low):
    return high.to(tl.int32).to(tl.int64) * 65536 + low.to(tl.int32)


@triton.jit
def _random_word(x, element, seed_high, seed_low, step_high, step_low):
    """Return the random word of an element, which is (first of the block, lane, stream).

    In this form the compiler sees that four neighbours share a Philox block, and computes it once.
    The zero derived from ``x`` gives the words the layout of the values, which avoids a layout
    conversion through shared memory; LLVM removes it.
    """
    zero = ((x.to(tl.uint32, bitcast=True) & 0x7FFFFFFF) >> 31).to(tl.int32)
    lane = element[1] + zero
    seed, step = _whole(seed_high, seed_low), _whole(step_high, step_low)
    block = (element[0] >> 2) + ((lane & 0xFFFC) >> 2)
    return _philox_word(block, step, seed, element[2], lane & 3)


@triton.jit
def _dithered_bfloat16(x, dither):
    bits = (x.to(tl.uint32, bitcast=True) + dither) & 0xFFFF0000
    return tl.where(x == x, bits.to(tl.float32, bitcast=True), x)


@triton.jit
def _stochastic_bfloat16(x, element, seed_high, seed_low, step_high, step_low):
    x = x.to(tl.float32)
    word = _random_word(x, element, seed_high, seed_low, step_high, step_low)
    return _dithered_bfloat16(x, word & 0xFFFF)


@triton.jit
def _stochastic_bfloat16_high(x, element, seed_high, seed_low, step_high, step_low):
    x = x.to(tl.float32)
    word = _random_word(x, element, seed_high, seed_low, step_high, step_low)
    return _dithered_bfloat16(x, word >> 16)


@triton.jit
def _stochastic_float16(x, element, seed_high, seed_low, step_high, step_low):
    x = x.to(tl.float32)
    word = _random_word(x, element, seed_high, seed_low, step_high, step_low)
    size, sign = tl.abs(x), x.to(tl.uint32, bitcast=True) & 0x80000000
    bits = (size.to(tl.uint32, bitcast=True) + (word & 0x1FFF)) & 0xFFFFE000
    units = tl.where(size < 0.00006103515625, size, 0.0) * 16777216.0
    whole_units = units.to(tl.int32).to(tl.float32)
    chance = ((word >> 9).to(tl.int32).to(tl.float32) + 0.5) * 0.00000011920928955078125
    tiny = (whole_units + tl.where(chance < units - whole_units, 1.0, 0.0)) * 5.9604644775390625e-8
    rounded = tl.where(size < 0.00006103515625, tiny, bits.to(tl.float32, bitcast=True))
    beyond = tl.where(size < float("inf"), 65504.0, size)
    kept = tl.where(size < 65504.0, rounded, beyond)
    return (kept.to(tl.uint32, bitcast=True) | sign).to(tl.float32, bitcast=True)


@triton.jit
def _code(x, byte):
    """Round to 256ths and add a byte of them: the code is in bits 8 to 15 of the result."""
    above = tl.maximum(x, -128.0) + 49152.0  # NaN becomes -128
    return (above.to(tl.uint32, bitcast=True) + byte).to(tl.float32, bitcast=True)


@triton.jit
def _stochastic_code_0(x, element, seed_high, seed_low, step_high, step_low):
    word = _random_word(x, element, seed_high, seed_low, step_high, step_low)
    return _code(x, word & 0xFF)


@triton.jit
def _stochastic_code_1(x, element, seed_high, seed_low, step_high, step_low):
    word = _random_word(x, element, seed_high, seed_low, step_high, step_low)
    return _code(x, (word >> 8) & 0xFF)


@triton.jit
def _stochastic_code_2(x, element, seed_high, seed_low, step_high, step_low):
    word = _random_word(x, element, seed_high, seed_low, step_high, step_low)
    return _code(x, (word >> 16) & 0xFF)


@triton.jit
def _stochastic_code_3(x, element, seed_high, seed_low, step_high, step_low):
    word = _random_word(x, element, seed_high, seed_low, step_high, step_low)
    return _code(x, word >> 24)


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
    "stochastic_code_0": _stochastic_code_0,
    "stochastic_code_1": _stochastic_code_1,
    "stochastic_code_2": _stochastic_code_2,
    "stochastic_code_3": _stochastic_code_3,
}


def _library(literal: Any) -> ModuleType:
    library = ModuleType("triton_maths")
    vars(library).update(
        divide=_divide,
        sqrt=_sqrt,
        abs=_abs,
        where=_where,
        maximum=_maximum,
        minimum=_minimum,
        literal=literal,
    )
    return library


LIBRARIES = {"float32": _library(_float32), "float64": _library(_float64)}


def jit(function: Any, compute: str) -> Any:
    """Compile a NumPy rule, or a function of coefficients, for Triton.

    Args:
        function: the rule.
        compute: the dtype of its values.
    """
    names = {"tl": tl, "power": _power, "real_power": _real_power, **ROUNDINGS}
    return retarget(function, LIBRARIES[compute], _jit, extra_globals=names)


def _jit(function: FunctionType) -> Any:
    return triton.jit(rewritten(function))

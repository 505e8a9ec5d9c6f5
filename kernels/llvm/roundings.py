"""The functions of `kernels.roundings` in LLVM IR.

These take an element's random word in place of its index.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..roundings import CODE_MIN
from .storage import decode_bfloat16, encode_bfloat16, round_float16
from .vectors import (
    FLOAT,
    I16,
    I32,
    bits_of,
    broadcast,
    constant,
    convert,
    float_of,
    intrinsic,
    type_like,
)

_EXPONENT = 0x7F800000


def rounding(builder: Any, name: str, operands: tuple[Any, ...], number: Any) -> Any:
    """Return the result of a function of `kernels.roundings`, in the type ``number``."""
    if name == "quotient":
        return builder.fdiv(*broadcast(builder, *operands))
    random = name.startswith("stochastic")
    values = [convert(builder, x, FLOAT) for x in (operands[:1] if random else operands)]
    words = operands[1:2] if random else ()
    return convert(builder, _FUNCTIONS[name](builder, *broadcast(builder, *values, *words)), number)


def _round_bfloat16(builder: Any, x: Any) -> Any:
    narrow = builder.trunc(encode_bfloat16(builder, x), type_like(x.type, I16))
    return decode_bfloat16(builder, narrow)


def _join_split16(builder: Any, high: Any, low: Any) -> Any:
    rest = builder.fptosi(low, type_like(low.type, I32))
    return float_of(builder, builder.add(bits_of(builder, high), rest))


def _split16_high(builder: Any, x: Any) -> Any:
    bits = builder.add(bits_of(builder, x), constant(type_like(x.type, I32), 0x8000))
    cut = builder.and_(bits, constant(bits.type, 0xFFFF0000))
    is_number = builder.fcmp_ordered("ord", x, x)
    return float_of(builder, builder.select(is_number, cut, constant(cut.type, 0x7FC00000)))


def _split16_low(builder: Any, x: Any) -> Any:
    bits = bits_of(builder, x)
    is_number = builder.fcmp_ordered("ord", x, x)
    low = builder.trunc(bits, type_like(x.type, I16))
    kept = builder.select(is_number, low, constant(low.type, 0))
    return builder.sitofp(kept, x.type)


def _exponent_of(builder: Any, x: Any) -> Any:
    bits = bits_of(builder, x)
    own = builder.and_(bits, constant(bits.type, _EXPONENT))
    return float_of(builder, intrinsic(builder, "smax", own, constant(bits.type, 0x00800000)))


def _inverse_exponent_of(builder: Any, x: Any) -> Any:
    bits = bits_of(builder, x)
    own = builder.and_(bits, constant(bits.type, _EXPONENT))
    inverse = builder.sub(constant(bits.type, 0x7F000000), own)
    return float_of(builder, intrinsic(builder, "smin", inverse, constant(bits.type, 0x7E000000)))


def _dithered_bfloat16(builder: Any, x: Any, dither: Any) -> Any:
    bits = builder.add(bits_of(builder, x), dither)
    cut = float_of(builder, builder.and_(bits, constant(bits.type, 0xFFFF0000)))
    return builder.select(builder.fcmp_ordered("ord", x, x), cut, x)


def _stochastic_bfloat16(builder: Any, x: Any, word: Any) -> Any:
    return _dithered_bfloat16(builder, x, builder.and_(word, constant(word.type, 0xFFFF)))


def _stochastic_bfloat16_high(builder: Any, x: Any, word: Any) -> Any:
    return _dithered_bfloat16(builder, x, builder.lshr(word, constant(word.type, 16)))


def _stochastic_float16(builder: Any, x: Any, word: Any) -> Any:
    def number(value: float) -> Any:
        return constant(x.type, value)

    def integer(value: int) -> Any:
        return constant(word.type, value)

    size = intrinsic(builder, "fabs", x)
    sign = builder.and_(bits_of(builder, x), integer(0x80000000))
    bits = builder.add(bits_of(builder, size), builder.and_(word, integer(0x1FFF)))
    normal = float_of(builder, builder.and_(bits, integer(0xFFFFE000)))
    is_tiny = builder.fcmp_ordered("<", size, number(2.0**-14))
    units = builder.fmul(builder.select(is_tiny, size, number(0.0)), number(2.0**24))
    whole_units = builder.sitofp(builder.fptosi(units, word.type), x.type)
    chance = builder.sitofp(builder.lshr(word, integer(9)), x.type)
    chance = builder.fmul(builder.fadd(chance, number(0.5)), number(2.0**-23))
    less = builder.fcmp_ordered("<", chance, builder.fsub(units, whole_units))
    tiny = builder.fadd(whole_units, builder.select(less, number(1.0), number(0.0)))
    tiny = builder.fmul(tiny, number(2.0**-24))
    infinity = number(float("inf"))
    beyond = builder.select(builder.fcmp_ordered("<", size, infinity), number(65504.0), size)
    finite = builder.select(is_tiny, tiny, normal)
    kept = builder.select(builder.fcmp_ordered("<", size, number(65504.0)), finite, beyond)
    return float_of(builder, builder.or_(bits_of(builder, kept), sign))


def _stochastic_code(byte: int) -> Callable[..., Any]:
    """Return the function that puts a code into bits 8 to 15, where `storage.encode` expects it."""

    def code(builder: Any, x: Any, word: Any) -> Any:
        least = constant(x.type, float(CODE_MIN))
        above = builder.select(builder.fcmp_ordered(">", x, least), x, least)
        above = builder.fadd(above, constant(x.type, 49152.0))
        moved = builder.lshr(word, constant(word.type, 8 * byte)) if byte else word
        dither = builder.and_(moved, constant(word.type, 0xFF)) if byte < 3 else moved
        return float_of(builder, builder.add(bits_of(builder, above), dither))

    return code


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "round_bfloat16": _round_bfloat16,
    "round_float16": round_float16,
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

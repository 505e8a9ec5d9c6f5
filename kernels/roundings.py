"""Rounding to 16 bits inside a rule, in NumPy; each compiler has its own version.

The results are float32 values that the 16-bit dtype represents exactly.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .storage import decode_bfloat16, encode_bfloat16

ROUNDS = 7
"""Rounds of Philox: the fewest with which it passes all tests of BigCrush (Salmon et al., 2011)."""

STREAM = 1 << 48
"""The offset of an element's index from one stream of random words to the next."""

STREAM_KEY = ("seed_high", "seed_low", "step_high", "step_low")
"""The coefficients that determine the random word, together with the element's index."""


CODE_MIN = np.float32(-128.0)
"""The smallest code, which also stands for NaN; as unsigned bytes, the same bits are 128."""


def quotient(a: Any, b: Any) -> Any:
    """Return ``a / b`` in fewer instructions, for numbers of ordinary magnitude.

    GPUs divide by refining an approximate reciprocal, after checking that no intermediate result
    leaves the range of normal numbers. This function omits the checks. The result is correctly
    rounded, like that of ``np.divide``, if ``b`` is in [2**-120, 2**126), ``abs(a)`` in
    [2**-80, 256), and the quotient's magnitude is at least 2**-120. Smaller quotients give small
    results, whose sign may be wrong.
    """
    return np.divide(a, b)


def round_bfloat16(x: Any) -> Any:
    """Return the bfloat16 nearest to a float32, ties to even."""
    return decode_bfloat16(encode_bfloat16(x))


def round_float16(x: Any) -> Any:
    """Return the float16 nearest to a float32, ties to even."""
    return x.astype(np.float16).astype(np.float32)


def join_split16(high: Any, low: Any) -> Any:
    """Return the float32 that `split16_high` and `split16_low` have split.

    Args:
        high: float32 values that bfloat16 can represent.
        low: 16-bit integers, as float32.
    """
    bits = np.float32(high).view(np.int32) + np.int32(low)
    return bits.view(np.float32)


def split16_high(x: Any) -> Any:
    """Return the bfloat16 nearest to a float32, ties away from zero; NaN stays NaN."""
    bits = (np.float32(x).view(np.uint32) + np.uint32(0x8000)) & np.uint32(0xFFFF0000)
    return np.where(x == x, bits, np.uint32(0x7FC00000)).view(np.float32)


def split16_low(x: Any) -> Any:
    """Return the bits of a float32 minus those of `split16_high`, an integer; 0 for NaN."""
    low = np.int32(
        np.where(x == x, np.float32(x).view(np.uint32), np.uint32(0)) & np.uint32(0xFFFF)
    )
    return np.float32(np.where(low >= np.int32(0x8000), low - np.int32(0x10000), low))


def exponent_of(x: Any) -> Any:
    """Return the largest power of two not above ``abs(x)``, at least 2**-126."""
    bits = np.float32(x).view(np.uint32) & np.uint32(0x7F800000)
    return np.maximum(bits, np.uint32(0x00800000)).view(np.float32)


def inverse_exponent_of(x: Any) -> Any:
    """Return one over `exponent_of`; 0 for 2**127 and above."""
    bits = np.int32(0x7F000000) - (np.float32(x).view(np.int32) & np.int32(0x7F800000))
    return np.minimum(bits, np.int32(0x7E000000)).view(np.float32)


def stochastic_bfloat16(
    x: Any, element: Any, seed_high: Any, seed_low: Any, step_high: Any, step_low: Any
) -> Any:
    """Round float32 stochastically to bfloat16; the expectation is the float32 value.

    The low 16 bits of the element's random word are added to the bits that are then truncated.
    Values that bfloat16 represents, infinities and NaN are unchanged.

    Args:
        x: float32 values.
        element: int64, the index of each element in its tensor, plus `STREAM` times the number of
            the stream.
        seed_high: the 32-bit seed is ``seed_high * 65536 + seed_low``.
        seed_low: see ``seed_high``.
        step_high: the step, below 2**46, is ``step_high * 65536 + step_low``.
        step_low: see ``step_high``.

    Croci et al., "Stochastic rounding: implementation, error analysis and applications", 2022.
    """
    word = random_bits(element, whole(seed_high, seed_low), whole(step_high, step_low))
    return _dithered_bfloat16(np.float32(x), word & np.uint32(0xFFFF))


def stochastic_bfloat16_high(
    x: Any, element: Any, seed_high: Any, seed_low: Any, step_high: Any, step_low: Any
) -> Any:
    """Round like `stochastic_bfloat16`, with the high half of the same random word."""
    word = random_bits(element, whole(seed_high, seed_low), whole(step_high, step_low))
    return _dithered_bfloat16(np.float32(x), word >> np.uint32(16))


def _dithered_bfloat16(x: Any, dither: Any) -> Any:
    bits = (x.view(np.uint32) + dither) & np.uint32(0xFFFF0000)
    return np.where(x == x, bits.view(np.float32), x)


def stochastic_float16(
    x: Any, element: Any, seed_high: Any, seed_low: Any, step_high: Any, step_low: Any
) -> Any:
    """Round float32 stochastically to float16; the expectation is the float32 value.

    The arguments are those of `stochastic_bfloat16`. Below 2**-14, where the spacing of float16 is
    2**-24, a 24-bit random number in (0, 1) is compared with the fraction, which preserves averages
    far below the spacing. Finite values beyond 65504 saturate: an average that became infinite
    would stay infinite, and the next quotient would be NaN.
    """
    word = random_bits(element, whole(seed_high, seed_low), whole(step_high, step_low))
    x = np.float32(x)
    size, sign = np.abs(x), x.view(np.uint32) & np.uint32(0x80000000)
    bits = (size.view(np.uint32) + (word & np.uint32(0x1FFF))) & np.uint32(0xFFFFE000)
    units = np.where(size < np.float32(2.0**-14), size, np.float32(0.0)) * np.float32(2.0**24)
    whole_units = np.float32(np.int32(units))
    chance = (np.float32(word >> np.uint32(9)) + np.float32(0.5)) * np.float32(2.0**-23)
    more = np.where(chance < units - whole_units, np.float32(1.0), np.float32(0.0))
    tiny = (whole_units + more) * np.float32(2.0**-24)
    rounded = np.where(size < np.float32(2.0**-14), tiny, bits.view(np.float32))
    beyond = np.where(size < np.float32(np.inf), np.float32(65504.0), size)
    kept = np.where(size < np.float32(65504.0), rounded, beyond)
    return (kept.view(np.uint32) | sign).view(np.float32)


def stochastic_code_0(
    x: Any, element: Any, seed_high: Any, seed_low: Any, step_high: Any, step_low: Any
) -> Any:
    """Round stochastically to an integer; the expectation is ``x``, to one part in 512.

    It uses the lowest byte of the element's random word, so four codes of an element share a word.
    Integers are unchanged, even with rounding errors below 1/512. NaN becomes -128.

    Args:
        x: float32 values, at most 255; values below -128 become -128.
        element: see `stochastic_bfloat16`, also for the other arguments.
        seed_high: see ``element``.
        seed_low: see ``element``.
        step_high: see ``element``.
        step_low: see ``element``.
    """
    return _code(x, random_bits(element, whole(seed_high, seed_low), whole(step_high, step_low)))


def stochastic_code_1(
    x: Any, element: Any, seed_high: Any, seed_low: Any, step_high: Any, step_low: Any
) -> Any:
    """Round like `stochastic_code_0`, with the second byte of the same random word."""
    word = random_bits(element, whole(seed_high, seed_low), whole(step_high, step_low))
    return _code(x, word >> np.uint32(8))


def stochastic_code_2(
    x: Any, element: Any, seed_high: Any, seed_low: Any, step_high: Any, step_low: Any
) -> Any:
    """Round like `stochastic_code_0`, with the third byte of the same random word."""
    word = random_bits(element, whole(seed_high, seed_low), whole(step_high, step_low))
    return _code(x, word >> np.uint32(16))


def stochastic_code_3(
    x: Any, element: Any, seed_high: Any, seed_low: Any, step_high: Any, step_low: Any
) -> Any:
    """Round like `stochastic_code_0`, with the highest byte of the same random word."""
    word = random_bits(element, whole(seed_high, seed_low), whole(step_high, step_low))
    return _code(x, word >> np.uint32(24))


def _code(x: Any, word: Any) -> Any:
    """Round to 256ths, add the lowest byte as 256ths, and round down, all on the float's bits.

    Between 2**15 and 2**16, a unit in the last place is 1/256.
    """
    above = np.where(x > CODE_MIN, np.float32(x), CODE_MIN) + np.float32(49152.0)
    bits = above.view(np.uint32) + (word & np.uint32(0xFF))
    return (bits & np.uint32(0xFFFFFF00)).view(np.float32) - np.float32(49152.0)


def nearest_integer(x: Any) -> Any:
    """Return the integer nearest to ``x``, a float32 below 2**22; ties to even."""
    return (x + np.float32(12582912.0)) - np.float32(12582912.0)


def nearest_code(x: Any) -> Any:
    """Return the code nearest to ``x``; NaN and values below -128 become -128."""
    return nearest_integer(np.where(x > CODE_MIN, x, CODE_MIN))


def whole(high: Any, low: Any) -> Any:
    """Return ``high * 65536 + low`` as int64; both are integers stored as floats."""
    return np.int64(high) * np.int64(65536) + np.int64(low)


def random_bits(element: Any, seed: Any, step: Any) -> Any:
    """Return 32 random bits per element: one word of a Philox block.

    The block's counter is (element // 4, step) and its key is (seed, stream).

    Args:
        element: int64, plus `STREAM` times the number of the stream.
        seed: int64, at most 32 bits.
        step: int64.
    """
    block = (np.int64(element) & np.int64(STREAM - 1)) >> np.int64(2)
    key = _low(seed), np.uint64(np.int64(element) >> np.int64(48))
    words = philox((_low(block), _high(block), _low(step), _high(step)), key)
    which = np.int64(element) & np.int64(3)
    first = np.where(which == 0, words[0], words[1])
    return np.where(which < 2, first, np.where(which == 2, words[2], words[3]))


def philox(counter: tuple[Any, ...], key: tuple[Any, Any]) -> tuple[Any, ...]:
    """Return the four 32-bit words of Philox4x32-7 for a counter of four words.

    >>> [hex(word) for word in philox((np.uint64(0),) * 4, (np.uint64(0),) * 2)]
    ['0x5f6fb709', '0xd893f64', '0x4f121f81', '0x4f730a48']

    Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011.
    """
    c0, c1, c2, c3 = counter
    k0, k1 = key
    mask, shift = np.uint64(0xFFFFFFFF), np.uint64(32)
    for _ in range(ROUNDS):
        a, b = np.uint64(0xD2511F53) * c0, np.uint64(0xCD9E8D57) * c2
        c0, c1, c2, c3 = (b >> shift) ^ c1 ^ k0, b & mask, (a >> shift) ^ c3 ^ k1, a & mask
        k0, k1 = (k0 + np.uint64(0x9E3779B9)) & mask, (k1 + np.uint64(0xBB67AE85)) & mask
    return tuple(np.uint32(word) for word in (c0, c1, c2, c3))


def _low(number: Any) -> Any:
    return np.uint64(number) & np.uint64(0xFFFFFFFF)


def _high(number: Any) -> Any:
    return np.uint64(number) >> np.uint64(32)

"""Roundings to 16 bits that stand inside a rule, in NumPy: what every compiler has its own of.

A rule computes in float32. What these return is float32 again, a value that 16 bits hold, so
storing it changes nothing more.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .storage import decode_bfloat16, encode_bfloat16

ROUNDS = 10
"""Of Philox, as its authors recommend."""


def round_bfloat16(x: Any) -> Any:
    """Return the bfloat16 nearest to a float32, ties to even."""
    return decode_bfloat16(encode_bfloat16(x))


def round_float16(x: Any) -> Any:
    """Return the float16 nearest to a float32, ties to even."""
    return x.astype(np.float16).astype(np.float32)


def stochastic_bfloat16(
    x: Any, element: Any, seed_high: Any, seed_low: Any, step_high: Any, step_low: Any
) -> Any:
    """Return one of the two bfloat16 around a float32, the nearer one more often.

    The expectation is the float32 itself: a random number of 16 bits is added to those that are
    then cut off. What bfloat16 holds stays; infinities and NaN stay.

    Args:
        x: float32 values.
        element: int64, where each stands in its tensor.
        seed_high: with ``seed_low`` a number below 2**40, ``high * 65536 + low``.
        seed_low: see there.
        step_high: with ``step_low`` another; another step or seed gives other bits.
        step_low: see there.

    Croci et al., "Stochastic rounding: implementation, error analysis and applications", 2022.
    """
    seed, step = whole(seed_high, seed_low), whole(step_high, step_low)
    low_bits = random_bits(element, seed, step) & np.uint32(0xFFFF)
    bits = (x.view(np.uint32) + low_bits) & np.uint32(0xFFFF0000)
    return np.where(x == x, bits.view(np.float32), x)


def whole(high: Any, low: Any) -> Any:
    """Return ``high * 65536 + low`` of two floats that are integers, as int64."""
    return np.int64(high) * np.int64(65536) + np.int64(low)


def random_bits(element: Any, seed: Any, step: Any) -> Any:
    """Return 32 random bits for each element: a word of the Philox block that it falls into.

    Four neighbours share a block: the counter is (element // 4, step), the key the seed.

    Args:
        element: int64.
        seed: int64.
        step: int64.
    """
    block = np.int64(element) >> np.int64(2)
    words = philox((_low(block), _high(block), _low(step), _high(step)), (_low(seed), _high(seed)))
    which = np.int64(element) & np.int64(3)
    first = np.where(which == 0, words[0], words[1])
    return np.where(which < 2, first, np.where(which == 2, words[2], words[3]))


def philox(counter: tuple[Any, ...], key: tuple[Any, Any]) -> tuple[Any, ...]:
    """Return the four 32-bit words of Philox4x32-10 at a counter of four words.

    >>> [hex(word) for word in philox((np.uint64(0),) * 4, (np.uint64(0),) * 2)]
    ['0x6627e8d5', '0xe169c58d', '0xbc57ac4c', '0x9b00dbd8']

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

"""Random words for a unit's elements: `kernels.roundings.random_bits` in LLVM IR."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from llvmlite import ir

from ..roundings import ROUNDS, STREAM_KEY
from ..storage import BLOCK
from .vectors import I32, I64, WIDTH, broadcast, constant, vector

_COUNTERS = BLOCK // 4
_LOW = 0xFFFFFFFF


def keys(builder: Any, coefficients: Mapping[str, Any]) -> tuple[Any, Any]:
    """Return the seed and the step from the coefficients."""
    parts = [builder.fptosi(coefficients[name], I64) for name in STREAM_KEY]
    high = [builder.mul(x, constant(I64, 65536)) for x in parts[::2]]
    seed, step = (builder.add(a, b) for a, b in zip(high, parts[1::2]))
    return seed, step


def random_words(builder: Any, element: Any, stream: int, seed: Any, step: Any) -> list[Any]:
    """Return the random words of a unit's elements, in vectors of `WIDTH`.

    Args:
        builder: the IR builder.
        element: the index of the first element, a multiple of `BLOCK`.
        stream: the number of the stream.
        seed: see `keys`.
        step: see `keys`.
    """
    like = vector(I64, _COUNTERS)
    first = builder.lshr(element, constant(I64, 2))
    half = constant(I64, 32)
    places = ir.Constant(like, list(range(_COUNTERS)))
    c0, c1 = builder.or_(*broadcast(builder, first, places)), builder.lshr(first, half)
    c2, c3 = _low(builder, step), builder.lshr(step, half)
    k0, k1 = _low(builder, seed), constant(I64, stream)
    for _ in range(ROUNDS):  # bits above 32 are ignored
        a = _product(builder, 0xD2511F53, c0)
        b = _product(builder, 0xCD9E8D57, c2)
        c0, c1, c2, c3 = _mixed(builder, b, c1, k0), b, _mixed(builder, a, c3, k1), a
        k0 = _low(builder, builder.add(k0, constant(I64, 0x9E3779B9)))
        k1 = constant(I64, (k1.constant + 0xBB67AE85) & _LOW)
    return _in_order(builder, _pairs(builder, c0, c1), _pairs(builder, c2, c3))


def _low(builder: Any, x: Any) -> Any:
    return builder.and_(x, constant(x.type, _LOW))


def _product(builder: Any, factor: int, x: Any) -> Any:
    return builder.mul(constant(x.type, factor), _low(builder, x))


def _mixed(builder: Any, product: Any, x: Any, key: Any) -> Any:
    high = builder.lshr(product, constant(product.type, 32))
    high, x = broadcast(builder, high, x)
    mixed, key = broadcast(builder, builder.xor(high, x), key)
    return builder.xor(mixed, key)


def _pairs(builder: Any, a: Any, b: Any) -> Any:
    """Return the low halves of two vectors as pairs of words.

    By a shuffle, not a shift, which LLVM would merge into the last 64-bit product.
    """
    words = vector(I32, 2 * _COUNTERS)
    low = 0 if sys.byteorder == "little" else 1
    places = [2 * i + low + k * 2 * _COUNTERS for i in range(_COUNTERS) for k in (0, 1)]
    a, b = builder.bitcast(a, words), builder.bitcast(b, words)
    both = builder.shuffle_vector(a, b, ir.Constant(words, places))
    return builder.bitcast(both, vector(I64, _COUNTERS))


def _in_order(builder: Any, first: Any, second: Any) -> list[Any]:
    found = []
    for begin in range(0, _COUNTERS, WIDTH // 4):
        places = [i + k * _COUNTERS for i in range(begin, begin + WIDTH // 4) for k in (0, 1)]
        mask = ir.Constant(vector(I32, len(places)), places)
        found.append(builder.bitcast(builder.shuffle_vector(first, second, mask), vector(I32)))
    return found

"""The scales of blocks: horizontal maxima of vectors, for two states at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from llvmlite import ir

from ..storage import LEAST_SCALE, NO_SCALE
from .vectors import I32, WIDTH, constant, float_of, intrinsic, vector

_HALF = WIDTH // 2


def largest(builder: Any, vectors: list[Any]) -> Iterator[Any]:
    """Yield the scale of each vector of magnitudes, given as float32 bits without the sign."""
    for a, b in zip(vectors[::2], [*vectors[1::2], None]):
        first, second = _of_two(builder, a, a if b is None else b)
        yield first
        if b is not None:
            yield second


def _of_two(builder: Any, a: Any, b: Any) -> tuple[Any, Any]:
    """Reduce two vectors to the first and the middle element of one."""
    low, high = range(_HALF), range(_HALF, WIDTH)
    both = [_shuffled(builder, a, b, [*half, *(i + WIDTH for i in half)]) for half in (low, high)]
    found = intrinsic(builder, "umax", *both)
    step = _HALF // 2
    while step:
        other = _shuffled(builder, found, found, [i ^ step for i in range(WIDTH)])
        found, step = intrinsic(builder, "umax", found, other), step // 2
    scales = _clamped(builder, float_of(builder, found))
    first, second = (builder.extract_element(scales, constant(I32, i)) for i in (0, _HALF))
    return first, second


def _clamped(builder: Any, sizes: Any) -> Any:
    """Return magnitudes as scales: at least `LEAST_SCALE`, and NaN from `NO_SCALE` up."""
    least = constant(sizes.type, float(LEAST_SCALE))
    above = builder.select(builder.fcmp_ordered(">", sizes, least), sizes, least)
    is_scale = builder.fcmp_ordered("<", sizes, constant(sizes.type, float(NO_SCALE)))
    return builder.select(is_scale, above, constant(sizes.type, float("nan")))


def _shuffled(builder: Any, a: Any, b: Any, places: list[int]) -> Any:
    return builder.shuffle_vector(a, b, ir.Constant(vector(I32, len(places)), places))

"""The reference backend for 8-bit states: codes, and a scale for each block."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..roundings import STREAM
from ..storage import BLOCK, LEAST_SCALE, NO_SCALE, compute_dtype, decode, encode
from ..table import PARTIALS, Update, add_partials
from ..trace.numpy_calls import program
from .partials import partials_of

PIECE = 1 << 15
"""Elements updated at a time, so that values and temporaries stay in a core's cache."""

Array = npt.NDArray[Any]


def run(
    update: Update, arrays: Sequence[Array], dtypes: tuple[str, ...], coefficients: Array
) -> npt.NDArray[np.float64]:
    """Update one tensor; see `blocks.run`. Elements are in the order of the codes."""
    scales = {row for _, row in update.blocked}
    order = arrays[update.blocked[0][0]]
    turned = [a if row in scales else in_order_of(order, a) for row, a in enumerate(arrays)]
    flat = [a.reshape(-1) for a in turned]  # copies, if an array has another order
    watched = np.zeros((len(update.watched_names), len(PARTIALS)))
    first_plain = len(watched) - update.n_plain
    with np.errstate(all="ignore"):
        for begin in range(0, order.size, PIECE):
            part = slice(begin, begin + PIECE)
            of_blocks = slice(begin // BLOCK, -(-(begin + PIECE) // BLOCK))
            own = [a[of_blocks if row in scales else part] for row, a in enumerate(flat)]
            found = _update(update, own, dtypes, coefficients, begin)
            for i, (sums, seen) in enumerate(zip(watched, found)):
                sums[...] = add_partials(sums, partials_of(seen, i >= first_plain))
    for row in update.written:
        if not np.may_share_memory(flat[row], turned[row]):
            turned[row][...] = flat[row].reshape(turned[row].shape)
    return watched


def in_order_of(dense: Array, array: Array) -> Array:
    """Return a view of an array whose axes are in the memory order of a dense one."""
    return array.transpose(sorted(range(dense.ndim), key=lambda axis: -dense.strides[axis]))


def scales_of(values: Array) -> npt.NDArray[np.float32]:
    """Return the largest absolute value of each block.

    It is at least `LEAST_SCALE`, and NaN from `NO_SCALE` up.
    """
    bits = np.abs(values).astype(np.float32, copy=False).view(np.uint32)
    largest = np.maximum.reduceat(bits, np.arange(0, len(bits), BLOCK)).view(np.float32)
    return np.where(largest < NO_SCALE, np.maximum(largest, LEAST_SCALE), np.float32(np.nan))


def spread(scales: Array, count: int) -> Array:
    """Return the scale of each of ``count`` elements."""
    return np.repeat(scales, BLOCK)[:count]


def _update(
    update: Update, own: list[Array], dtypes: tuple[str, ...], coefficients: Array, begin: int
) -> list[Array]:
    """Update a piece; return its watched values."""
    compute, count = compute_dtype(dtypes[0]), len(own[0])
    element = np.arange(begin, begin + count, dtype=np.int64)
    scales = {row for _, row in update.blocked}
    values = [
        spread(own[row], count) if row in scales else decode(own[row], dtypes[row], compute)
        for row in update.read
    ]
    values += [element + stream * STREAM for stream in update.random_streams]
    compiled = program(update, compute, ())
    scratch = [np.empty(count, dtype) for dtype in compiled.scratch]
    results = compiled.function(*values, *coefficients, *scratch)
    new = dict(zip(update.written, results))
    if update.encode_function is None:
        return list(results)
    prepared = [new[row] for row, _ in update.blocked]
    for x, (_, row) in zip(prepared, update.blocked):
        own[row][...] = scales_of(x)
    codes = update.encode_function(
        *prepared,
        *(spread(own[row], count) for _, row in update.blocked),
        *(element + stream * STREAM for stream in update.encode_streams),
        *(coefficients[update.coefficient_names.index(n)] for n in update.encode_coefficients),
    )
    new.update(zip((row for row, _ in update.blocked), codes))
    for row, result in new.items():
        own[row][...] = encode(result, dtypes[row])
    return list(results[len(update.written) :])

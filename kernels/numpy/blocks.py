"""The reference: the rule's own operations in NumPy, one cache-sized block at a time, in place.

It takes any strides. No temporary is larger than a block.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ..storage import compute_dtype, decode, encode
from ..table import PARTIALS, Update, add_partials
from ..trace.numpy_calls import program

BLOCK = 1 << 15
"""Elements of a block: its values and what is computed from them stay in a core's cache."""


def run(
    update: Update,
    arrays: list[npt.NDArray[Any]],
    dtypes: tuple[str, ...],
    coefficients: npt.NDArray[Any],
) -> npt.NDArray[np.float64]:
    """Update one tensor.

    Args:
        update: the composed update.
        arrays: one array for each of its lists, of one shape and any strides; bfloat16 as
            uint16.
        dtypes: what each holds.
        coefficients: its coefficients, in the dtype that the rule computes in.

    Returns:
        What is watched: for each of it a row as `kernels.table.PARTIALS` says.
    """
    compute = compute_dtype(dtypes[0])
    read, written = update.read, update.written
    in_place = tuple(i for i in written if i in read and dtypes[i] == compute)
    compiled = program(update, compute, in_place)
    used = sorted({*read, *written})
    size = arrays[used[0]].size
    scratch = [np.empty(min(BLOCK, size), dtype) for dtype in compiled.scratch]
    flags: Any = [["readwrite" if i in written else "readonly"] for i in used]
    watched = np.zeros((len(update.watched_names), len(PARTIALS)))
    begin = 0
    with (
        np.errstate(all="ignore"),
        np.nditer(
            [arrays[i] for i in used],
            flags=["external_loop", "buffered", "zerosize_ok", "delay_bufalloc"],
            op_flags=flags,
            buffersize=BLOCK,
        ) as blocks,
    ):
        blocks.reset()
        for block in blocks:
            stored: dict[int, Any] = dict(zip(used, block if len(used) > 1 else (block,)))
            values = [decode(stored[i], dtypes[i], compute) for i in read]
            n = len(stored[used[0]])
            if update.random_streams:
                element = np.arange(begin, begin + n, dtype=np.int64)
                values += [element] * len(update.random_streams)
            results = compiled.function(*values, *coefficients, *[s[:n] for s in scratch])
            for row, result in zip(written, results):
                if result is not stored[row]:
                    stored[row][...] = encode(result, dtypes[row])
            for part, seen in zip(watched, results[len(written) :]):
                part[...] = add_partials(part, partials_of(seen))
            begin += n
    return watched


def partials_of(values: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Return the partials of some values, as `kernels.table.PARTIALS` says."""
    wide = values.astype(np.float64)
    largest = np.fmax.reduce(np.abs(wide), initial=0.0)
    return np.array([(wide * wide).sum(), largest, (~np.isfinite(wide)).sum()])

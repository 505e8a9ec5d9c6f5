"""The reference backend: the rule in NumPy, in place, one cache-sized block at a time.

Arrays may have any strides. No temporary is larger than a block.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ..roundings import STREAM
from ..storage import compute_dtype, decode, encode
from ..table import PARTIALS, Update, add_partials
from ..trace.numpy_calls import program
from . import coded
from .partials import partials_of

BLOCK = 1 << 15
"""Elements of a block, small enough that its values and temporaries stay in a core's cache."""


def run(
    update: Update,
    arrays: list[npt.NDArray[Any]],
    dtypes: tuple[str, ...],
    coefficients: npt.NDArray[Any],
) -> npt.NDArray[np.float64]:
    """Update one tensor.

    Args:
        update: the composed update.
        arrays: one for each list, of equal shape and any strides; bfloat16 as uint16.
        dtypes: the dtype of each list.
        coefficients: in the compute dtype.

    Returns:
        A row of `kernels.table.PARTIALS` for each watched value.
    """
    if update.blocked:
        return coded.run(update, arrays, dtypes, coefficients)
    compute = compute_dtype(dtypes[0])
    read, written = update.read, update.written
    in_place = tuple(i for i in written if i in read and dtypes[i] == compute)
    compiled = program(update, compute, in_place)
    used = sorted({*read, *written})
    size = arrays[used[0]].size
    scratch = [np.empty(min(BLOCK, size), dtype) for dtype in compiled.scratch]
    flags: Any = [["readwrite" if i in written else "readonly"] for i in used]
    watched = np.zeros((len(update.watched_names), len(PARTIALS)))
    first_plain = len(watched) - update.n_plain
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
                values += [element + stream * STREAM for stream in update.random_streams]
            results = compiled.function(*values, *coefficients, *[s[:n] for s in scratch])
            for row, result in zip(written, results):
                if result is not stored[row]:
                    stored[row][...] = encode(result, dtypes[row])
            for i, (part, seen) in enumerate(zip(watched, results[len(written) :])):
                part[...] = add_partials(part, partials_of(seen, i >= first_plain))
            begin += n
    return watched

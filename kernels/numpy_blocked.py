"""The reference: the rule's own operations in NumPy, one cache-sized block at a time, in place.

It takes any strides. No temporary is larger than a block.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .numpy_program import program
from .storage import compute_dtype, decode, encode
from .table import Update

BLOCK = 1 << 15
"""Elements of a block: its values and what is computed from them stay in a core's cache."""


def run(
    update: Update,
    arrays: list[npt.NDArray[Any]],
    dtypes: tuple[str, ...],
    coefficients: npt.NDArray[Any],
) -> None:
    """Update one tensor.

    Args:
        update: the composed update.
        arrays: one array for each of its lists, of one shape and any strides; bfloat16 as
            uint16.
        dtypes: what each holds.
        coefficients: its coefficients, in the dtype that the rule computes in.
    """
    compute = compute_dtype(dtypes[0])
    in_place = tuple(i for i in update.written if dtypes[i] == compute)
    compiled = program(update, compute, in_place)
    scratch = [np.empty(min(BLOCK, arrays[0].size), dtype) for dtype in compiled.scratch]
    flags: Any = [["readwrite" if i in update.written else "readonly"] for i in range(len(arrays))]
    with (
        np.errstate(all="ignore"),
        np.nditer(
            arrays,
            flags=["external_loop", "buffered", "zerosize_ok", "delay_bufalloc"],
            op_flags=flags,
            buffersize=BLOCK,
        ) as blocks,
    ):
        blocks.reset()
        for stored in blocks:
            values = [decode(x, dtype, compute) for x, dtype in zip(stored, dtypes)]
            n = len(stored[0])
            results = compiled.function(*values, *coefficients, *[s[:n] for s in scratch])
            for row, result in zip(update.written, results):
                if result is not stored[row]:
                    stored[row][...] = encode(result, dtypes[row])

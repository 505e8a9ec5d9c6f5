"""The reference: the rule itself on NumPy arrays, one cache-sized block at a time, in place.

It takes any strides. No temporary is larger than a block.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from .retarget import retarget
from .storage import compute_dtype, decode, encode
from .table import Update

BLOCK = 1 << 14
"""Elements of a block: its values and temporaries together stay in a core's cache."""


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
    function = _in_dtype(update.function, compute)
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
            results = function(*values, *coefficients)
            for row, result in zip(update.written, results):
                stored[row][...] = encode(result, dtypes[row])


@cache
def _in_dtype(function: Any, compute: str) -> Any:
    """Return the function with its literals in ``compute``: np.where(m, 1.0, -1.0) is float64."""
    return retarget(function, np, literal=np.dtype(compute).type)

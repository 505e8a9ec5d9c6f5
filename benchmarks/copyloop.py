"""A loop that only moves the bytes of a step: the machine's memory bandwidth.

It reads every list and writes all but the gradients, in place, on the threads that a step uses.
Adding zero changes no value, and the compiler cannot remove it.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from gpuopt.kernels.threads import for_each_share

from .buffers import SharedBuffers
from .cases import Case
from .step import Step, Unavailable

PIECE = 1 << 14

_LINE = 16
"""Elements of a line of the cache."""

_APART = 17 * _LINE
"""Elements between two lists: at equal offsets in their pages, a store would delay the loads."""


def copy_loop(case: Case, buffers: SharedBuffers) -> Step:
    """Return a step that moves the bytes that a step of the rule has to move."""
    if buffers.device != "cpu":
        from .cuda import copy_step

        written = buffers.bytes - buffers.flat["grads"].nbytes
        return copy_step(buffers.bytes + written, buffers.device)
    # 16-bit floats as integers, which move the same bytes.
    arrays = [a.view(np.uint16) if a.itemsize == 2 else a for a in buffers.flat.values()]
    return _moving(arrays)


def move_lists(size: int, lists: int) -> Step:
    """Return a step on the CPU that reads float32 lists, and writes all but the second."""
    each = size + -size % _LINE + _APART
    memory = np.empty(lists * each + _LINE, np.float32)
    memory[:] = 0  # a list that is only read would else have one page of zeros, which stays cached
    first = -memory.ctypes.data // memory.itemsize % _LINE
    starts = range(first, first + lists * each, each)
    return _moving([memory[start : start + size] for start in starts])


def _moving(arrays: list[Any]) -> Step:
    zeros = [array.dtype.type(0) for array in arrays]
    move = _compiled(len(arrays))
    size = len(arrays[0])
    ends = np.minimum(np.arange(1, -(-size // PIECE) + 1) * PIECE, size)

    def work(first: int, last: int) -> None:
        move(*arrays, *zeros, first * PIECE, min(last * PIECE, size))

    return Step(lambda: for_each_share(work, ends))


@cache
def _compiled(lists: int) -> Any:
    try:
        import numba
    except ImportError as error:
        raise Unavailable(f"the copy loop needs Numba: {error}") from None
    names = [f"a{i}" for i in range(lists)]
    zeros = [f"zero{i}" for i in range(lists)]
    source = [
        f"def move({', '.join((*names, *zeros))}, first, last):",
        # From 0: Numba does not vectorize where an index might be negative.
        *(f"    {name} = {name}[first:last]" for name in names),
        "    for i in range(last - first):",
        "        a0[i] += zero1 * a1[i]",
        *(f"        {name}[i] += {zero}" for name, zero in zip(names[2:], zeros[2:])),
    ]
    namespace: dict[str, Any] = {}
    exec("\n".join(source), namespace)  # generated above
    return numba.njit(nogil=True)(namespace["move"])

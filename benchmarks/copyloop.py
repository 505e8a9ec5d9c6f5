"""A loop that only moves a step's bytes: what the machine's memory allows.

It reads every list and writes all but the gradients, in place, through the threads that a step
uses. Adding zero keeps the compiler from leaving anything out, and all values as they are.
"""

from __future__ import annotations

import importlib
from functools import cache
from typing import Any

import numpy as np
from gpuopt.kernels.threads import for_each_share

from .buffers import SharedBuffers
from .cases import Case
from .step import Step, Unavailable

PIECE = 1 << 14


def copy_loop(case: Case, buffers: SharedBuffers) -> Step:
    """Return a step that moves all bytes of ``buffers`` that a step of the rule has to move."""
    if buffers.device != "cpu":
        from .cuda import copy_step

        return copy_step(buffers)
    # 16-bit floats as whole numbers, which move the same bytes.
    arrays = [a.view(np.uint16) if a.itemsize == 2 else a for a in buffers.flat.values()]
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

        # LLVM's limit of run-time overlap tests is raised there; without, no vector code.
        importlib.import_module("gpuopt.kernels.numba.launch")
    except ImportError as error:
        raise Unavailable(f"the copy loop needs Numba: {error}") from None
    names = [f"a{i}" for i in range(lists)]
    zeros = [f"zero{i}" for i in range(lists)]
    source = [
        f"def move({', '.join((*names, *zeros))}, first, last):",
        # From 0: where an index might be negative, Numba's code is not vectorized.
        *(f"    {name} = {name}[first:last]" for name in names),
        "    for i in range(last - first):",
        "        a0[i] += zero1 * a1[i]",
        *(f"        {name}[i] += {zero}" for name, zero in zip(names[2:], zeros[2:])),
    ]
    namespace: dict[str, Any] = {}
    exec("\n".join(source), namespace)  # the text is our own, above
    return numba.njit(nogil=True)(namespace["move"])

"""A loop that only moves the bytes of a step: the machine's memory bandwidth.

It reads every list and writes all but the gradients, in place, on the threads that a step uses.
Adding zero changes no value, and the compiler cannot remove it. Before that, it may read some lists
once, like a pass that computes a rule's sums.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import cache
from typing import Any

import numpy as np
from gpuopt.kernels.threads import for_each_share

from .buffers import SharedBuffers
from .cases import Case
from .step import Step, Unavailable

PIECE = 1 << 14

_LINE = 16
"""Elements of a cache line."""

_APART = 17 * _LINE
"""Elements between two lists: at equal page offsets, stores would delay loads (4K aliasing)."""


def copy_loop(case: Case, buffers: SharedBuffers) -> Step:
    """Return a step that moves the bytes that a step of the rule has to move."""
    if buffers.device != "cpu":
        from .cuda import copy_step

        written = buffers.bytes - buffers.flat["grads"].nbytes
        return copy_step(buffers.bytes + written, buffers.device)
    # 16-bit floats as integers, which move the same bytes.
    arrays = [a.view(np.uint16) if a.itemsize == 2 else a for a in buffers.flat.values()]
    return _moving(arrays)


def move_lists(
    size: int,
    lists: int,
    kept: Collection[int] = (1,),
    first_read: Sequence[int] = (),
    moved: int | None = None,
) -> Step:
    """Return a step on the CPU that reads float32 lists, and writes all but those that are kept.

    Args:
        size: the size of each list.
        lists: the number of lists.
        kept: the lists that are only read; not the first.
        first_read: the lists that are read once before.
        moved: the number of lists that are moved, the first ones; others are only read before.
    """
    each = size + -size % _LINE + _APART
    memory = np.empty(lists * each + _LINE, np.float32)
    memory[:] = 0  # otherwise a list that is only read would map to one cached page of zeros
    first = -memory.ctypes.data // memory.itemsize % _LINE
    starts = range(first, first + lists * each, each)
    arrays = [memory[start : start + size] for start in starts]
    move = _moving(arrays[:moved], tuple(sorted(kept)))
    if not first_read:
        return move
    read = _reading([arrays[i] for i in first_read])
    return Step(lambda: (read.run(), move.run()))


def _reading(arrays: list[Any]) -> Step:
    """Return a step that reads arrays, as integers, since LLVM vectorizes their sums."""
    words = [array[: len(array) // 2 * 2].view(np.int64) for array in arrays]
    return _shared(_compiled_reads(len(words)), words, PIECE // 2)


def _moving(arrays: list[Any], kept: tuple[int, ...] = (1,)) -> Step:
    zeros = [array.dtype.type(0) for array in arrays]
    return _shared(_compiled(len(arrays), kept), [*arrays, *zeros], PIECE)


def _shared(function: Any, arguments: list[Any], piece: int) -> Step:
    """Return a step that calls a function on every piece of arrays, on all threads."""
    size = len(arguments[0])
    ends = np.minimum(np.arange(1, -(-size // piece) + 1) * piece, size)

    def work(first: int, last: int) -> None:
        function(*arguments, first * piece, min(last * piece, size))

    return Step(lambda: for_each_share(work, ends))


@cache
def _compiled(lists: int, kept: tuple[int, ...]) -> Any:
    names = [f"a{i}" for i in range(lists)]
    zeros = [f"zero{i}" for i in range(lists)]
    source = [
        f"def move({', '.join((*names, *zeros))}, first, last):",
        # From 0: Numba does not vectorize if an index might be negative.
        *(f"    {name} = {name}[first:last]" for name in names),
        "    for i in range(last - first):",
        f"        a0[i] += {' + '.join(f'zero{i} * a{i}[i]' for i in kept) or 'zero0'}",
        *(f"        a{i}[i] += zero{i}" for i in range(1, lists) if i not in kept),
    ]
    return _jitted(source, "move")


@cache
def _compiled_reads(lists: int) -> Any:
    names = [f"a{i}" for i in range(lists)]
    source = [
        f"def read({', '.join(names)}, first, last):",
        *(f"    {name} = {name}[first:last]" for name in names),
        "    total = 0",
        "    for i in range(last - first):",
        f"        total += {' + '.join(f'{name}[i]' for name in names)}",
        "    return total",
    ]
    return _jitted(source, "read")


def _jitted(source: list[str], name: str) -> Any:
    try:
        import numba
    except ImportError as error:
        raise Unavailable(f"the copy loop needs Numba: {error}; pip install numba") from None
    namespace: dict[str, Any] = {}
    exec("\n".join(source), namespace)  # generated above
    return numba.njit(nogil=True)(namespace[name])

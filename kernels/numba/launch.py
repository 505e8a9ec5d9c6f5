"""Update a table on the CPU: one compiled loop over chunks, on several threads.

Numba compiles the rule with ``np`` retargeted to operations that LLVM vectorizes. There is no
fast-math: the results have NumPy's bits.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import numba
import numpy as np
import numpy.typing as npt
from numba import types

from ..roundings import STREAM, STREAM_KEY
from ..storage import compute_dtype
from ..table import Update
from ..threads import for_each_share
from ..trace.retarget import retarget
from .maths import DECODE, ENCODE, LANES, LIBRARY, ROUNDINGS, STORED, fill, jit, pointer
from .sums import clear, fold, is_finite, put, take

CHUNK = 1 << 14
"""Elements of a chunk, small enough for a core's cache."""


@cache
def compile(update: Update, dtypes: tuple[str, ...]) -> Any:
    """Return the compiled loop over the chunks of a table."""
    compute = compute_dtype(dtypes[0])
    number = np.float64 if compute == "float64" else np.float32
    function = retarget(update.function, LIBRARY, jit, number, extra_globals=ROUNDINGS)
    names = {
        "numba": numba,
        "np": np,
        "pointer": pointer,
        "number": number,
        "update": function,
        "fill": fill,
        "fold": fold,
        "is_finite": is_finite,
        "clear": clear,
        "take": take,
        "put": put,
        **{dtype: getattr(types, stored) for dtype, stored in STORED.items()},
        **{f"decode_{dtype}": DECODE.get(dtype, number) for dtype in STORED},
        **{f"encode_{dtype}": ENCODE.get(dtype, getattr(np, dtype, None)) for dtype in STORED},
    }
    exec(walk_source(update, dtypes), names)  # generated below
    signature = types.void(
        types.int64[:, ::1],
        types.int64[::1],
        types.int32[:, ::1],
        getattr(types, compute)[:, ::1],
        types.float64[:, :, ::1],
        types.int64,
        types.int64,
    )
    return numba.njit(signature, error_model="numpy", nogil=True)(names["walk"])


def walk_source(update: Update, dtypes: tuple[str, ...]) -> str:
    """Return the Python source of the loop over chunks ``first`` to ``last``."""
    coefficients = [f"c{i}" for i in range(len(update.coefficient_names))]
    lines = [
        "def walk(addresses, sizes, chunks, coefficients, partials, first, last):",
        *(f"    {line}" for line in _scratch(update)),
        "    for k in range(first, last):",
        "        tensor = chunks[k, 0]",
        f"        begin = numba.int64(chunks[k, 1]) * {CHUNK}",
        f"        n = min({CHUNK}, sizes[tensor] - begin)",
        "        if addresses[1, tensor] == 0:",
        *["            partials[k] = 0.0"] * bool(update.watched_names),
        "            continue",
        *(f"        {c} = coefficients[tensor, {i}]" for i, c in enumerate(coefficients)),
        *(f"        {line}" for line in _walk(update, dtypes, coefficients)),
    ]
    return "\n".join(lines)


def _walk(update: Update, dtypes: tuple[str, ...], coefficients: list[str]) -> list[str]:
    """Return the loop over a chunk; in blocks of `LANES` for partials or random words."""
    used = sorted({*update.read, *update.written})
    seen = range(len(update.watched_names))
    if not seen and not update.random_streams:
        return [*_arrays(used, dtypes, "begin", "n"), *_loop(update, dtypes, coefficients, "n")]
    if update.wants_sums:
        return _sums(update, dtypes)
    own = dict(zip(update.coefficient_names, coefficients))
    lanes = [f"sums{i}, largest{i}, others{i}" for i in seen]
    return [
        *(f"clear({lanes[i]})" for i in seen),
        f"for start in range(0, n, {LANES}):",
        f"    m = min({LANES}, n - start)",
        *(f"    {a}" for a in _arrays(used, dtypes, "begin + start", "m")),
        *(f"    fill(words{k}, begin + start, {_key(own, k)})" for k in update.random_streams),
        *(f"    {line}" for line in _loop(update, dtypes, coefficients, "m")),
        *(f"    take(seen{i}, m, {lanes[i]})" for i in seen),
        *(f"put(partials[k, {i}], {lanes[i]})" for i in seen),
    ]


def _sums(update: Update, dtypes: tuple[str, ...]) -> list[str]:
    """Return a loop that adds squares; it counts non-finite values only if the sum is one."""
    (row,) = update.read
    value = f"number(decode_{dtypes[row]}(a{row}[i]))"
    return [
        f"for j in range({LANES}):",
        "    sums0[j] = 0.0",
        f"for start in range(0, n, {LANES}):",
        f"    m = min({LANES}, n - start)",
        *(f"    {a}" for a in _arrays([row], dtypes, "begin + start", "m")),
        "    for i in range(m):",
        f"        wide = np.float64({value})",
        "        sums0[i] += wide * wide",
        "fold(sums0)",
        "partials[k, 0, 0], partials[k, 0, 2] = sums0[0], 0.0",
        "if not is_finite(sums0[0]):",
        *(f"    {a}" for a in _arrays([row], dtypes, "begin", "n")),
        "    for i in range(n):",
        f"        partials[k, 0, 2] += 0.0 if is_finite({value}) else 1.0",
    ]


def _loop(
    update: Update, dtypes: tuple[str, ...], coefficients: list[str], count: str
) -> list[str]:
    decoded = [f"number(decode_{dtypes[i]}(a{i}[i]))" for i in update.read]
    words = [f"words{k}[i]" for k in update.random_streams]
    seen = range(len(update.watched_names))
    results = "".join([*(f"r{i}, " for i in update.written), *(f"x{i}, " for i in seen)])
    return [
        f"for i in range({count}):",
        f"    ({results}) = update({', '.join([*decoded, *words, *coefficients])})",
        *(f"    a{i}[i] = encode_{dtypes[i]}(r{i})" for i in update.written),
        *(f"    seen{i}[i] = x{i}" for i in seen),
    ]


def _key(coefficients: Mapping[str, str], stream: int) -> str:
    """Return the arguments of `fill` that select the random words of a stream."""
    high, *rest = (coefficients[name] for name in STREAM_KEY)
    return ", ".join([f"{high} + {stream * STREAM}", *rest])


def _arrays(rows: list[int], dtypes: tuple[str, ...], begin: str, n: str) -> list[str]:
    """Return lines that create arrays of ``n`` elements of a tensor, from element ``begin``.

    The loops count from 0: LLVM cannot prove that an index ``begin + i`` is not negative.
    """
    return [
        f"a{i} = numba.carray("
        f"pointer(addresses[{i}, tensor] + ({begin}) * {_itemsize(dtypes[i])}, {dtypes[i]}), {n})"
        for i in rows
    ]


def _scratch(update: Update) -> list[str]:
    """Return lines that allocate a thread's buffers for random words and partials."""
    names = {"seen": "number", "sums": "np.float64", "largest": "number", "others": "np.float32"}
    if update.wants_sums:
        return [f"sums0 = np.empty({LANES}, np.float64)"]
    words = [f"words{k} = np.empty({LANES}, np.uint32)" for k in update.random_streams]
    return words + [
        f"{name}{i} = np.empty({LANES}, {dtype})"
        for i in range(len(update.watched_names))
        for name, dtype in names.items()
    ]


def _itemsize(dtype: str) -> int:
    return int(np.dtype(STORED[dtype]).itemsize)


def run(
    update: Update,
    dtypes: tuple[str, ...],
    addresses: npt.NDArray[np.int64],
    sizes: npt.NDArray[np.int64],
    chunks: npt.NDArray[np.int32],
    coefficients: npt.NDArray[Any],
    ends: npt.NDArray[np.int64],
    partials: npt.NDArray[np.float64],
) -> None:
    """Update every tensor of a table.

    Args:
        update: the composed update.
        dtypes: of each list.
        addresses: one row per list, one column per tensor; a tensor whose gradient is at 0 is
            inactive and stays unchanged.
        sizes: elements of each tensor.
        chunks: (tensor, chunk of that tensor), ordered by tensor.
        coefficients: one row per tensor, in the compute dtype.
        ends: the cumulative elements of the chunks, to split them into equal shares.
        partials: the output, a row of `kernels.table.PARTIALS` for each chunk and watched value; 0
            for an inactive tensor.
    """
    kernel = compile(update, dtypes)
    for_each_share(
        lambda first, last: kernel(addresses, sizes, chunks, coefficients, partials, first, last),
        ends,
    )

"""The table walked on the CPU: one compiled loop over chunks, shared out to threads.

Numba compiles the rule itself, with ``np`` pointed at operations that LLVM turns into vector
instructions. No fast-math: the results are NumPy's, bit for bit.
"""

from __future__ import annotations

from functools import cache
from types import ModuleType
from typing import Any

import numba
import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from .retarget import retarget
from .roundings import ROUNDS
from .storage import compute_dtype
from .table import Update
from .threads import for_each_share

CHUNK = 1 << 14
"""Elements of a chunk: the grain of sharing; it stays in a core's cache."""

LANES = 256
"""Elements that are summed side by side: lane j has every 256th element of a chunk, from the
j-th on, and at the end the lanes are added in pairs. So nothing depends on a machine's vectors."""

if numba.config.DISABLE_JIT:
    raise ImportError("NUMBA_DISABLE_JIT is set")


# --- what LLVM is to see -------------------------------------------------------------------


@intrinsic
def pointer(typing: Any, address: Any, dtype: Any) -> Any:
    """An integer address as a pointer to elements of ``dtype``."""
    signature = types.CPointer(dtype.dtype)(types.int64, dtype)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.inttoptr(args[0], context.get_value_type(signature.return_type))

    return signature, codegen


@intrinsic
def where(typing: Any, condition: Any, a: Any, b: Any) -> Any:
    """A select, not a branch: branches keep LLVM from vectorizing."""
    if a != b:
        return None
    signature = a(types.boolean, a, a)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        condition = builder.icmp_unsigned("!=", args[0], ir.Constant(args[0].type, 0))
        return builder.select(condition, args[1], args[2])

    return signature, codegen


def _half(to_float: bool) -> Any:
    @intrinsic
    def convert(typing: Any, value: Any) -> Any:
        source, target = (types.uint16, types.float32)[:: 1 if to_float else -1]

        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            half, bits = ir.HalfType(), ir.IntType(16)
            if to_float:
                return builder.fpext(builder.bitcast(args[0], half), ir.FloatType())
            return builder.bitcast(builder.fptrunc(args[0], half), bits)

        return target(source), codegen

    return convert


_jit = numba.njit(error_model="numpy", nogil=True)


@_jit
def _divide(a: Any, b: Any) -> Any:
    return a / b


@_jit
def _maximum(a: Any, b: Any) -> Any:
    return where((a > b) | (a != a), a, b)  # b where they are equal, as NumPy on x86


@_jit
def _minimum(a: Any, b: Any) -> Any:
    return where((a < b) | (a != a), a, b)


@_jit
def _decode_bfloat16(bits: Any) -> Any:
    return np.uint32(np.uint32(bits) << np.uint32(16)).view(np.float32)  # the shift widens


@_jit
def _encode_bfloat16(value: Any) -> Any:
    bits = np.float32(value).view(np.uint32)
    odd = (bits >> np.uint32(16)) & np.uint32(1)
    rounded = np.uint32(np.uint32(bits + np.uint32(0x7FFF)) + odd) >> np.uint32(16)
    return np.uint16(where(value == value, np.uint32(rounded), np.uint32(0x7FC0)))


_decode_half, _encode_half = _half(True), _half(False)


@_jit
def _encode_float16(value: Any) -> Any:
    return _encode_half(np.float32(value))


@_jit
def _round_bfloat16(x: Any) -> Any:
    return _decode_bfloat16(_encode_bfloat16(x))


@_jit
def _round_float16(x: Any) -> Any:
    return _decode_half(_encode_float16(x))


@_jit
def _whole(high: Any, low: Any) -> Any:
    return np.int64(high) * np.int64(65536) + np.int64(low)


@_jit
def _stochastic_bfloat16(
    x: Any, word: Any, seed_high: Any, seed_low: Any, step_high: Any, step_low: Any
) -> Any:
    """What the rule calls; in place of the element's place it is given its random word."""
    bits = np.uint32(np.float32(x).view(np.uint32) + np.uint32(word & np.uint32(0xFFFF)))
    return where(x == x, np.uint32(bits & np.uint32(0xFFFF0000)).view(np.float32), x)


@_jit
def _fill(
    words: Any, begin: Any, seed_high: Any, seed_low: Any, step_high: Any, step_low: Any
) -> None:
    """Write kernels.roundings.random_bits of `LANES` elements, from one at a multiple of 4 on."""
    seed = np.uint64(_whole(seed_high, seed_low))
    step = np.uint64(_whole(step_high, step_low))
    mask, shift = np.uint64(0xFFFFFFFF), np.uint64(32)
    for i in range(LANES // 4):
        block = np.uint64(begin // 4) + np.uint64(i)
        c0, c1, c2, c3 = block & mask, block >> shift, step & mask, step >> shift
        k0, k1 = seed & mask, seed >> shift
        for _ in range(ROUNDS):
            a, b = np.uint64(0xD2511F53) * c0, np.uint64(0xCD9E8D57) * c2
            c0, c1, c2, c3 = (b >> shift) ^ c1 ^ k0, b & mask, (a >> shift) ^ c3 ^ k1, a & mask
            k0, k1 = (k0 + np.uint64(0x9E3779B9)) & mask, (k1 + np.uint64(0xBB67AE85)) & mask
        words[4 * i], words[4 * i + 1] = np.uint32(c0), np.uint32(c1)
        words[4 * i + 2], words[4 * i + 3] = np.uint32(c2), np.uint32(c3)


LIBRARY = ModuleType("numba_maths")
"""What ``np`` is inside a rule."""
vars(LIBRARY).update(
    divide=_divide, sqrt=np.sqrt, abs=np.abs, maximum=_maximum, minimum=_minimum, where=where
)

_STORED = {"float64": "float64", "float32": "float32", "float16": "uint16", "bfloat16": "uint16"}
_DECODE = {"float16": _decode_half, "bfloat16": _decode_bfloat16}
_ENCODE = {"float16": _encode_float16, "bfloat16": _encode_bfloat16}


_ROUNDINGS = {
    "round_bfloat16": _round_bfloat16,
    "round_float16": _round_float16,
    "stochastic_bfloat16": _stochastic_bfloat16,
}


# --- sums and maxima -------------------------------------------------------------------------


@_jit
def _clear(sums: Any, largest: Any, others: Any) -> None:
    for j in range(LANES):
        sums[j], largest[j], others[j] = 0, 0, 0


@_jit
def _take(seen: Any, n: Any, sums: Any, largest: Any, others: Any) -> None:
    """Add up to `LANES` values, each to the lane of its place."""
    for j in range(n):
        x = seen[j]
        wide = np.float64(x)
        sums[j] += wide * wide
        largest[j] = where(np.abs(x) > largest[j], np.abs(x), largest[j])
        others[j] += where(x - x == x - x, np.float32(0.0), np.float32(1.0))


@_jit
def _is_finite(x: Any) -> Any:
    return x - x == x - x


@_jit
def _fold(sums: Any) -> None:
    """Add the lanes in pairs, into the first."""
    half = LANES // 2
    while half:
        for j in range(half):
            sums[j] += sums[j + half]
        half //= 2


@_jit
def _put(partials: Any, sums: Any, largest: Any, others: Any) -> None:
    """Write the partials of a chunk, as kernels.table.PARTIALS says."""
    _fold(sums)
    half = LANES // 2
    while half:
        for j in range(half):
            others[j] += others[j + half]
            largest[j] = where(largest[j] > largest[j + half], largest[j], largest[j + half])
        half //= 2
    partials[0], partials[1], partials[2] = sums[0], largest[0], others[0]


# --- the kernel ----------------------------------------------------------------------------


@cache
def compile(update: Update, dtypes: tuple[str, ...]) -> Any:
    """Compile the walk over the table for one update and one dtype of each list."""
    compute = compute_dtype(dtypes[0])
    number = np.float64 if compute == "float64" else np.float32
    function = retarget(update.function, LIBRARY, _jit, number, extra_globals=_ROUNDINGS)
    names = {
        "numba": numba,
        "np": np,
        "pointer": pointer,
        "number": number,
        "update": function,
        "fill": _fill,
        "fold": _fold,
        "is_finite": _is_finite,
        "clear": _clear,
        "take": _take,
        "put": _put,
        **{dtype: getattr(types, stored) for dtype, stored in _STORED.items()},
        **{f"decode_{dtype}": _DECODE.get(dtype, number) for dtype in _STORED},
        **{f"encode_{dtype}": _ENCODE.get(dtype, getattr(np, dtype, None)) for dtype in _STORED},
    }
    exec(walk_source(update, dtypes), names)  # the text is our own, below
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
    """Return the Python text of the loop over chunks ``first`` to ``last``."""
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
    """Return the loop over the elements of a chunk; in blocks, where more is done with each."""
    used = sorted({*update.read, *update.written})
    seen = range(len(update.watched_names))
    if not seen and not update.counts_elements:
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
        *[f"    fill(words, begin + start, {', '.join(own[c] for c in _NOISE if c in own)})"]
        * update.counts_elements,
        *(f"    {line}" for line in _loop(update, dtypes, coefficients, "m")),
        *(f"    take(seen{i}, m, {lanes[i]})" for i in seen),
        *(f"put(partials[k, {i}], {lanes[i]})" for i in seen),
    ]


def _sums(update: Update, dtypes: tuple[str, ...]) -> list[str]:
    """Return the loop that only adds squares, and counts only where their sum is not finite."""
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
    words = ["words[i]"] * update.counts_elements
    seen = range(len(update.watched_names))
    results = "".join([*(f"r{i}, " for i in update.written), *(f"x{i}, " for i in seen)])
    return [
        f"for i in range({count}):",
        f"    ({results}) = update({', '.join([*decoded, *words, *coefficients])})",
        *(f"    a{i}[i] = encode_{dtypes[i]}(r{i})" for i in update.written),
        *(f"    seen{i}[i] = x{i}" for i in seen),
    ]


_NOISE = ("seed_high", "seed_low", "step_high", "step_low")
"""The coefficients that the random words of an update come from."""


def _arrays(rows: list[int], dtypes: tuple[str, ...], begin: str, n: str) -> list[str]:
    """Return what makes arrays of ``n`` elements of a tensor, from one on.

    Each loop counts from 0: of an index that is a sum LLVM would not know that it is positive.
    """
    return [
        f"a{i} = numba.carray("
        f"pointer(addresses[{i}, tensor] + ({begin}) * {_itemsize(dtypes[i])}, {dtypes[i]}), {n})"
        for i in rows
    ]


def _scratch(update: Update) -> list[str]:
    """Return what a thread needs for random words, sums and maxima."""
    names = {"seen": "number", "sums": "np.float64", "largest": "number", "others": "np.float32"}
    if update.wants_sums:
        return [f"sums0 = np.empty({LANES}, np.float64)"]
    words = [f"words = np.empty({LANES}, np.uint32)"] * update.counts_elements
    return words + [
        f"{name}{i} = np.empty({LANES}, {dtype})"
        for i in range(len(update.watched_names))
        for name, dtype in names.items()
    ]


def _itemsize(dtype: str) -> int:
    return int(np.dtype(_STORED[dtype]).itemsize)


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
        addresses: one row a list, one column a tensor; a gradient at 0 is none: that tensor
            rests.
        sizes: elements of each tensor.
        chunks: (tensor, chunk of that tensor), the tensors in order.
        coefficients: one row a tensor, in the dtype that the rule computes in.
        ends: elements up to the end of each chunk, for equal shares.
        partials: for each chunk and each thing that is watched a row as
            `kernels.table.PARTIALS` says; written, 0 where the tensor rests.
    """
    kernel = compile(update, dtypes)
    for_each_share(
        lambda first, last: kernel(addresses, sizes, chunks, coefficients, partials, first, last),
        ends,
    )

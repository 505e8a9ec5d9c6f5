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
from .storage import compute_dtype
from .table import Update
from .threads import for_each_share

CHUNK = 1 << 14
"""Elements of a chunk: the grain of sharing; it stays in a core's cache."""

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


LIBRARY = ModuleType("numba_maths")
"""What ``np`` is inside a rule."""
vars(LIBRARY).update(
    divide=_divide, sqrt=np.sqrt, abs=np.abs, maximum=_maximum, minimum=_minimum, where=where
)

_STORED = {"float64": "float64", "float32": "float32", "float16": "uint16", "bfloat16": "uint16"}
_DECODE = {"float16": _decode_half, "bfloat16": _decode_bfloat16}
_ENCODE = {"float16": _encode_float16, "bfloat16": _encode_bfloat16}


# --- the kernel ----------------------------------------------------------------------------


@cache
def compile(update: Update, dtypes: tuple[str, ...]) -> Any:
    """Compile the walk over the table for one update and one dtype of each list."""
    compute = compute_dtype(dtypes[0])
    number = np.float64 if compute == "float64" else np.float32
    names = {
        "numba": numba,
        "pointer": pointer,
        "number": number,
        "update": retarget(update.function, LIBRARY, _jit, number),
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
        types.int64,
        types.int64,
    )
    return numba.njit(signature, error_model="numpy", nogil=True)(names["walk"])


def walk_source(update: Update, dtypes: tuple[str, ...]) -> str:
    """Return the Python text of the loop over chunks ``first`` to ``last``."""
    rows = range(len(dtypes))
    sizes = [_itemsize(dtype) for dtype in dtypes]
    coefficients = [f"c{i}" for i in range(len(update.coefficient_names))]
    decoded = [f"number(decode_{dtype}(a{i}[i]))" for i, dtype in enumerate(dtypes)]
    values = ", ".join([*decoded, *coefficients])
    results = "".join(f"r{i}, " for i in update.written)
    lines = [
        "def walk(addresses, sizes, chunks, coefficients, first, last):",
        "    for k in range(first, last):",
        "        tensor = chunks[k, 0]",
        f"        begin = numba.int64(chunks[k, 1]) * {CHUNK}",
        f"        n = min({CHUNK}, sizes[tensor] - begin)",
        "        if addresses[1, tensor] == 0:",
        "            continue",
        *(
            f"        a{i} = numba.carray("
            f"pointer(addresses[{i}, tensor] + begin * {sizes[i]}, {dtypes[i]}), n)"
            for i in rows
        ),
        *(f"        {c} = coefficients[tensor, {i}]" for i, c in enumerate(coefficients)),
        "        for i in range(n):",
        f"            ({results}) = update({values})",
        *(f"            a{i}[i] = encode_{dtypes[i]}(r{i})" for i in update.written),
    ]
    return "\n".join(lines)


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
    """
    kernel = compile(update, dtypes)
    for_each_share(
        lambda first, last: kernel(addresses, sizes, chunks, coefficients, first, last),
        ends,
    )

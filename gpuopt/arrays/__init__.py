"""Access to the arrays of every library: device, address, dtype, strides; copies and fills.

NumPy arrays, torch tensors, CuPy arrays and others that support DLPack are described without a
copy. Libraries are recognised through ``sys.modules``, never imported to check.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .cupy_arrays import CUPY
from .foreign import FOREIGN, exports_copies, sharing, supports_exchange
from .library import Library
from .memory import FLOATS, Memory
from .numpy_arrays import NUMPY
from .recognised import is_cupy_array, is_torch_tensor
from .torch_tensors import TORCH, LazyError, is_lazy, resolved, without_lazy_bits

__all__ = [
    "FLOATS",
    "LazyError",
    "Memory",
    "assign",
    "copy_as",
    "copy_into",
    "describe",
    "describe_state",
    "exports_copies",
    "fill",
    "is_cupy_array",
    "is_lazy",
    "is_torch_tensor",
    "mark_written",
    "resolved",
    "to_numpy",
    "without_lazy_bits",
    "zeros",
    "zeros_like",
]


def describe(array: Any, name: str) -> Memory:
    """Return the memory of ``array``.

    Args:
        array: a NumPy array, a torch tensor, a CuPy array, or any array that supports DLPack or
            ``__cuda_array_interface__``.
        name: its name in error messages, such as ``"params[0]"``.

    Raises:
        TypeError: it is not such an array, or its dtype is not in `FLOATS`.
        ValueError: its strides are not multiples of its element size.
    """
    memory = describe_state(array, name)
    if memory.dtype not in FLOATS:
        raise TypeError(f"{name}: expected one of {', '.join(FLOATS)}, got {array.dtype!r}")
    return memory


def describe_state(array: Any, name: str) -> Memory:
    """Return the memory of an array that may hold a state, and so may have an integer dtype."""
    return _library_of(array, name).describe(array, name)


def zeros_like(array: Any, dtype: str, fill: float = 0.0) -> Any:
    """Return a new array with this dtype, and the same library, device, shape and memory order."""
    return _library_of(array, "array").full_like(array, dtype, fill)


def zeros(array: Any, count: int) -> Any:
    """Return a new float32 array of ``count`` zeros, with the library and device of ``array``."""
    return _library_of(array, "array").zeros(array, count)


def copy_as(array: Any, dtype: str) -> Any:
    """Return a copy with this dtype, and the same library, device and memory order."""
    known = sharing(array) if _library_of(array, "array") is FOREIGN else array
    made = zeros_like(known, dtype)
    if isinstance(made, np.ndarray):
        made[...] = known
    else:
        _library_of(made, "array").assign(made, known)
    return made


def to_numpy(array: Any) -> npt.NDArray[Any]:
    """Return a copy of ``array`` on the host, in C order (bfloat16 as uint16)."""
    host = _library_of(array, "array").on_host(array)
    return np.array(describe_state(host, "array").view, order="C", copy=True)


def copy_into(array: Any, values: npt.NDArray[Any]) -> None:
    """Copy ``values``, of equal shape and storage dtype, into ``array``."""
    host = _library_of(array, "array").on_host(array)
    describe_state(host, "array").view[...] = values
    if host is not array:
        assign(array, host)


def assign(target: Any, source: Any) -> None:
    """Copy between arrays of equal shape, dtype and device, of any library and memory order."""
    into, of = describe_state(target, "array"), describe_state(source, "array")
    if into.device == of.device == "cpu":
        into.view[...] = of.view
        return
    known = sharing(source) if _library_of(source, "array") is FOREIGN else source
    if into.library != of.library and of.device != "cpu":
        known = sys.modules[into.library].from_dlpack(known)
    _library_of(target, "array").assign(target, known)


def fill(array: Any, number: float) -> None:
    """Set every element of an array's memory to a number."""
    plain = without_lazy_bits(array)
    memory = describe(plain, "array")
    if memory.device == "cpu":
        memory.view[...] = number  # bfloat16 is viewed as uint16: only 0 has the same bits
    else:
        assign(plain, zeros_like(plain, memory.dtype, number))


def mark_written(tensors: Sequence[Any]) -> None:
    """Increment the version counters of torch tensors, so that autograd notices the change."""
    if tensors:
        sys.modules["torch"].autograd.graph.increment_version(tensors)


def _library_of(array: Any, name: str) -> Library:
    if isinstance(array, np.ndarray):
        return NUMPY
    if is_torch_tensor(array):
        return TORCH
    if is_cupy_array(array):
        return CUPY
    if supports_exchange(array):
        return FOREIGN
    raise TypeError(
        f"{name}: expected a NumPy array, a torch tensor, a CuPy array or an array that speaks "
        f"DLPack, got {type(array).__name__}"
    )

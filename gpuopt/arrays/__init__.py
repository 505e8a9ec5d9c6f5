"""What gpuopt asks of an array: device, address, dtype and memory order.

NumPy arrays, torch tensors, CuPy arrays and others that speak DLPack are described without a
copy. Libraries are recognised through ``sys.modules`` and never imported to look.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .cupy_arrays import CUPY
from .foreign import FOREIGN, sharing, speaks
from .library import Library
from .memory import FLOATS, Memory
from .numpy_arrays import NUMPY
from .recognised import is_cupys, is_torchs
from .torch_tensors import TORCH, LazyError, bare, is_lazy, resolved

__all__ = [
    "FLOATS",
    "LazyError",
    "Memory",
    "assign",
    "bare",
    "copy_as",
    "copy_into",
    "describe",
    "fill",
    "is_cupys",
    "is_lazy",
    "is_torchs",
    "mark_written",
    "resolved",
    "to_numpy",
    "zeros_like",
]


def describe(array: Any, name: str) -> Memory:
    """Return where ``array`` lies.

    Args:
        array: a NumPy array, a torch tensor, a CuPy array, or an array that speaks DLPack or
            has a ``__cuda_array_interface__``.
        name: what an error calls it, such as ``"params[0]"``.

    Raises:
        TypeError: it is no such array, or its elements are not floats of a known kind.
    """
    return _library_of(array, name).describe(array, name)


def zeros_like(array: Any, dtype: str, fill: float = 0.0) -> Any:
    """Return a new array of the same library, device, shape and memory order."""
    return _library_of(array, "array").full_like(array, dtype, fill)


def copy_as(array: Any, dtype: str) -> Any:
    """Return a copy of the same library, device and memory order, in a dtype."""
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
    return np.array(describe(host, "array").view, order="C", copy=True)


def copy_into(array: Any, values: npt.NDArray[Any]) -> None:
    """Write ``values``, of the shape and storage dtype of ``array``, into it."""
    host = _library_of(array, "array").on_host(array)
    describe(host, "array").view[...] = values
    if host is not array:
        assign(array, host)


def assign(target: Any, source: Any) -> None:
    """Copy between arrays of one shape, dtype and device, of any library and memory order."""
    into, of = describe(target, "array"), describe(source, "array")
    if into.device == of.device == "cpu":
        into.view[...] = of.view
        return
    known = sharing(source) if _library_of(source, "array") is FOREIGN else source
    if into.library != of.library and of.device != "cpu":
        known = sys.modules[into.library].from_dlpack(known)
    _library_of(target, "array").assign(target, known)


def fill(array: Any, number: float) -> None:
    """Write a number over every element of an array's memory."""
    plain = bare(array)
    memory = describe(plain, "array")
    if memory.device == "cpu":
        memory.view[...] = number  # the bits of 0 are those of every dtype's 0
    else:
        assign(plain, zeros_like(plain, memory.dtype, number))


def mark_written(tensors: Sequence[Any]) -> None:
    """Tell autograd that these torch tensors changed (their version counters)."""
    if tensors:
        sys.modules["torch"].autograd.graph.increment_version(tensors)


def _library_of(array: Any, name: str) -> Library:
    if isinstance(array, np.ndarray):
        return NUMPY
    if is_torchs(array):
        return TORCH
    if is_cupys(array):
        return CUPY
    if speaks(array):
        return FOREIGN
    raise TypeError(
        f"{name}: expected a NumPy array, a torch tensor, a CuPy array or an array that speaks "
        f"DLPack, got {type(array).__name__}"
    )

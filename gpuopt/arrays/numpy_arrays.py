"""NumPy arrays, with ml_dtypes' bfloat16."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .library import Library
from .memory import FLOATS, STORED, Memory

_NUMPY_NAMES = {np.dtype(name): name for name in ("float64", "float32", "float16")}


def _describe(array: npt.NDArray[Any], name: str) -> Memory:
    if isinstance(array, np.ma.MaskedArray):
        raise TypeError(f"{name}: expected a plain array, got a masked array")
    dtype = _NUMPY_NAMES.get(array.dtype) or array.dtype.name
    if dtype not in STORED or not array.dtype.isnative:
        raise TypeError(f"{name}: expected one of {', '.join(FLOATS)}, got {array.dtype!r}")
    interface = array.__array_interface__
    itemsize = array.itemsize
    if any(stride % itemsize for stride in array.strides):
        raise ValueError(f"{name}: strides {array.strides} are not multiples of {itemsize} bytes")
    return Memory(
        "cpu",
        interface["data"][0],
        dtype,
        array.shape,
        tuple(stride // itemsize for stride in array.strides),
        array.flags.writeable,
    )


def numpy_dtype(dtype: str) -> np.dtype[Any]:
    """Return the NumPy dtype of a name; bfloat16 needs ml_dtypes."""
    if dtype != "bfloat16":
        return np.dtype(dtype)
    try:
        import ml_dtypes
    except ImportError:
        raise TypeError(
            "bfloat16 in NumPy needs the package ml_dtypes: pip install ml_dtypes"
        ) from None
    made: np.dtype[Any] = np.dtype(ml_dtypes.bfloat16)
    return made


def _full_like(array: npt.NDArray[Any], dtype: str, fill: float) -> npt.NDArray[Any]:
    made = np.zeros_like(array, dtype=numpy_dtype(dtype), order="K", subok=False)
    if fill:
        made[...] = fill
    return made


def _zeros(array: npt.NDArray[Any], count: int) -> npt.NDArray[np.float32]:
    return np.zeros(count, np.float32)


def _assign(target: npt.NDArray[Any], source: npt.NDArray[Any]) -> None:
    _describe(target, "array").view[...] = _describe(source, "array").view


NUMPY = Library(_describe, _full_like, _zeros, lambda array: array, _assign)

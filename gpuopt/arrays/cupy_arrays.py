"""CuPy arrays."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from .library import Library
from .memory import FLOATS, STORED, Memory
from .numpy_arrays import numpy_dtype


def _describe(array: Any, name: str) -> Memory:
    dtype, itemsize = array.dtype.name, array.itemsize
    if dtype not in STORED:
        raise TypeError(f"{name}: expected one of {', '.join(FLOATS)}, got {array.dtype!r}")
    if any(stride % itemsize for stride in array.strides):
        raise ValueError(f"{name}: strides {array.strides} are not multiples of {itemsize} bytes")
    strides = tuple(stride // itemsize for stride in array.strides)
    device = f"cuda:{array.device.id}"
    return Memory(device, array.data.ptr, dtype, tuple(array.shape), strides, True, "cupy")


def _full_like(array: Any, dtype: str, fill: float) -> Any:
    with array.device:
        made = sys.modules["cupy"].zeros_like(array, dtype=numpy_dtype(dtype), order="K")
        if fill:
            made.fill(fill)
    return made


def _zeros(array: Any, count: int) -> Any:
    with array.device:
        return sys.modules["cupy"].zeros(count, np.float32)


def _on_host(array: Any) -> Any:
    with array.device:
        return sys.modules["cupy"].asnumpy(array)


def _assign(target: Any, source: Any) -> None:
    with target.device:
        target[...] = sys.modules["cupy"].asarray(source)


CUPY = Library(_describe, _full_like, _zeros, _on_host, _assign)

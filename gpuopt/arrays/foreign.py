"""Arrays of any other library, through DLPack or ``__cuda_array_interface__``.

On the CPU, NumPy shares their memory; on a CUDA device, CuPy or torch, whichever is installed.
The sharing library also allocates the states.
"""

from __future__ import annotations

import ctypes
import importlib
import sys
from dataclasses import replace
from types import ModuleType
from typing import Any

import numpy as np

from .cupy_arrays import CUPY
from .library import Library
from .memory import Memory
from .numpy_arrays import NUMPY
from .torch_tensors import TORCH

_IMMUTABLE = ("jax", "jaxlib", "tensorflow")  # not all of them export the read-only flag

_CPU, _CUDA = 1, 2  # DLPack's device types


def supports_exchange(array: Any) -> bool:
    """Return whether an array supports one of the two protocols."""
    return _supports_dlpack(array) or hasattr(array, "__cuda_array_interface__")


def _supports_dlpack(array: Any) -> bool:
    return hasattr(array, "__dlpack__") and hasattr(array, "__dlpack_device__")


def _shared(array: Any, name: str) -> tuple[Library, Any]:
    """Return an array of a known library that shares the memory, and the library."""
    kind = array.__dlpack_device__()[0] if _supports_dlpack(array) else _CUDA
    if kind not in (_CPU, _CUDA):
        raise TypeError(
            f"{name}: {type(array).__name__} is on a device that is neither the CPU nor CUDA"
        )
    library, module = _library_on_cuda(array, name) if kind == _CUDA else (NUMPY, np)
    try:
        if _supports_dlpack(array):
            return library, module.from_dlpack(array)
        return library, _through_interface(array, library, module)
    except Exception as error:  # without such a device, libraries raise different errors
        raise TypeError(f"{name}: {module.__name__} cannot share this array: {error}") from error


def _through_interface(array: Any, library: Library, module: ModuleType) -> Any:
    """Return an array that shares the memory of ``__cuda_array_interface__``; never a copy."""
    address = array.__cuda_array_interface__["data"][0]
    if library is CUPY:
        number = module.cuda.runtime.pointerGetAttributes(address).device if address else 0
        with module.cuda.Device(number):  # with another current device, CuPy would copy
            shared = module.asarray(array)
    else:
        shared = module.as_tensor(array)
    if library.describe(shared, "array").address != address:
        raise RuntimeError("it makes a copy")
    return shared


def sharing(array: Any) -> Any:
    """Return an array of a known library that shares the memory."""
    return _shared(array, "array")[1]


def _library_on_cuda(array: Any, name: str) -> tuple[Library, ModuleType]:
    known = {"cupy": CUPY, "torch": TORCH}
    for module in sorted(known, key=lambda m: m not in sys.modules):  # imported libraries first
        try:
            return known[module], importlib.import_module(module)
        except ImportError:
            continue
    raise TypeError(f"{name}: {type(array).__name__} is on CUDA, which needs CuPy or torch")


def _describe_foreign(array: Any, name: str) -> Memory:
    library, shared = _shared(array, name)
    memory = library.describe(shared, name)
    return replace(memory, writable=_writable(array, memory), owner=shared)


def exports_copies(array: Any, memory: Memory) -> bool:
    """Return whether an array exports a new copy each time, so that writes would be lost.

    Args:
        array: an array of any library.
        memory: the memory of the array, as it was described.
    """
    if memory.owner is None or memory.size == 0:
        return False
    library, again = _shared(array, "array")
    return library.describe(again, "array").address != memory.address


def _writable(array: Any, memory: Memory) -> bool:
    if type(array).__module__.partition(".")[0] in _IMMUTABLE:
        return False
    if not _supports_dlpack(array):
        return not array.__cuda_array_interface__["data"][1]
    return memory.writable or not _has_read_only_flag(array)


def _has_read_only_flag(array: Any) -> bool:
    """Return whether the exporter's DLPack version has a read-only flag.

    NumPy also marks arrays from exporters without the flag (DLPack before 1.0) as read-only; only
    the capsule's name distinguishes the two.
    """
    try:
        capsule = array.__dlpack__(max_version=(1, 0))
    except TypeError:
        return False
    name = ctypes.pythonapi.PyCapsule_IsValid
    name.argtypes = [ctypes.py_object, ctypes.c_char_p]
    return bool(name(capsule, b"dltensor_versioned"))


def _full_like(array: Any, dtype: str, fill: float) -> Any:
    library, shared = _shared(array, "array")
    return library.full_like(shared, dtype, fill)


def _zeros(array: Any, count: int) -> Any:
    library, shared = _shared(array, "array")
    return library.zeros(shared, count)


def _on_host(array: Any) -> Any:
    library, shared = _shared(array, "array")
    return array if library is NUMPY else library.on_host(shared)


def _assign(target: Any, source: Any) -> None:
    library, shared = _shared(target, "array")
    library.assign(shared, source)


FOREIGN = Library(_describe_foreign, _full_like, _zeros, _on_host, _assign)

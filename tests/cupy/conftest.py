"""CuPy's own arrays without a GPU: over the host's memory."""

from dataclasses import replace

import numpy as np
import pytest

from gpuopt import arrays
from gpuopt.arrays.numpy_arrays import numpy_dtype
from gpuopt.engine.dispatch import BACKENDS
from tests.helpers import simulated_cupy

cupy = pytest.importorskip("cupy")


def over(host, device=0):
    """A CuPy array that says it lies on a device, at the address of a NumPy array."""
    owner = host if host.base is None else host.base
    memory = cupy.cuda.UnownedMemory(owner.ctypes.data, owner.nbytes, owner, device)
    pointer = cupy.cuda.MemoryPointer(memory, host.ctypes.data - owner.ctypes.data)
    return cupy.ndarray(host.shape, host.dtype, pointer, strides=host.strides)


def _full_like(array, dtype, fill):
    memory = arrays.describe(array, "array")
    strides = [s * array.itemsize for s in memory.strides]
    like = np.lib.stride_tricks.as_strided(np.empty(1, array.dtype), array.shape, strides)
    made = np.zeros_like(like, dtype=numpy_dtype(dtype), order="K")
    made[...] = fill
    return over(made)


def values_of(array):
    """The elements of an array that `over` made."""
    memory = replace(arrays.describe(array, "array"), device="cpu")
    return np.array(memory.view).view(array.dtype)


@pytest.fixture
def simulated(monkeypatch):
    """The CuPy backend runs on the CPU, and takes what says that it lies on a device."""
    if problem := simulated_cupy.problem():
        pytest.skip(problem)
    monkeypatch.setitem(BACKENDS, "cupy", simulated_cupy.BACKEND)
    monkeypatch.setattr(arrays, "CUPY", replace(arrays.CUPY, full_like=_full_like))

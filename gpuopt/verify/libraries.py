"""The arrays that the checks hand to gpuopt, of each library, on the host and on a device."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..arrays.numpy_arrays import numpy_dtype
from ..engine.dispatch import BACKENDS, import_problem
from .values import Array

CUDA = "cuda:0"
"""Where the backends for a device get their arrays."""

Make = Callable[[Array, str, str], Any]


@dataclass(frozen=True)
class Library:
    """The arrays of a library.

    Attributes:
        name: what is imported.
        label: what its arrays are called.
        make: returns an array with a copy of stored elements, of a dtype, on a device.
        reference: the name of the library whose arrays on the host are compared.
    """

    name: str
    label: str
    make: Make
    reference: str

    def problem(self) -> str | None:
        """Return why its arrays cannot be made, or None."""
        try:
            importlib.import_module(self.name)
        except Exception as error:
            return import_problem(error)
        return None

    def lacks(self, dtype: str) -> str | None:
        """Return what arrays of a dtype need that is not installed, or None."""
        if dtype == "bfloat16" and self.reference == "numpy":
            return None if importlib.util.find_spec("ml_dtypes") else "ml_dtypes"
        return None


def _numpys(values: Array, dtype: str, device: str) -> Any:
    return np.array(values).view(numpy_dtype(dtype))


def _torchs(values: Array, dtype: str, device: str) -> Any:
    import torch

    bits = torch.from_numpy(values.view(f"i{values.itemsize}").copy())
    return bits.view(getattr(torch, dtype)).to(device)


def _cupys(values: Array, dtype: str, device: str) -> Any:
    import cupy

    with cupy.cuda.Device(int(device.partition(":")[2])):
        return cupy.asarray(_numpys(values, dtype, "cpu"))


LIBRARIES = {
    library.name: library
    for library in (
        Library("numpy", "NumPy arrays", _numpys, "numpy"),
        Library("torch", "torch tensors", _torchs, "torch"),
        Library("cupy", "CuPy arrays", _cupys, "numpy"),
    )
}
"""The libraries by name."""


def device_of(backend: str) -> str:
    """Return the device on which a backend gets its arrays."""
    return CUDA if "cuda" in BACKENDS[backend].devices else "cpu"

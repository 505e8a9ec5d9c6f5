"""The host side of the CUDA C backend, launched through CuPy.

CuPy arrays are updated on CuPy's current stream, torch tensors on torch's.
"""

from __future__ import annotations

from functools import cache, partial
from typing import Any, NamedTuple

import cupy
import numpy as np
import numpy.typing as npt

from ..device_table import DeviceTable as AnyDeviceTable
from ..device_total import DeviceTotal as AnyDeviceTotal
from ..table import Table
from .cubin import cubin
from .cupy_memory import CupyMemory
from .entry_points import Kernels, total
from .source import CHUNK

__all__ = ["CHUNK", "DeviceTable", "DeviceTotal", "problem"]


def problem() -> str | None:
    """Return why the backend cannot run here, or None."""
    if not cupy.cuda.is_available():
        return "CuPy finds no CUDA device (driver, CUDA_VISIBLE_DEVICES?)"
    try:
        cupy.cuda.nvrtc.getVersion()
    except Exception as error:  # CuPy loads the library here; its exceptions vary
        return f"CuPy finds no NVRTC, the compiler of CUDA C: {error}"
    return None


class DeviceTable(AnyDeviceTable):
    """A table in device memory, updated by CUDA C."""

    def __init__(
        self,
        table: Table,
        steps: npt.NDArray[np.int64],
        groups: npt.NDArray[np.int64],
        options: npt.NDArray[np.float64],
    ) -> None:
        """Compile the kernels, unless they are cached, and copy the table to the device."""
        memory = _memory_of(table.device, table.library)
        kernels = Kernels(partial(_compiled, memory), memory.address, table)
        super().__init__(memory, kernels, table, steps, groups, options)


class DeviceTotal(AnyDeviceTotal):
    """The total of the partials of all tables of a device, added by CUDA C."""

    def __init__(self, device: str, library: str) -> None:
        """Store the name of a device, and the library whose current stream is used."""
        memory = _memory_of(device, library)
        super().__init__(memory, partial(total, partial(_compiled, memory), memory.address))


def _compiled(memory: Any, text: str) -> Any:
    """Return the launcher of compiled source, on the memory's current stream."""
    with memory.current():
        file = cubin(text, int(cupy.cuda.Device().compute_capability))
        function = cache(cupy.RawModule(path=str(file)).get_function)

    def launch(name: str, grid: Any, block: Any, arguments: Any) -> None:
        function(name)(grid, block, arguments, stream=_Stream(memory.stream()))

    return launch


class _Stream(NamedTuple):
    """The only attribute of a stream that CuPy's launch reads."""

    ptr: int


def _memory_of(device: str, library: str) -> Any:
    if library != "torch":
        return CupyMemory(device)
    from ..torch_memory import TorchMemory

    return TorchMemory(device, library)

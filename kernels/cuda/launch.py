"""The table walked by CUDA C, compiled and launched by CuPy.

It takes the arrays of CuPy in CuPy's current stream, and those of torch in torch's.
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
    """Return why it cannot run here, or None."""
    if not cupy.cuda.is_available():
        return "CuPy finds no CUDA device (driver, CUDA_VISIBLE_DEVICES?)"
    try:
        cupy.cuda.nvrtc.getVersion()
    except Exception as error:  # CuPy looks for the library now, and says so in its own way
        return f"CuPy finds no NVRTC, which compiles CUDA C: {error}"
    return None


class DeviceTable(AnyDeviceTable):
    """A table in device memory, walked by CUDA C."""

    def __init__(
        self,
        table: Table,
        steps: npt.NDArray[np.int64],
        groups: npt.NDArray[np.int64],
        options: npt.NDArray[np.float64],
    ) -> None:
        """Compile, unless CuPy has done so before, and copy everything to the device."""
        memory = _memory_of(table.device, table.library)
        kernels = Kernels(partial(_compiled, memory), memory.address, table)
        super().__init__(memory, kernels, table, steps, groups, options)


class DeviceTotal(AnyDeviceTotal):
    """The partials of a device's tables together, added up by CUDA C."""

    def __init__(self, device: str, library: str) -> None:
        """Take a device by name, and the library whose current stream counts."""
        memory = _memory_of(device, library)
        super().__init__(memory, partial(total, partial(_compiled, memory), memory.address))


def _compiled(memory: Any, text: str) -> Any:
    """Return what launches the kernels of a text in the memory's stream."""
    with memory.current():
        file = cubin(text, int(cupy.cuda.Device().compute_capability))
        function = cache(cupy.RawModule(path=str(file)).get_function)

    def launch(name: str, grid: Any, block: Any, arguments: Any) -> None:
        function(name)(grid, block, arguments, stream=_Stream(memory.stream()))

    return launch


class _Stream(NamedTuple):
    """All that CuPy asks of a stream when it launches."""

    ptr: int


def _memory_of(device: str, library: str) -> Any:
    if library != "torch":
        return CupyMemory(device)
    from ..torch_memory import TorchMemory

    return TorchMemory(device, library)

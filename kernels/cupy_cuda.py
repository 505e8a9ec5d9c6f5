"""The table walked by CUDA C, compiled and launched by CuPy.

It takes the arrays of CuPy in CuPy's current stream, and those of torch in torch's.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import cupy
import numpy as np
import numpy.typing as npt

from .cuda_c import CHUNK, COEFFICIENTS, OPTIONS, UPDATE, source
from .cuda_launch import Kernels
from .cupy_memory import CupyMemory
from .device_table import DeviceTable as AnyDeviceTable
from .table import Table

__all__ = ["CHUNK", "DeviceTable", "problem"]


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
        memory = _memory_of(table)
        with memory.current():
            text = source(table.update, table.dtypes, table.vectors)
            module = cupy.RawModule(code=text, options=OPTIONS)
            functions = {name: module.get_function(name) for name in (COEFFICIENTS, UPDATE)}

        def launch(name: str, grid: Any, block: Any, arguments: Any) -> None:
            functions[name](grid, block, arguments, stream=_Stream(memory.stream()))

        super().__init__(memory, Kernels(launch, memory.address), table, steps, groups, options)


class _Stream(NamedTuple):
    """All that CuPy asks of a stream when it launches."""

    ptr: int


def _memory_of(table: Table) -> Any:
    if table.library != "torch":
        return CupyMemory(table.device)
    from .torch_memory import TorchMemory

    return TorchMemory(table.device, table.library)

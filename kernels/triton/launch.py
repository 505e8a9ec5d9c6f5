"""The host side of the Triton backend: one launch updates all tensors of a table."""

from __future__ import annotations

import os
import shutil
import sysconfig
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import triton

from ..device import Launch
from ..device_table import DeviceTable as AnyDeviceTable
from ..device_total import DeviceTotal as AnyDeviceTotal
from ..table import SUBTOTAL_ROWS, Table, Update
from ..torch_memory import TorchMemory
from .constants import (
    CHUNK,
    COEFFICIENT_BLOCK,
    COEFFICIENT_OPTIONS,
    OPTIONS,
    coefficients_constants,
    subtotals_constants,
    sums_constants,
    total_constants,
    update_constants,
    update_options,
)
from .interpreted import INTERPRETED
from .kernels import (
    multi_tensor_coefficients,
    multi_tensor_subtotals,
    multi_tensor_sums,
    multi_tensor_total,
    multi_tensor_update,
)

__all__ = ["CHUNK", "SIMULATED_ON", "DeviceTable", "DeviceTotal", "problem"]

SIMULATED_ON = ("cpu",) if INTERPRETED else ()
"""The device types that the backend accepts without a GPU."""


def problem() -> str | None:
    """Return why the backend cannot run here, or None."""
    if INTERPRETED:
        return None
    if torch.cuda.is_available():
        compilers = (os.environ.get("CC"), "gcc", "clang")  # for building launchers
        if not any(name and shutil.which(name) for name in compilers):
            return "Triton needs a C compiler: gcc, clang or what CC names"
        if not Path(sysconfig.get_path("include", "posix_prefix"), "Python.h").exists():
            return "Triton needs Python.h (package python3-dev, or the like) to build its launchers"
        return None
    if torch.version.cuda is None:
        return "this torch is built without CUDA; install a CUDA build of torch"
    return "torch finds no CUDA device (driver, CUDA_VISIBLE_DEVICES?)"


class DeviceTable(AnyDeviceTable):
    """A table in device memory, updated by Triton."""

    def __init__(
        self,
        table: Table,
        steps: npt.NDArray[np.int64],
        groups: npt.NDArray[np.int64],
        options: npt.NDArray[np.float64],
    ) -> None:
        """Copy the table to the device."""
        memory = TorchMemory(table.device, table.library)
        super().__init__(memory, _Kernels(table), table, steps, groups, options)


class DeviceTotal(AnyDeviceTotal):
    """The total of the partials of all tables of a device, added by Triton."""

    def __init__(self, device: str, library: str) -> None:
        """Store the name of a device, and the library whose current stream is used."""
        super().__init__(TorchMemory(device, library), _total)


class _Kernels:
    """The kernels of a table with their compile-time arguments."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def coefficients(self, arguments: tuple[Any, ...]) -> Launch:
        constants = {**coefficients_constants(self._table.update), **COEFFICIENT_OPTIONS}
        grid = (triton.cdiv(arguments[-1], COEFFICIENT_BLOCK),)
        return _launch(multi_tensor_coefficients, grid, arguments, constants)

    def walk(
        self, update: Update, dtypes: tuple[str, ...], arguments: tuple[Any, ...], n_chunks: int
    ) -> Launch:
        constants = update_constants(update, dtypes, self._table.vectors)
        constants = {**constants, **update_options(dtypes)}
        return _launch(multi_tensor_update, (n_chunks,), arguments, constants)

    def subtotals(self, arguments: tuple[Any, ...]) -> Launch:
        grid = (triton.cdiv(arguments[-1], SUBTOTAL_ROWS),)
        constants = {**subtotals_constants(), **OPTIONS}
        return _launch(multi_tensor_subtotals, grid, arguments, constants)

    def sums(self, arguments: tuple[Any, ...]) -> Launch:
        *arrays, n_sums, n_carried, row, step, n_tensors = arguments
        constants = {**sums_constants(n_sums, n_carried, row, step), **OPTIONS}
        return _launch(multi_tensor_sums, (n_tensors,), tuple(arrays), constants)


def _total(arguments: tuple[Any, ...]) -> Launch:
    return _launch(multi_tensor_total, (1,), arguments, {**total_constants(), **OPTIONS})


def _launch(kernel: Any, grid: tuple[int], arguments: Any, constants: dict[str, Any]) -> Launch:
    """Return the launch of a kernel, which is compiled and loaded for the current device.

    Compiling here raises errors before any update. Binding the arguments here saves the lookups of
    each launch, which would take several times as long.
    """
    if INTERPRETED:  # the interpreter computes in NumPy, which would warn of overflows
        return np.errstate(all="ignore")(partial(kernel[grid], *arguments, **constants))
    compiled = kernel.warmup(*arguments, grid=grid, **constants)
    names = [parameter.name for parameter in kernel.params[len(arguments) :]]
    return partial(compiled[(*grid, 1, 1)], *arguments, *(constants[name] for name in names))

"""The CuPy backend without CuPy and without a GPU: its CUDA C on the CPU.

Table, source, arguments and geometry are those of `gpuopt.kernels.cuda.launch`; NumPy arrays
replace device memory. The source is compiled by g++, or by NVRTC for the simulated device.
"""

import contextlib
from functools import partial

import numpy as np
from gpuopt.kernels.cuda.entry_points import Kernels, total
from gpuopt.kernels.cuda.source import CHUNK
from gpuopt.kernels.device_table import DeviceTable as AnyDeviceTable
from gpuopt.kernels.device_total import DeviceTotal as AnyDeviceTotal

from gpuopt.arrays.scalars import value_of
from gpuopt.engine.dispatch import Backend
from tests.helpers import cuda_on_cpu
from tests.simgpu.tables import Bounded

__all__ = ["BACKEND", "CHUNK", "SIMULATED_ON", "DeviceTable", "DeviceTotal", "problem"]

SIMULATED_ON = ("cpu",)

BACKEND = Backend("cupy", __name__, ("cuda",), "install g++", library="cupy")
"""Replaces the real backend in `gpuopt.engine.dispatch.BACKENDS`."""

compiled = cuda_on_cpu.Module
"""Compiles a source; `tests.simgpu.nvrtc.Module` is the alternative."""


def problem():
    return cuda_on_cpu.problem()


class HostMemory:
    """Device memory in NumPy arrays."""

    def current(self):
        return contextlib.nullcontext()

    def address(self, array):
        return array.ctypes.data

    def upload(self, values):
        return np.array(values)

    def staged(self, values):
        return StagedArray(self.upload(values))

    def read(self, array):
        return array.copy()

    def hold(self, arrays):
        return False

    def copy_number(self, array, row, column, number):
        array[row, column] = value_of(number.reshape(()))


class StagedArray:
    def __init__(self, array):
        self.array = array

    def send(self, values):
        self.array[...] = values


def _launcher(source):
    return compiled(source).launch


class CompiledTable(AnyDeviceTable):
    def __init__(self, table, steps, groups, options):
        memory = HostMemory()
        kernels = Kernels(_launcher, memory.address, table)
        super().__init__(memory, kernels, table, steps, groups, options)


class DeviceTable(Bounded, CompiledTable):
    """With the bounds of its memory, which the simulated device checks."""


class DeviceTotal(AnyDeviceTotal):
    def __init__(self, device, library):
        memory = HostMemory()
        super().__init__(memory, partial(total, _launcher, memory.address))

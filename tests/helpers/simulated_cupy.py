"""The CuPy backend without CuPy and without a GPU: its CUDA C, compiled by g++, on the CPU.

The table, the source, the arguments and the geometry are those of `gpuopt.kernels.cupy_cuda`;
what it asks of CuPy is done here, with NumPy arrays for device memory.
"""

import contextlib

import numpy as np
from gpuopt.kernels.cuda_c import CHUNK, source
from gpuopt.kernels.cuda_launch import Kernels
from gpuopt.kernels.device_table import DeviceTable as AnyDeviceTable

from gpuopt.dispatch import Backend
from gpuopt.scalars import value_of
from tests.helpers import cuda_on_cpu

__all__ = ["CHUNK", "SIMULATED_ON", "DeviceTable", "problem"]

SIMULATED_ON = ("cpu",)

BACKEND = Backend("cupy", __name__, ("cuda",), "install g++", library="cupy")
"""What stands in for the real one among `gpuopt.dispatch.BACKENDS`."""


def problem():
    return cuda_on_cpu.problem()


class HostMemory:
    """NumPy arrays in the place of a device's memory."""

    def current(self):
        return contextlib.nullcontext()

    def address(self, array):
        return array.ctypes.data

    def upload(self, values):
        return np.array(values)

    def mailbox(self, values):
        return Mailbox(self.upload(values))

    def read(self, array):
        return array.copy()

    def hold(self, arrays):
        return False

    def copy_number(self, array, row, column, number):
        array[row, column] = value_of(number)


class Mailbox:
    def __init__(self, array):
        self.array = array

    def send(self, values):
        self.array[...] = values


class DeviceTable(AnyDeviceTable):
    def __init__(self, table, steps, groups, options):
        memory = HostMemory()
        module = cuda_on_cpu.Module(source(table.update, table.dtypes, table.vectors))
        kernels = Kernels(module.launch, memory.address)
        super().__init__(memory, kernels, table, steps, groups, options)

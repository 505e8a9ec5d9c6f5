"""CUDA C on the simulated device: NVRTC's PTX of it, launched like a module of CuPy's."""

from functools import cache
from importlib import metadata

import numpy as np
from gpuopt.kernels.cuda.source import OPTIONS

from gpuopt.inspection.nvrtc import compile_for

from .build import kept
from .run import kernels


class Module:
    """The kernels of a source for an architecture; as `tests.helpers.cuda_on_cpu.Module`."""

    def __init__(self, source, arch=90):
        """Compile ``source``, unless it was compiled before."""
        self._kernels = kernels(ptx_of(source, arch))

    def launch(self, name, grid, block, arguments):
        """Run a kernel; an argument is a NumPy scalar, or an array, which is its address."""
        values = [_value(argument).tobytes() for argument in arguments]
        (blocks,), (threads,) = grid, block
        self._kernels[name].launch(blocks, threads, values)


@cache
def ptx_of(source, arch):
    """Return the PTX of CUDA C."""
    return ptx_file(source, arch).read_text()


def ptx_file(source, arch):
    """Return a file with the PTX of CUDA C."""
    key = (source, arch, OPTIONS, metadata.version("nvidia-cuda-nvrtc"))

    def make(file):
        file.write_text(compile_for(source, arch, OPTIONS).ptx)

    return kept(key, "kernel.ptx", make)


def _value(argument):
    if isinstance(argument, np.generic):
        return argument
    pointer = argument.data_ptr() if hasattr(argument, "data_ptr") else argument.ctypes.data
    return np.uint64(pointer)

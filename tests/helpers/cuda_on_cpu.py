"""CUDA C on the CPU: the unchanged source, compiled by g++, launched like a CuPy module.

    module = Module(source)
    module.launch("kernel", (blocks,), (threads,), (array, np.int64(3)))

An argument is a NumPy scalar or an array, which is passed as its address: ``data_ptr()`` or
``ctypes.data``.
"""

import ctypes
import re
from functools import cache
from pathlib import Path

import numpy as np

from tests.simgpu import build

SHIM = Path(__file__).with_suffix(".h")

_KERNEL = re.compile(r'extern "C" __global__ void (?:__launch_bounds__\([\w, ]+\) )?(\w+)\(')


def problem():
    """Return why nothing can be compiled here, or None."""
    return build.problem("g++")


class Module:
    """The kernels of a source.

    Attributes:
        names: of the kernels.
    """

    def __init__(self, source):
        """Compile ``source``, unless it is cached."""
        self.names = _KERNEL.findall(source)
        self._library = _library(source, tuple(self.names))

    def launch(self, name, grid, block, arguments):
        """Run a kernel for every thread of a one-dimensional grid."""
        held = [_value(argument) for argument in arguments]
        pointers = (ctypes.c_void_p * len(held))(*(value.ctypes.data for value in held))
        function = getattr(self._library, f"launch_{name}")
        (blocks,), (threads,) = grid, block
        function(ctypes.c_uint(blocks), ctypes.c_uint(threads), pointers)

    def get_function(self, name):
        """Return ``function(grid, block, arguments)``, as CuPy's RawModule does."""
        return lambda grid, block, arguments: self.launch(name, grid, block, arguments)


def _value(argument):
    """Return an array with the kernel's argument: a number, or an address."""
    if isinstance(argument, np.generic):
        return np.array([argument])
    if hasattr(argument, "data_ptr"):
        return np.array([argument.data_ptr()], np.uint64)
    return np.array([argument.ctypes.data], np.uint64)


@cache
def _library(source, names):
    launchers = "\n".join(
        f'extern "C" void launch_{name}(unsigned int grid, unsigned int block, void** arguments)\n'
        f"{{\n    launch({name}, grid, block, arguments);\n}}"
        for name in names
    )
    text = f"{SHIM.read_text()}\n{source}\n{launchers}\n"
    built = build.build(text, "kernels.so", "-std=c++17", "-O2", compiler="g++")
    return ctypes.CDLL(str(built))

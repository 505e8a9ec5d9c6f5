"""A kernel of the simulated device: compiled for the CPU, and launched."""

import ctypes
from dataclasses import replace
from functools import cache

from . import memory
from .build import build
from .parse import UnknownPTX, parse
from .translate import offsets, translate, width


class Fault(RuntimeError):
    """A thread did what it may not do; the message says what, in which line, and who."""


class _Region(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint64) for name in ("begin", "end", "writable")]
    _fields_ += [(name, ctypes.c_void_p) for name in ("loads", "stores")]


_WHERE = ("bytes", "kind", "line", "block", "thread", "dynamic")


class _Run(ctypes.Structure):
    _fields_ = [("regions", ctypes.POINTER(_Region))]
    _fields_ += [(name, ctypes.c_uint64) for name in ("n_regions", "address")]
    _fields_ += [(n, ctypes.c_uint32) for n in _WHERE]


_KINDS = {
    1: "a misaligned access",
    2: "an access outside of the memory it may touch",
    3: "a store to memory that is only to be read",
    4: "a loop that does not end",
    5: "a barrier that not all threads of the block meet",
    6: "an exchange between threads that is not known: of some lanes, or in segments",
}

_order = {"backwards": False}


def backwards(yes):
    """Run blocks, and the threads of a block, from the last to the first from here on."""
    _order["backwards"] = yes


@cache
def kernels(text):
    """Return the kernels of a PTX module by name."""
    return {name: Kernel(kernel, text) for name, kernel in parse(text).items()}


class Kernel:
    """A kernel that can be launched.

    Attributes:
        name: in its module.
        sizes: the bytes of each parameter.
    """

    def __init__(self, parsed, text):
        """Build it."""
        self._text, self.name = text, parsed.name
        built = build(translate(parsed), "kernel.so", "-O1", "-w", "-fwrapv")
        self._built = ctypes.CDLL(str(built))
        self._parsed = replace(parsed, statements=())  # which take much memory
        self._offsets, self._size = offsets(parsed)
        self.sizes = [width(kind) // 8 for kind in parsed.parameters.values()]

    def launch(self, blocks, threads, values, shared=0):
        """Run every thread of a one-dimensional grid.

        Args:
            blocks: of the grid.
            threads: of a block.
            values: the bytes of each parameter.
            shared: bytes of shared memory that the launch asks for.

        Raises:
            Fault: a thread did what it may not do.
        """
        most = self._parsed.threads
        if threads > most or (self._parsed.exactly and threads != most):
            raise UnknownPTX(f"{self._parsed.name}: {threads} threads, where its PTX says {most}")
        if [len(value) for value in values] != self.sizes:
            raise UnknownPTX(f"{self._parsed.name}: its parameters have {self.sizes} bytes")
        parameters = ctypes.create_string_buffer(self._size + 1)
        for value, place in zip(values, self._offsets.values()):
            parameters[place : place + len(value)] = value
        run = _run(memory.allowed())
        run.dynamic = shared
        how = (ctypes.c_uint32(blocks), ctypes.c_uint32(threads), int(_order["backwards"]))
        if not self._built.launch(ctypes.byref(run), parameters, *how):
            raise Fault(self._message(run))

    def _message(self, run):
        line = " ".join(self._text.splitlines()[run.line - 1].split())
        return (
            f"{self._parsed.name}: {_KINDS[run.kind]}: {run.bytes} bytes at {run.address:#x}, "
            f"PTX line {run.line}: {line} block {run.block}, thread {run.thread}"
        )


def _run(regions):
    run = _Run()
    if regions is not None:
        run.n_regions = len(regions)
        run.regions = (_Region * max(len(regions), 1))(*map(_region, regions))
    return run


def _region(region):
    counts = (region.loads, region.stores)
    pointers = (None if c is None else c.ctypes.data for c in counts)
    return _Region(region.address, region.address + region.size, region.writable, *pointers)

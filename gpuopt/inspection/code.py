"""Compiled code, its disassembly and its resource usage."""

from __future__ import annotations

import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from .tools import tool

_USAGE = re.compile(r"REG:(\d+) STACK:(\d+) SHARED:(\d+) LOCAL:(\d+)")


@dataclass(frozen=True)
class Argument:
    """One argument of a kernel: its name, its C type, and its meaning."""

    name: str
    type: str
    meaning: str


@dataclass(frozen=True)
class Code:
    """A compiled kernel.

    Attributes:
        ptx: its text.
        cubin: the program for the GPU.
        sass: the listing of the program.
        usage: the output of ``cuobjdump -res-usage``.
        shared: bytes of dynamic shared memory of a launch.
        threads: per block.
        elements: per block: elements of a chunk, or tensors.
        grid: the number of blocks, as an expression.
        arguments: in order, including those that the compiler adds.
    """

    ptx: str
    cubin: bytes
    sass: str
    usage: str
    shared: int
    threads: int
    elements: int
    grid: str
    arguments: tuple[Argument, ...]


@dataclass(frozen=True)
class Usage:
    """Resources of a kernel: registers and stack per thread, static shared memory per block."""

    registers: int
    stack: int
    shared: int


def usage_of(text: str) -> Usage:
    r"""Parse the output of ``cuobjdump -res-usage`` for a program with one kernel.

    Raises:
        ValueError: there is no resource usage in it.

    >>> usage_of(" Function f:\n  REG:60 STACK:8 SHARED:0 LOCAL:0 CONSTANT[0]:584")
    Usage(registers=60, stack=8, shared=0)
    """
    found = _USAGE.search(text)
    if found is None:
        raise ValueError(f"no resource usage in {text!r}")
    registers, stack, shared, local = map(int, found.groups())
    return Usage(registers, stack + local, shared)


def disassemble(cubin: bytes) -> tuple[str, str]:
    """Return the listing of a program and its resource usage, from NVIDIA's tools.

    ``-ndf`` turns off dataflow analysis, a quarter of nvdisasm's time, which resolves indirect
    jumps; these kernels have none.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "kernel.cubin")
        file.write_bytes(cubin)
        return (
            _run(tool("nvdisasm"), "-c", "-ndf", str(file)),
            _run(tool("cuobjdump"), "-res-usage", str(file)),
        )


def _run(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout

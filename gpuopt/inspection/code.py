"""What a compiler made of a case, and where to find it."""

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
    """One argument of a kernel: its name, its type in C, and what it is."""

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
        usage: what ``cuobjdump -res-usage`` says of it.
        shared: bytes of shared memory that a launch asks for, beside what the usage says.
        threads: of a block.
        elements: what one block works on: elements of a chunk, or tensors.
        grid: how many blocks a launch has, in words.
        arguments: in their order, those of the compiler's own included.
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
    """Resources of a kernel: registers of a thread, its stack, static shared memory of a block."""

    registers: int
    stack: int
    shared: int


def usage_of(text: str) -> Usage:
    r"""Read what ``cuobjdump -res-usage`` prints for a program with one kernel.

    Raises:
        ValueError: it says nothing of resources.

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

    Dataflow analysis, which would name the targets of jumps through the stack, is a quarter of
    nvdisasm's time, and these kernels have no such jumps.
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

"""NVRTC, NVIDIA's compiler of CUDA C: PTX and machine code for any architecture, without a GPU."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from cuda.bindings import nvrtc


@dataclass(frozen=True)
class Compiled:
    """What NVRTC made of a source: the text of its PTX, and the program for the GPU."""

    ptx: str
    cubin: bytes


def compile_for(source: str, arch: int, options: Sequence[str]) -> Compiled:
    """Compile CUDA C for an architecture such as 90; no header can be included.

    Raises:
        ValueError: it does not compile, or not without warnings; what NVRTC said.
    """
    program = _ask(nvrtc.nvrtcCreateProgram, source.encode(), b"update.cu", 0, [], [])
    try:
        flags = [f"--gpu-architecture=sm_{arch}".encode(), *(o.encode() for o in options)]
        (status,) = nvrtc.nvrtcCompileProgram(program, len(flags), flags)
        log = _text(program, nvrtc.nvrtcGetProgramLogSize, nvrtc.nvrtcGetProgramLog)
        if status != nvrtc.nvrtcResult.NVRTC_SUCCESS or log.strip(b"\0\n"):
            raise ValueError(f"{status.name}: {log.decode()}")
        ptx = _text(program, nvrtc.nvrtcGetPTXSize, nvrtc.nvrtcGetPTX)
        cubin = _text(program, nvrtc.nvrtcGetCUBINSize, nvrtc.nvrtcGetCUBIN)
    finally:
        nvrtc.nvrtcDestroyProgram(program)
    return Compiled(ptx.rstrip(b"\0").decode(), cubin)


def _text(program: Any, size: Callable[..., Any], get: Callable[..., Any]) -> bytes:
    """Return what NVRTC writes into a buffer of the caller's.

    One byte more than it asks for: of one byte, as an empty log has, Python has a single object for
    all, and NVRTC would write into every ``b" "`` of the process.
    """
    count = int(_ask(size, program))
    buffer = bytes(count + 1)
    _ask(get, program, buffer)
    return buffer[:count]


def _ask(function: Callable[..., Any], *arguments: Any) -> Any:
    status, *results = function(*arguments)
    if status != nvrtc.nvrtcResult.NVRTC_SUCCESS:
        raise ValueError(f"{function.__name__}: {status.name}")
    return results[0] if results else None

"""Compile CUDA C to PTX and cubin with NVRTC, for any architecture, without a GPU."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from cuda.bindings import nvrtc


@dataclass(frozen=True)
class Compiled:
    """The output of NVRTC."""

    ptx: str
    cubin: bytes


def compile_for(source: str, arch: int, options: Sequence[str]) -> Compiled:
    """Compile CUDA C without includes for an architecture such as 90.

    Raises:
        ValueError: it has errors or warnings; the message has NVRTC's log.
    """
    program = _call(nvrtc.nvrtcCreateProgram, source.encode(), b"update.cu", 0, [], [])
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
    """Return an output of NVRTC, which writes into the caller's buffer.

    The buffer has one more byte than needed: Python shares ``bytes`` objects of one byte, as for
    an empty log, and NVRTC would overwrite all of them.
    """
    count = int(_call(size, program))
    buffer = bytes(count + 1)
    _call(get, program, buffer)
    return buffer[:count]


def _call(function: Callable[..., Any], *arguments: Any) -> Any:
    status, *results = function(*arguments)
    if status != nvrtc.nvrtcResult.NVRTC_SUCCESS:
        raise ValueError(f"{function.__name__}: {status.name}")
    return results[0] if results else None

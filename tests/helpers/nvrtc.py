"""NVRTC, NVIDIA's compiler of CUDA C: PTX and machine code for any architecture, without a GPU."""

from dataclasses import dataclass

from cuda.bindings import nvrtc


@dataclass(frozen=True)
class Compiled:
    """What NVRTC made of a source: the text of its PTX, and the program for the GPU."""

    ptx: str
    cubin: bytes


def compile_for(source, arch, options):
    """Compile CUDA C for an architecture such as 90; no header can be included."""
    program = _ask(nvrtc.nvrtcCreateProgram, source.encode(), b"update.cu", 0, [], [])
    try:
        flags = [f"--gpu-architecture=sm_{arch}".encode(), *(o.encode() for o in options)]
        (status,) = nvrtc.nvrtcCompileProgram(program, len(flags), flags)
        log = _text(program, nvrtc.nvrtcGetProgramLogSize, nvrtc.nvrtcGetProgramLog)
        assert status == nvrtc.nvrtcResult.NVRTC_SUCCESS and not log.strip(b"\0\n"), log.decode()
        ptx = _text(program, nvrtc.nvrtcGetPTXSize, nvrtc.nvrtcGetPTX)
        cubin = _text(program, nvrtc.nvrtcGetCUBINSize, nvrtc.nvrtcGetCUBIN)
    finally:
        nvrtc.nvrtcDestroyProgram(program)
    return Compiled(ptx.rstrip(b"\0").decode(), cubin)


def _text(program, size, get):
    buffer = b" " * _ask(size, program)
    _ask(get, program, buffer)
    return buffer


def _ask(function, *arguments):
    status, *results = function(*arguments)
    assert status == nvrtc.nvrtcResult.NVRTC_SUCCESS, f"{function.__name__}: {status}"
    return results[0] if results else None

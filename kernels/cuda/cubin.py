"""CUDA C as machine code in a file: compiled by NVRTC through CuPy's binding, once a machine.

CuPy's own way, ``RawModule(code=...)``, appends ``-ftz=true`` to any options: NVRTC takes the
last of two, and denormals would be flushed. Here NVRTC gets the options as they stand. Neither a
GPU nor a driver is needed.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from cupy.cuda import nvrtc

from .source import OPTIONS

__all__ = ["cubin"]


def cubin(text: str, arch: int) -> Path:
    """Return the file that `cupy.RawModule` loads, and compile it unless it is there.

    Args:
        text: CUDA C without includes.
        arch: of the device, such as 90. One that is newer than NVRTC gets the newest PTX below it,
            which its driver compiles.

    Raises:
        ValueError: it does not compile; what NVRTC said.
    """
    options = (*OPTIONS, _target(arch))
    key = hashlib.sha256(repr((nvrtc.getVersion(), options, text)).encode()).hexdigest()[:40]
    file = _folder() / f"gpuopt-{key}.cubin"
    if not file.exists():
        _write(file, _compile(text, options))
    return file


def _target(arch: int) -> str:
    known = nvrtc.getSupportedArchs()
    if arch in known:
        return f"--gpu-architecture=sm_{arch}"
    return f"--gpu-architecture=compute_{max(each for each in known if each <= arch)}"


def _folder() -> Path:
    """Return where CuPy keeps what it compiled."""
    return Path(os.environ.get("CUPY_CACHE_DIR") or Path.home() / ".cupy" / "kernel_cache")


def _compile(text: str, options: tuple[str, ...]) -> bytes:
    program = nvrtc.createProgram(text, "update.cu", (), ())
    try:
        try:
            nvrtc.compileProgram(program, options)
        except nvrtc.NVRTCError as error:
            raise ValueError(f"{error}: {nvrtc.getProgramLog(program)}") from error
        if "=sm_" in options[-1]:
            # The binding drops the last byte, as of a text. It is a NUL, and the ELF's own.
            return bytes(nvrtc.getCUBIN(program)) + b"\0"
        return bytes(nvrtc.getPTX(program))
    finally:
        nvrtc.destroyProgram(program)


def _write(file: Path, code: bytes) -> None:
    """Write a file at once or not at all, since several processes may compile it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_suffix(f".{os.getpid()}.partial")
    partial.write_bytes(code)
    partial.replace(file)

"""Compile CUDA C to a cached cubin file, with NVRTC through CuPy's binding.

``cupy.RawModule(code=...)`` appends ``-ftz=true`` to the options; since NVRTC uses the last of two,
denormals would be flushed. This module passes the options unchanged. It needs neither a GPU nor a
driver.
"""

from __future__ import annotations

import hashlib
import tempfile
from contextlib import suppress
from functools import cache
from pathlib import Path

from cupy.cuda import nvrtc

from ...system.files import read_own
from .. import disk_cache
from .source import OPTIONS

__all__ = ["cubin"]


def cubin(text: str, arch: int) -> Path:
    """Return the file for `cupy.RawModule`; compile it unless it exists and is whole.

    Its name ends with a digest of its content, so that a damaged file is told from a whole one. One
    that others can write to, or that is a link, is compiled again.

    Args:
        text: CUDA C without includes.
        arch: of the device, such as 90. If NVRTC does not know it, the file holds PTX for the
            newest known one below it, which the driver compiles.

    Raises:
        ValueError: it does not compile; the message has NVRTC's log.
    """
    options = (*OPTIONS, _target(arch))
    key = hashlib.sha256(repr((nvrtc.getVersion(), options, text)).encode()).hexdigest()[:40]
    return _cached(key) or _write(key, _compile(text, options))


def _target(arch: int) -> str:
    known = nvrtc.getSupportedArchs()
    if arch in known:
        return f"--gpu-architecture=sm_{arch}"
    return f"--gpu-architecture=compute_{max(each for each in known if each <= arch)}"


def _compile(text: str, options: tuple[str, ...]) -> bytes:
    program = nvrtc.createProgram(text, "update.cu", (), ())
    try:
        try:
            nvrtc.compileProgram(program, options)
        except nvrtc.NVRTCError as error:
            raise ValueError(f"{error}: {nvrtc.getProgramLog(program)}") from error
        if "=sm_" in options[-1]:
            # The binding drops the last byte as if it ended a string; it is a NUL of the ELF file.
            return bytes(nvrtc.getCUBIN(program)) + b"\0"
        return bytes(nvrtc.getPTX(program))
    finally:
        nvrtc.destroyProgram(program)


def _cached(key: str) -> Path | None:
    if disk_cache.problem() is None:
        for file in disk_cache.folder("cuda").glob(f"{key}-*.cubin"):
            with suppress(OSError):
                code = read_own(file)
                if code is not None and file.name == _name(key, code):
                    return file
    return None


def _name(key: str, code: bytes) -> str:
    return f"{key}-{hashlib.sha256(code).hexdigest()[:40]}.cubin"


def _write(key: str, code: bytes) -> Path:
    """Write a file into the cache; where that is impossible, into a folder of this process."""
    file = disk_cache.folder("cuda") / _name(key, code)
    if not disk_cache.write_file(file, code):
        file = Path(_own_folder().name, file.name)
        file.write_bytes(code)
    return file


@cache
def _own_folder() -> tempfile.TemporaryDirectory[str]:
    """Return a folder that is deleted when the process ends."""
    return tempfile.TemporaryDirectory(prefix="gpuopt-")

"""Compile CUDA C to a cached cubin file, with NVRTC through CuPy's binding.

``cupy.RawModule(code=...)`` appends ``-ftz=true`` to the options, and the last one wins in NVRTC,
so denormals would be flushed. This module passes the options unchanged. It needs neither a GPU nor
a driver.
"""

from __future__ import annotations

import atexit
import hashlib
import os
import shutil
import tempfile
from functools import cache, partial
from pathlib import Path
from threading import Lock

from cupy.cuda import nvrtc

from ...system.files import replace, write_all
from .. import disk_cache
from .source import OPTIONS

__all__ = ["cubin"]

_lock = Lock()
"""NVRTC fails if several threads make the first compilation at the same time, since it opens one of
its libraries in a way that is not thread-safe."""


def cubin(text: str, arch: int) -> Path:
    """Return the file for `cupy.RawModule`; compile it unless it is in the cache on disk.

    Args:
        text: CUDA C without includes.
        arch: the architecture of the device, such as 90. If NVRTC does not know it, the file has
            PTX for the newest older one, which the driver compiles.

    Raises:
        ValueError: it does not compile; the message has NVRTC's log.
    """
    options = (*OPTIONS, _target(arch))
    key = hashlib.sha256(repr((nvrtc.getVersion(), options, text)).encode()).hexdigest()[:40]
    entry = disk_cache.folder("cuda") / f"{key}.cubin"
    with _lock:
        return _file_of(key, disk_cache.kept(entry, lambda: _compile(text, options)))


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
            # The binding strips the last byte as a string terminator, but it belongs to the ELF
            # file.
            return bytes(nvrtc.getCUBIN(program)) + b"\0"
        return bytes(nvrtc.getPTX(program))
    finally:
        nvrtc.destroyProgram(program)


def _file_of(key: str, code: bytes) -> Path:
    """Return a file with the code that no other process changes or deletes."""
    file = Path(_own_folder(os.getpid()), f"{key}.cubin")
    if not file.exists():
        replace(str(file), partial(write_all, content=code), mode=0o600)
    return file


@cache
def _own_folder(process: int) -> str:
    """Return a folder that is deleted when this process ends, but not when its children do."""
    folder = tempfile.mkdtemp(prefix="gpuopt-")
    atexit.register(_remove, folder, process)
    return folder


def _remove(folder: str, process: int) -> None:
    if os.getpid() == process:
        shutil.rmtree(folder, ignore_errors=True)

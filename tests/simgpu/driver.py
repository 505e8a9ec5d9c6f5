"""Triton's own JIT and launcher, over a stand-in for libcuda: kernels run on the simulated device.

`activate` makes it Triton's driver, in the whole process. Pointers are those of the host, so
kernels take tensors that lie on the CPU. For each of `ARCHS` there is a device. Launches are done
at once, unless `through` names who does them.
"""

import ctypes
import itertools
import os
import re
import threading
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from unittest import mock

from . import build, run

ARCHS = (80, 90, 100)
"""The architecture of each device."""

_current = {"arch": 90}
_loading = threading.local()
_functions = {}  # by handle, a kernel and the number of its device
_handles = itertools.count(1)
_FUNCTION = re.compile(r"\bcu[A-Z]\w+")
_Find = ctypes.CFUNCTYPE(ctypes.c_long, ctypes.c_char_p)
_Launch = ctypes.CFUNCTYPE(
    ctypes.c_int, *[ctypes.c_long] * 2, *[ctypes.c_uint] * 3, ctypes.POINTER(ctypes.c_void_p)
)


@contextmanager
def on(arch):
    """Make the device of an architecture the current one, for all threads, in the block."""
    before, _current["arch"] = _current["arch"], arch
    try:
        yield
    finally:
        _current["arch"] = before


class _AtOnce:
    """Launches without a runtime: one device at a time, and streams that are done at once."""

    def device(self):
        """Return the number of the current device."""
        return ARCHS.index(_current["arch"])

    def stream(self, device):
        """Return the handle of the current stream of a device."""
        return 0

    def load(self, name):
        """Load a kernel; return the number of the device that it is loaded on."""
        return self.device()

    def launch(self, name, stream, device, run):
        """Run a kernel that was loaded on a device."""
        run()


_runtime = [_AtOnce()]


@contextmanager
def through(runtime):
    """Let a runtime do all launches, for all threads, in the block; see `_AtOnce`."""
    _runtime.append(runtime)
    try:
        yield
    finally:
        _runtime.remove(runtime)


@cache
def activate():
    """Make the simulated devices Triton's.

    Raises:
        RuntimeError: Triton's driver asks for something that is not known.
    """
    import triton

    try:
        file = _library(triton)
        library = ctypes.CDLL(str(file), mode=ctypes.RTLD_GLOBAL)
        library.simgpu_connect(*_CALLBACKS, (ctypes.c_int * len(ARCHS))(*ARCHS), len(ARCHS))
        with mock.patch.dict(os.environ, TRITON_LIBCUDA_PATH=str(file.parent)):
            triton.runtime.driver.set_active(_driver())
        triton.knobs.runtime.kernel_load_start_hook.add(_remember)
        _try()
    except Exception as error:
        raise RuntimeError(
            f"the simulated device does not know the driver interface of Triton "
            f"{triton.__version__} (tests/simgpu/driver.py, libcuda.c): "
            f"{type(error).__name__}: {error}".partition("\n")[0]
        ) from error


def _library(triton):
    """Return the file of the stand-in, which has the name of the real one."""
    nvidia = Path(triton.__file__).parent / "backends/nvidia"
    text = Path(__file__).with_name("libcuda.c").read_text(encoding="utf-8")
    flags = ("-O1", f"-I{nvidia / 'include'}", "-Wl,-soname,libcuda.so.1")
    return build.build(text + _others(text, nvidia), "libcuda.so.1", *flags)


def _others(text, nvidia):
    """Return the C of all other functions that Triton names: calling one would end the process."""
    files = ("driver.c", "driver.py", "include/cuda.h")
    *asked, header = ((nvidia / file).read_text(encoding="utf-8") for file in files)
    versions = dict(re.findall(r"^#define +(cu\w+) +(cu\w+)$", header, re.MULTILINE))
    names = {*_FUNCTION.findall("".join(asked))} - {*_FUNCTION.findall(text)}
    symbols = names | {versions[name] for name in names & {*versions}}
    return "".join(f"ABSENT({symbol})\n" for symbol in sorted(symbols))


def _driver():
    from triton.backends.nvidia.driver import CudaDriver

    class SimulatedDriver(CudaDriver):
        """Triton's, but for what it asks torch."""

        def __init__(self):
            super().__init__()
            self.get_device_capability = lambda device: divmod(ARCHS[device], 10)
            self.get_current_device = lambda: _runtime[-1].device()
            self.set_current_device = lambda device: None
            self.get_current_stream = lambda device: _runtime[-1].stream(device)

    return SimulatedDriver()


def _try():
    """Launch a kernel, and see that it ran."""
    import torch
    import triton

    from .trial import add_one

    tensor = torch.zeros(1, dtype=torch.float32)
    triton.jit(add_one)[(1,)](tensor, enable_fp_fusion=False)
    assert tensor.item() == 1.0, f"a kernel that adds 1.0 gave {tensor.item()}"


# --- what the stand-in calls ---------------------------------------------------------------------


def _remember(module, function, name, metadata_group, key):
    """Note the PTX of what is about to be loaded: the driver sees machine code only."""
    (path,) = (path for file, path in metadata_group.items() if file.endswith(".ptx"))
    _loading.ptx = Path(path).read_text(encoding="utf-8")


def _find(name):
    device = _runtime[-1].load(name.decode())
    handle = next(_handles)
    _functions[handle] = run.kernels(_loading.ptx)[name.decode()], device
    return handle


def _launch(handle, stream, blocks, threads, shared, arguments):
    kernel, device = _functions[handle]
    values = [ctypes.string_at(arguments[i], size) for i, size in enumerate(kernel.sizes)]
    do = partial(kernel.launch, blocks, threads, values, shared)
    _runtime[-1].launch(kernel.name, stream, device, do)
    return 1


def _said(function):
    """Return the function that, instead of raising, says why to who asks the stand-in, and 0."""

    def guarded(*arguments):
        try:
            return function(*arguments)
        except Exception as error:
            text = f"{type(error).__name__}: {error}"
            ctypes.CDLL("libcuda.so.1").simgpu_say(text.encode())
            return 0

    return guarded


_CALLBACKS = (_Find(_said(_find)), _Launch(_said(_launch)))

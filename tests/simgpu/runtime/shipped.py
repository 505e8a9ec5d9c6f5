"""The two shipped backends, unchanged, on a machine: it stands behind torch, CuPy and Triton."""

import sys
from contextlib import ExitStack, contextmanager, suppress
from unittest import mock

import torch
import torch.distributed.tensor  # which torch imports at the first operation of a tensor subclass

from gpuopt.engine.dispatch import BACKENDS, Backend

from .. import driver
from . import in_torch, kernels
from .machine import Machine, using

TRITON = Backend("triton", "gpuopt.kernels.triton.launch", ("cuda",), "a simulated machine")
CUPY = Backend("cupy", "gpuopt.kernels.cuda.launch", ("cuda",), "a simulated machine", "cupy")


class _Runtime:
    """What Triton's driver asks, answered by a machine."""

    def __init__(self, machine):
        self._machine = machine

    def device(self):
        return self._machine.device

    def stream(self, device):
        return self._machine.current_stream("torch", device).handle

    def load(self, name):
        return self._machine.load_module(name)

    def launch(self, name, stream, device, run):
        kernels.launch(self._machine, name, stream, device, run)


@contextmanager
def simulated():
    """Run the backends on a new machine in the block; at its end, everything is done and checked.

    An error in the block is raised as it is: what is left is not done.
    """
    driver.activate()
    with ExitStack() as stack:
        machine = stack.enter_context(using(Machine()))
        stack.enter_context(driver.through(_Runtime(machine)))
        stack.enter_context(mock.patch.multiple(torch.cuda, **in_torch.names()))
        stack.enter_context(in_torch.Factories())
        stack.enter_context(mock.patch.dict(BACKENDS, triton=TRITON))
        with suppress(ImportError):
            _replace_cupy(stack)
        yield machine
        machine.finish()


@contextmanager
def _as_module(cupy):
    """Let a stand-in be the module in the block; modules of CuPy's that are lazy are not there."""
    hidden = [name for name in sys.modules if name.partition(".")[0] in ("cupy", "cupyx")]
    held = {name: sys.modules.pop(name) for name in hidden}
    sys.modules["cupy"] = cupy
    try:
        yield
    finally:
        del sys.modules["cupy"]
        sys.modules.update(held)


def _replace_cupy(stack):
    from gpuopt.kernels.cuda import cupy_memory, launch

    from .. import nvrtc
    from .in_cupy import cupy

    stack.enter_context(_as_module(cupy))
    stack.enter_context(mock.patch.dict(BACKENDS, cupy=CUPY))
    stack.enter_context(mock.patch.multiple(launch, cupy=cupy, cubin=nvrtc.ptx_file))
    stack.enter_context(mock.patch.multiple(cupy_memory, cupy=cupy, runtime=cupy.cuda.runtime))

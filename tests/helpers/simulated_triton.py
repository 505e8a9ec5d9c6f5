"""The Triton backend without a GPU: its compiled kernels on the simulated device.

Only the device is simulated; see `tests.simgpu`.
"""

from gpuopt.kernels.triton.launch import CHUNK, DeviceTotal
from gpuopt.kernels.triton.launch import DeviceTable as TritonTable

from gpuopt.engine.dispatch import Backend
from tests.simgpu import build, driver
from tests.simgpu.tables import Bounded

__all__ = ["BACKEND", "CHUNK", "SIMULATED_ON", "DeviceTable", "DeviceTotal", "problem"]

SIMULATED_ON = ("cpu",)

BACKEND = Backend("triton", __name__, ("cuda",), "install torch, triton and gcc")
"""Replaces the real backend in `gpuopt.engine.dispatch.BACKENDS`."""


def problem():
    return build.problem()


class DeviceTable(Bounded, TritonTable):
    """The backend's table with memory bounds; the first in a process activates the device."""

    def __init__(self, *arguments):
        driver.activate()
        super().__init__(*arguments)

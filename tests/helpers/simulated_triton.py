"""The Triton backend without a GPU: its compiled kernels, on the simulated device.

Everything is Triton's and gpuopt's own but the device: see `tests.simgpu`.
"""

from gpuopt.kernels.triton.launch import CHUNK, DeviceTotal
from gpuopt.kernels.triton.launch import DeviceTable as TritonTable

from gpuopt.engine.dispatch import Backend
from tests.simgpu import build, driver
from tests.simgpu.tables import Bounded

__all__ = ["BACKEND", "CHUNK", "SIMULATED_ON", "DeviceTable", "DeviceTotal", "problem"]

SIMULATED_ON = ("cpu",)

BACKEND = Backend("triton", __name__, ("cuda",), "install torch, triton and gcc")
"""What stands in for the real one among `gpuopt.engine.dispatch.BACKENDS`."""


def problem():
    return build.problem()


class DeviceTable(Bounded, TritonTable):
    """The backend's own, within bounds; the first one of a process activates the device."""

    def __init__(self, *arguments):
        driver.activate()
        super().__init__(*arguments)

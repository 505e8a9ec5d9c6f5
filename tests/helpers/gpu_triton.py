"""The Triton backend on a GPU, for the tests whose arrays lie on the host."""

from gpuopt.kernels.triton import launch as triton_cuda
from gpuopt.kernels.triton.launch import CHUNK, problem

from gpuopt.engine.dispatch import Backend
from tests.helpers.ferried import Ferried

__all__ = ["BACKEND", "CHUNK", "SIMULATED_ON", "DeviceTable", "problem"]

SIMULATED_ON = ("cpu",)

BACKEND = Backend("triton", __name__, ("cuda",), "install torch and triton")


class DeviceTable(Ferried, triton_cuda.DeviceTable):
    """The backend's own, with copies."""

"""The CuPy backend on a GPU, for the tests whose arrays lie on the host."""

from gpuopt.kernels.cuda import launch as cupy_cuda
from gpuopt.kernels.cuda.launch import CHUNK, problem

from gpuopt.engine.dispatch import Backend
from tests.helpers.ferried import Ferried

__all__ = ["BACKEND", "CHUNK", "SIMULATED_ON", "DeviceTable", "problem"]

SIMULATED_ON = ("cpu",)

BACKEND = Backend("cupy", __name__, ("cuda",), "install torch and cupy", library="cupy")


class DeviceTable(Ferried, cupy_cuda.DeviceTable):
    """The backend's own, with copies."""

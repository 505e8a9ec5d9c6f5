"""The CuPy backend on a GPU, for tests with host arrays."""

from gpuopt.kernels.cuda import launch as cupy_cuda
from gpuopt.kernels.cuda.launch import CHUNK, problem

from gpuopt.engine.dispatch import Backend
from tests.helpers.staged import Staged, StagedTotal

__all__ = ["BACKEND", "CHUNK", "SIMULATED_ON", "DeviceTable", "DeviceTotal", "problem"]

SIMULATED_ON = ("cpu",)

BACKEND = Backend("cupy", __name__, ("cuda",), "install torch and cupy", library="cupy")


class DeviceTable(Staged, cupy_cuda.DeviceTable):
    """The backend's table, with copies."""


class DeviceTotal(StagedTotal, cupy_cuda.DeviceTotal):
    """The backend's total, where the copies are."""

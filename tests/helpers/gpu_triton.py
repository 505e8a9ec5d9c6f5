"""The Triton backend on a GPU, for tests with host arrays."""

from gpuopt.kernels.triton import launch as triton_cuda
from gpuopt.kernels.triton.launch import CHUNK, problem

from gpuopt.engine.dispatch import Backend
from tests.helpers.staged import Staged, StagedTotal

__all__ = ["BACKEND", "CHUNK", "SIMULATED_ON", "DeviceTable", "DeviceTotal", "problem"]

SIMULATED_ON = ("cpu",)

BACKEND = Backend("triton", __name__, ("cuda",), "install torch and triton")


class DeviceTable(Staged, triton_cuda.DeviceTable):
    """The backend's table, with copies."""


class DeviceTotal(StagedTotal, triton_cuda.DeviceTotal):
    """The backend's total, where the copies are."""

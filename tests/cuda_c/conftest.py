"""The CUDA C runs here through g++."""

from functools import partial

import pytest
from gpuopt.kernels.cuda import entry_points as cuda_launch

import gpuopt
from gpuopt.engine.dispatch import BACKENDS
from tests.helpers import cuda_on_cpu, simulated_cupy


@pytest.fixture(autouse=True, scope="session")
def compiler():
    """Skip where the CUDA C cannot be compiled for the CPU."""
    if problem := cuda_on_cpu.problem():
        pytest.skip(problem)


class Recorder:
    """What a graph would hold; None while nothing is captured."""

    def __init__(self):
        self.graph = None

    def do(self, work):
        if self.graph is None:
            work()
        else:
            self.graph.append(work)

    def capture(self, step, *arguments):
        """Return a function that replays the step."""
        self.graph = []
        try:
            step(*arguments)
        finally:
            graph, self.graph = self.graph, None
        return lambda: [work() for work in graph]


@pytest.fixture
def device(monkeypatch):
    """A simulated device: while a graph is captured, what goes there is only written down."""
    made = Recorder()

    def send(self, values):
        made.do(partial(self.array.__setitem__, ..., values.copy()))

    def bound(*arguments, real=cuda_launch._bound):
        return partial(made.do, real(*arguments))

    def copy_number(self, *arguments, real=simulated_cupy.HostMemory.copy_number):
        made.do(partial(real, self, *arguments))

    monkeypatch.setattr(simulated_cupy.HostMemory, "copy_number", copy_number)
    monkeypatch.setitem(BACKENDS, "cupy", simulated_cupy.BACKEND)
    monkeypatch.setattr(simulated_cupy.StagedArray, "send", send)
    monkeypatch.setattr(simulated_cupy.HostMemory, "hold", lambda *_: made.graph is not None)
    monkeypatch.setattr(cuda_launch, "_bound", bound)
    with gpuopt.use_backend("cupy"):
        yield made

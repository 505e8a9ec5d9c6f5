"""Small arrays, and simulated devices for what only a GPU runs."""

from contextlib import contextmanager, nullcontext
from functools import partial

import pytest

from gpuopt.engine.dispatch import BACKENDS
from gpuopt.verify import libraries, on_device, values
from gpuopt.verify.devices import DEVICES
from tests.helpers import simulated_cupy
from tests.helpers.targets import Target, stand_ins, targets

SIZES = (0, 1, 7, 80, 90, 100, 300)


@pytest.fixture
def small(monkeypatch):
    """The checks take few elements, and few steps."""
    monkeypatch.setattr(values, "SIZES", SIZES)
    monkeypatch.setattr(on_device, "BIG", 10)
    monkeypatch.setattr(on_device, "MANY", 9)


class SimulatedDevice:
    """Runs at once what it is given, or, while a graph is captured, writes it down.

    Attributes:
        streams: how often another stream was made current.
        strict: how often waiting was made an error.
    """

    def __init__(self):
        self.graph, self.streams, self.strict = None, 0, 0

    def do(self, work):
        if self.graph is None:
            work()
        else:
            self.graph.append(work)

    def count(self):
        return 2

    def synchronize(self):
        pass

    @contextmanager
    def side_stream(self):
        self.streams += 1
        yield

    def capture(self, step):
        self.graph = []
        try:
            step()
        finally:
            graph, self.graph = self.graph, None
        return lambda: [work() for work in graph]

    def not_waiting(self):
        self.strict += 1
        return nullcontext()


def _simulate_triton(device, monkeypatch):
    from gpuopt.kernels import torch_memory
    from gpuopt.kernels.triton import launch

    def bound(*arguments, real=launch._launch):
        return partial(device.do, real(*arguments))

    def copy_number(self, *arguments, real=torch_memory.TorchMemory.copy_number):
        device.do(partial(real, self, *arguments))

    def send(self, values, real=torch_memory.StagedArray.send):
        device.do(partial(real, self, values.copy()))

    monkeypatch.setattr(launch, "_launch", bound)
    monkeypatch.setattr(torch_memory.TorchMemory, "copy_number", copy_number)
    monkeypatch.setattr(torch_memory.TorchMemory, "hold", lambda *_: device.graph is not None)
    monkeypatch.setattr(torch_memory.StagedArray, "send", send)


def _simulate_cupy(device, monkeypatch):
    from gpuopt.kernels.cuda import entry_points

    def bound(*arguments, real=entry_points._bound):
        return partial(device.do, real(*arguments))

    def copy_number(self, *arguments, real=simulated_cupy.HostMemory.copy_number):
        device.do(partial(real, self, *arguments))

    def send(self, values):
        device.do(partial(self.array.__setitem__, ..., values.copy()))

    monkeypatch.setattr(entry_points, "_bound", bound)
    monkeypatch.setattr(simulated_cupy.HostMemory, "copy_number", copy_number)
    monkeypatch.setattr(simulated_cupy.HostMemory, "hold", lambda *_: device.graph is not None)
    monkeypatch.setattr(simulated_cupy.StagedArray, "send", send)


SIMULATE = {"triton": _simulate_triton, "cupy": _simulate_cupy}


def pytest_generate_tests(metafunc):
    """Run a test with `device` on each simulated device that there is."""
    if "device" in metafunc.fixturenames:
        way = metafunc.config.way
        found = [t for t in targets(way, (90,)) if t.how] if way != "gpu" else []
        metafunc.parametrize("device", found or [None], indirect=True, ids=str)


@pytest.fixture
def device(request, monkeypatch, small):
    """A simulated device for torch tensors: its backend, and itself."""
    pytest.importorskip("torch")
    target: Target | None = request.param
    if target is None:
        pytest.skip("no simulated device runs here")
    for name, backend in stand_ins(request.config.way).items():
        monkeypatch.setitem(BACKENDS, name, backend)
    made = SimulatedDevice()
    monkeypatch.setattr(libraries, "CUDA", "cpu")
    monkeypatch.setitem(DEVICES, "torch", made)
    SIMULATE[target.name](made, monkeypatch)
    with target.in_force(monkeypatch):
        yield target.name, made

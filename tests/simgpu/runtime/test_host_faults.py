"""Faults of the host, put into the shipped code, are seen on the machine."""

import contextlib
import gc

import numpy as np
import pytest
from gpuopt.kernels import device_table, staging_pool, torch_memory

import gpuopt
from gpuopt.engine.launches import Launches

from .graphs import CaptureError
from .machine import MemoryFault, RaceError

torch = pytest.importorskip("torch")
GRAD = np.ones(8, np.float32)
SUM = [-6.0] * 8
"""What four steps give, by gradients of 0, 1, 2 and 3."""


def step(library, count=1, number=0):
    """Step with new gradients; return the optimizer and its array."""
    param = library.array(np.zeros(8, np.float32), number)
    optimizer = gpuopt.SGD([param], lr=1.0)
    for value in range(count):
        optimizer.step([library.array(GRAD * value, number)])
    return optimizer, param


@pytest.fixture
def cupy_by_triton(machine):
    from .libraries import by

    with by("cupy", "triton") as library:
        yield library


@pytest.fixture
def torchs(machine):
    from .libraries import by

    with by("torch", "triton") as library:
        yield library


@pytest.fixture
def cupys(machine):
    pytest.importorskip("cupy")
    pytest.importorskip("cuda.bindings")
    from .libraries import by

    with by("cupy", "cupy") as library:
        yield library


# --- streams and devices -------------------------------------------------------------------------


def test_cupys_default_stream_becomes_a_stream_of_torchs_pool(cupy_by_triton, machine, monkeypatch):
    def stream_of(handle, device):
        return torch.cuda.ExternalStream(handle, device)

    monkeypatch.setattr(torch_memory, "stream_of", stream_of)
    with pytest.raises(RaceError, match=r"multi_tensor_\w+ in "):
        step(cupy_by_triton, 2)
        machine.finish()


@pytest.mark.parametrize("backend", ["triton", "cupy"])
def test_nobody_makes_the_device_of_the_arrays_current(machine, monkeypatch, backend):
    if backend == "cupy":
        pytest.importorskip("cupy")
        pytest.importorskip("cuda.bindings")
    from .libraries import by

    monkeypatch.setattr(torch_memory.TorchMemory, "current", lambda _: contextlib.nullcontext())
    fault = pytest.raises(MemoryFault, match=r"cuda:0.*which is memory of cuda:1")
    with by("torch", backend) as library, fault:
        step(library, 2, number=1)
        machine.finish()


def test_kernels_are_compiled_outside_of_the_guard(torchs, monkeypatch):
    real = device_table.DeviceTable._walk

    def walk(self, *arguments):
        with torch.cuda.device(0):
            return real(self, *arguments)

    monkeypatch.setattr(device_table.DeviceTable, "_walk", walk)
    step(torchs, 2, number=0)
    with pytest.raises(RuntimeError, match="was loaded on cuda:0, and is launched in"):
        step(torchs, 2, number=1)


# --- memory --------------------------------------------------------------------------------------


def in_two_streams(library):
    """Step in one stream, then in another that waits, and drop the optimizer behind that."""
    first, second = library.stream(), library.stream()
    with library.inside(first):
        optimizer, param = step(library, 2)
        grad = library.array(GRAD)
    library.wait(second, first)
    with library.inside(second):
        optimizer.step([grad])
        del optimizer
    gc.collect()
    return param, first, second, grad


def test_tables_are_freed_while_another_stream_uses_them(torchs, monkeypatch):
    held = [in_two_streams(torchs)]
    torchs.synchronize()
    monkeypatch.setattr(torch_memory.TorchMemory, "hold", lambda *_: False)
    held.append(in_two_streams(torchs))
    with pytest.raises(RaceError, match="the reuse of"):
        torchs.synchronize()


def test_one_pinned_buffer_for_all_steps(torchs, monkeypatch):
    assert torchs.values(step(torchs, 4)[1]).tolist() == SUM

    def send(self, values):
        self.buffer = getattr(self, "buffer", None)
        if self.buffer is None:
            self.buffer = self._new_buffer()
        self.array.copy_(self.buffer.copy_(torch.from_numpy(values)), non_blocking=True)

    monkeypatch.setattr(torch_memory.StagedArray, "send", send)
    with pytest.raises(MemoryFault, match="multi_tensor_update"):  # it reads of later gradients
        torchs.values(step(torchs, 4)[1])


def test_a_pinned_buffer_that_is_taken_too_early(cupys, monkeypatch):
    from gpuopt.kernels.cuda import cupy_memory

    def first(self):
        self._pool.fill()
        self._buffers = self._buffers or [cupy_memory._Buffer(self.array)]
        return self._buffers[0]

    assert cupys.values(step(cupys, 4)[1]).tolist() == SUM
    monkeypatch.setattr(cupy_memory.StagedArray, "_free_buffer", first)
    with pytest.raises(MemoryFault, match="multi_tensor_update"):
        cupys.values(step(cupys, 4)[1])


# --- graphs --------------------------------------------------------------------------------------


def test_a_kernel_of_cupys_that_is_first_needed_while_a_graph_is_captured(cupys, monkeypatch):
    real = device_table.DeviceTable.skip_if

    def skip_if(self, number):
        real(self, self._options.array[:1, :1] if number is None and self.captured else number)

    monkeypatch.setattr(device_table.DeviceTable, "skip_if", skip_if)
    optimizer, _ = step(cupys)
    with pytest.raises(CaptureError, match="loads CuPy's kernel elementwise_copy"):
        cupys.capture(optimizer.step, [cupys.array(GRAD)])


def test_a_buffer_that_is_allocated_while_a_graph_is_captured(torchs, monkeypatch):
    optimizer, _ = step(torchs)
    monkeypatch.setattr(staging_pool.StagingPool, "take", lambda self: self._new())
    with pytest.raises(CaptureError, match="allocates memory"):
        torchs.capture(optimizer.step, [torchs.array(GRAD)])


def test_a_buffer_that_its_graph_does_not_keep(torchs, monkeypatch):
    optimizer, param = step(torchs)
    grad = torchs.array(GRAD)
    monkeypatch.setattr(staging_pool.StagingPool, "take", lambda self: self.ready.pop())
    replay = torchs.capture(optimizer.step, [grad])
    replay()
    with pytest.raises(MemoryFault, match="freed pinned memory"):
        torchs.values(param)


def test_a_table_that_its_graph_does_not_keep(torchs, monkeypatch):
    optimizer, param = step(torchs)
    grad = torchs.array(GRAD)
    replay = torchs.capture(optimizer.step, [grad])
    monkeypatch.setattr(Launches, "_replace", lambda self, new: setattr(self, "_launches", new))
    optimizer.load_state_dict(optimizer.state_dict())
    replay()
    with pytest.raises(MemoryFault, match=r"was freed|freed memory"):
        torchs.values(param)


def test_a_step_that_waits_while_a_graph_is_captured(torchs, monkeypatch):
    optimizer, _ = step(torchs)
    real = gpuopt.kernels.device_table.DeviceTable.run

    def run(self):
        real(self)
        self.read_steps()

    monkeypatch.setattr(device_table.DeviceTable, "run", run)
    with pytest.raises(CaptureError, match="waits for a stream that is captured"):
        torchs.capture(optimizer.step, [torchs.array(GRAD)])


def test_it_is_the_shipped_code_that_runs(torchs):
    optimizer, _ = step(torchs)
    (launch,) = optimizer._fused._launches
    assert type(launch.memory).__module__ == "gpuopt.kernels.triton.launch"
    assert type(launch.memory._memory) is torch_memory.TorchMemory

"""Copies through pinned memory to CuPy arrays, without a GPU: none is done before it is said."""

from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("cupy")

from gpuopt.kernels.cuda import cupy_memory


class Buffer:
    """Pinned memory, and the event behind the copies from it."""

    def __init__(self, _):
        self.values, self.copied = np.zeros(3), SimpleNamespace(done=False, record=lambda: None)


@pytest.fixture
def device(monkeypatch):
    """A device in place of CuPy's, with the addresses of the memory that it is to copy from."""
    made = SimpleNamespace(sources=[], capturing=False)
    runtime = SimpleNamespace(
        memcpyHostToDevice=1,
        memcpyAsync=lambda to, source, *_: made.sources.append(source),
        streamIsCapturing=lambda stream: made.capturing,
    )
    cuda = SimpleNamespace(get_current_stream=lambda: SimpleNamespace(ptr=0))
    monkeypatch.setattr(cupy_memory, "cupy", SimpleNamespace(cuda=cuda))
    monkeypatch.setattr(cupy_memory, "runtime", runtime)
    monkeypatch.setattr(cupy_memory, "_Buffer", Buffer)
    return made


def staged_array():
    return cupy_memory.StagedArray(SimpleNamespace(data=SimpleNamespace(ptr=0)))


def test_memory_that_is_still_to_be_copied_from_is_not_written(device):
    box = staged_array()
    for value in (1.0, 2.0):
        box.send(np.full(3, value))
    buffers = box._buffers
    assert device.sources == [buffer.values.ctypes.data for buffer in buffers]
    assert [buffer.values.tolist() for buffer in buffers] == [[1.0] * 3, [2.0] * 3]
    buffers[1].copied.done = True
    box.send(np.full(3, 3.0))
    assert device.sources[2] == device.sources[1]
    assert [buffer.values.tolist() for buffer in buffers] == [[1.0] * 3, [3.0] * 3]


def test_memory_of_a_graph_is_its_own(device):
    box = staged_array()
    device.capturing = True
    box.send(np.ones(3))
    device.capturing = False
    (taken,) = box._pool.taken
    taken.copied.done = True
    box.send(np.zeros(3))
    assert device.sources[0] == taken.values.ctypes.data != device.sources[1]
    assert taken.values.tolist() == [1.0] * 3

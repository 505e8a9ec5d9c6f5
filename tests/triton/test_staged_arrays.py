"""Values for the device through pinned memory: which block they take, and who keeps it.

The device, its stream and pinned memory are stand-ins: copies wait until the stream runs.
"""

from types import SimpleNamespace

import numpy as np
import pytest

from tests.helpers.tensors import torch

READY = 4
torch_memory = pytest.importorskip("gpuopt.kernels.torch_memory")


class OnDevice:
    """A tensor whose copies from pinned memory are done when the stream comes to them."""

    is_cuda = True

    def __init__(self, values, stream):
        self.values, self._stream = torch.from_numpy(np.array(values)), stream
        self.shape, self.dtype = self.values.shape, self.values.dtype

    def copy_(self, source, non_blocking=False):
        assert non_blocking, "the host would wait"
        self._stream.append(lambda: self.values.copy_(source))


class Device:
    """What StagedArray sees of torch and of a device.

    Attributes:
        stream: copies that wait, in order.
        blocks: the pinned memory that was asked for.
        capturing: whether a graph records what is done.
    """

    def __init__(self):
        self.stream, self.blocks, self.capturing = [], [], False

    def empty(self, shape, *, dtype, device, pin_memory):
        assert pin_memory and device == "cpu"
        assert not self.capturing, "a block was asked for during a capture"
        self.blocks.append(torch.full(shape, -1, dtype=dtype))
        return self.blocks[-1]

    def run(self):
        """Do what waits."""
        replay(self.stream)
        self.stream.clear()


@pytest.fixture
def device(monkeypatch):
    """A device, in place of torch's."""
    made = Device()
    cuda = SimpleNamespace(is_current_stream_capturing=lambda: made.capturing)
    fake = SimpleNamespace(from_numpy=torch.from_numpy, empty=made.empty, cuda=cuda)
    monkeypatch.setattr(torch_memory, "torch", fake)
    monkeypatch.setattr(torch_memory, "upload", lambda values, _: OnDevice(values, made.stream))
    return made


def staged_array():
    return torch_memory.StagedArray(np.zeros(3), "cuda:0")


def threes(value):
    return np.full(3, value, np.float64)


def held(box):
    return box.array.values.tolist()


def capture(device, box, *sent):
    """Record sends as a graph; nothing is copied meanwhile."""
    device.capturing = True
    try:
        for values in sent:
            box.send(values)
    finally:
        device.capturing = False
    graph = list(device.stream)
    device.stream.clear()
    return graph


def replay(graph):
    """Do the copies of a graph, as often as one likes."""
    for copy in graph:
        copy()


def test_what_is_sent_is_what_was_there_at_the_time(device):
    box, values = staged_array(), threes(1.0)
    box.send(values)
    values[:] = 2.0
    assert held(box) == [0.0] * 3
    device.run()
    assert held(box) == [1.0] * 3


def test_a_block_that_is_still_to_be_copied_from_is_not_written(device):
    box = staged_array()
    box.send(threes(1.0))
    box.send(threes(2.0))
    first, second = device.stream
    first()
    assert held(box) == [1.0] * 3
    second()
    assert held(box) == [2.0] * 3


def test_captures_take_blocks_that_are_ready(device):
    box = staged_array()
    ready = list(device.blocks)
    assert len(ready) == READY
    capture(device, box, threes(1.0), threes(1.0))
    assert device.blocks == ready
    assert [block.tolist() == [1.0] * 3 for block in ready].count(True) == 2


def test_the_block_belongs_to_the_graph(device):
    box = staged_array()
    graph = capture(device, box, threes(1.0))
    for value in (2.0, 3.0):
        box.send(threes(value))
        device.run()
        assert held(box) == [value] * 3
    replay(graph)
    assert held(box) == [1.0] * 3


def test_the_mailbox_keeps_the_blocks_of_its_graphs(device):
    box = staged_array()
    capture(device, box, threes(1.0))
    (kept,) = box.pool.taken
    assert kept.tolist() == [1.0] * 3
    assert not any(block is kept for block in box.pool.ready)


def test_more_captured_steps_than_blocks_are_refused(device):
    box = staged_array()
    capture(device, box, *[threes(1.0)] * READY)
    for _ in range(2):
        with pytest.raises(RuntimeError, match="since the last ordinary step: take one between"):
            capture(device, box, threes(2.0))
    assert all(block.tolist() == [1.0] * 3 for block in device.blocks)


def test_an_ordinary_step_readies_another_block(device):
    box = staged_array()
    graphs = [capture(device, box, threes(1.0))]
    box.send(threes(2.0))
    device.run()
    graphs.append(capture(device, box, threes(3.0)))
    for graph, value in zip(graphs, (1.0, 3.0)):
        replay(graph)
        assert held(box) == [value] * 3


def test_on_the_cpu_nothing_is_pinned():
    box = torch_memory.StagedArray(threes(0.0), "cpu")
    box.send(threes(1.0))
    assert box.array.tolist() == [1.0] * 3
    assert box.pool is None


def test_an_upload_is_a_copy():
    values = threes(1.0)
    uploaded = torch_memory.upload(values, "cpu")
    values[:] = 2.0
    assert uploaded.tolist() == [1.0] * 3

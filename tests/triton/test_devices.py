"""Arrays on several devices: each table is launched, and written to, on its own device.

The devices are pretended and the kernels are not run; everything else is as it is.
"""

from contextlib import contextmanager

import numpy as np
import pytest

import gpuopt
from gpuopt.engine import dispatch
from tests.helpers.tensors import on, pretend, torch

torch_memory = pytest.importorskip("gpuopt.kernels.torch_memory")
triton_cuda = pytest.importorskip("gpuopt.kernels.triton.launch")

DEVICES = ("cuda:1", "cuda:0")


class Kernel:
    """Stands for a kernel of Triton, and for what it is compiled to."""

    params = ()

    def __init__(self, recorder, name):
        self._recorder, self._name = recorder, name

    def warmup(self, *arguments, grid, **constants):
        self._recorder.note(f"{self._name} compiled")
        return self

    def __getitem__(self, grid):
        self._recorder.note(f"{self._name} loaded")
        return lambda *arguments: self._recorder.note(self._name)


class Recorder:
    """What is done, and which device is the current one meanwhile; at first cuda:0."""

    def __init__(self):
        self.current, self.events = ["cuda:0"], []

    @contextmanager
    def device(self, chosen):
        """Stands for torch.cuda.device."""
        self.current.append(self.current[-1] if chosen == -1 else str(chosen))
        yield
        self.current.pop()

    def note(self, what):
        self.events.append((self.current[-1], what))

    def kernel(self, name):
        """Stands for a kernel: that it is compiled, loaded and launched is noted."""
        return Kernel(self, name)

    def take(self):
        """Return what was done, and forget it."""
        events, self.events = self.events, []
        return events


@pytest.fixture
def recorder(monkeypatch):
    """Pretended devices, and the Triton backend as if it could use them."""
    made = Recorder()
    send = torch_memory.StagedArray.send

    def noted(box, values):
        made.note(f"{values.dtype} sent")
        send(box, values)

    pretend(monkeypatch)
    monkeypatch.setattr(dispatch, "_problem", lambda module, install: None)
    monkeypatch.setattr(torch.cuda, "device", made.device)
    monkeypatch.setattr(
        torch_memory, "upload", lambda values, _: torch.from_numpy(np.array(values))
    )
    monkeypatch.setattr(torch_memory.StagedArray, "send", noted)
    for name in ("multi_tensor_coefficients", "multi_tensor_update"):
        monkeypatch.setattr(triton_cuda, name, made.kernel(name))
    with gpuopt.use_backend("triton"):
        yield made


def ones():
    return [on(device, torch.ones(5)) for device in DEVICES]


def launches(recorder):
    """Which devices were launched on, in order; both kernels on each."""
    events = [e for e in recorder.take() if e[1].startswith("multi_tensor")]
    events = [e for e in events if " " not in e[1]]
    devices = [device for device, _ in events[::2]]
    names = ("multi_tensor_coefficients", "multi_tensor_update")
    assert events == [(device, name) for device in devices for name in names]
    return devices


def test_each_table_is_launched_on_its_device(recorder):
    optimizer = gpuopt.Adam(ones())
    for _ in range(2):
        optimizer.step(ones())
        assert launches(recorder) == list(DEVICES)
    assert recorder.current == ["cuda:0"]


def test_addresses_that_moved_are_sent_in_the_order_of_each_device(recorder):
    optimizer = gpuopt.Adam(ones())
    grads = ones()
    optimizer.step(grads)
    recorder.take()
    grads[0] = on(DEVICES[0], torch.ones(5))
    optimizer.step(grads)
    sent = [event for event in recorder.take() if "sent" in event[1]]
    assert sent == [(DEVICES[0], "int64 sent")]


def test_options_are_sent_in_the_order_of_each_device(recorder):
    optimizer = gpuopt.Adam(ones())
    grads = ones()
    optimizer.step(grads)
    recorder.take()
    optimizer.lr = 0.5
    optimizer.step(grads)
    sent = [event for event in recorder.take() if "sent" in event[1]]
    assert sent == [(device, "float64 sent") for device in DEVICES]


def test_nothing_is_sent_when_nothing_changed(recorder):
    optimizer = gpuopt.Adam(ones())
    grads = ones()
    optimizer.step(grads)
    recorder.take()
    optimizer.step(grads)
    assert not [event for event in recorder.take() if "sent" in event[1]]


def test_all_is_compiled_and_loaded_on_its_device_before_anything_is_updated(recorder):
    gpuopt.Adam(ones()).step(ones())
    events = [e for e in recorder.take() if e[1].startswith("multi_tensor")]
    made, launched = events[:8], events[8:]
    names = ("multi_tensor_coefficients", "multi_tensor_update")
    assert made == [
        (device, f"{name} {what}")
        for device in DEVICES
        for name in names
        for what in ("compiled", "loaded")
    ]
    assert launched == [(device, name) for device in DEVICES for name in names]

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
        """Stands for a kernel: a launch is noted."""
        return type(
            "Kernel",
            (),
            {
                "__getitem__": lambda _, grid: lambda *a, **k: self.note(name),
                "warmup": lambda _, *a, **k: self.note(f"{name} compiled"),
            },
        )()

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
    events = [e for e in events if not e[1].endswith("compiled")]
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


def test_all_is_compiled_before_anything_is_updated(recorder):
    gpuopt.Adam(ones()).step(ones())
    events = [what for _, what in recorder.take() if what.startswith("multi_tensor")]
    assert events == sorted(events, key=lambda what: not what.endswith("compiled"))
    assert len(events) == 8

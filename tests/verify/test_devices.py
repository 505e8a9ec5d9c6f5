"""The calls to torch and CuPy that only a GPU can answer: which, and in what order."""

import inspect
from contextlib import contextmanager, nullcontext

import pytest

from gpuopt.verify.devices import CupyDevice, Device, TorchDevice


class Recorder:
    """Stands for streams and graphs, and writes down what is asked of them."""

    def __init__(self):
        self.events = []

    def stream(self, name):
        recorder = self

        class Stream:
            def __init__(self, **options):
                self.options = options

            def wait_stream(self, other):
                recorder.events.append(f"{name} waits for {other}")

            def record(self):
                return f"event of {name}"

            def wait_event(self, event):
                recorder.events.append(f"{name} waits for {event}")

            def begin_capture(self):
                recorder.events.append("begin")

            def end_capture(self):
                recorder.events.append("end")
                return recorder

            def __str__(self):
                return name

            def __enter__(self):
                recorder.events.append(f"on {name}")

            def __exit__(self, *error):
                recorder.events.append(f"off {name}")

        return Stream

    def replay(self):
        self.events.append("replay")

    def launch(self, stream):
        self.events.append(f"launch on {stream}")

    def note(self, what="step"):
        self.events.append(what)


@pytest.fixture
def recorder():
    return Recorder()


@pytest.mark.parametrize("kind", [TorchDevice, CupyDevice])
def test_both_have_all_methods(kind):
    asked = {name for name, one in vars(Device).items() if inspect.isfunction(one)}
    assert {name for name in asked if not name.startswith("_")} <= set(dir(kind))


def test_a_side_stream_of_torch_lies_between_what_is_queued_before_and_after(recorder, monkeypatch):
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(torch.cuda, "current_stream", recorder.stream("main"))
    monkeypatch.setattr(torch.cuda, "Stream", recorder.stream("side"))
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: stream)
    with TorchDevice().side_stream():
        recorder.note()
    assert recorder.events == [
        "side waits for main",
        "on side",
        "step",
        "off side",
        "main waits for side",
    ]


def test_a_graph_of_torch(recorder, monkeypatch):
    torch = pytest.importorskip("torch")

    @contextmanager
    def graph(made):
        assert made is recorder
        recorder.note("begin")
        yield
        recorder.note("end")

    monkeypatch.setattr(torch.cuda, "CUDAGraph", lambda: recorder)
    monkeypatch.setattr(torch.cuda, "graph", graph)
    replay = TorchDevice().capture(recorder.note)
    assert recorder.events == ["begin", "step", "end"]
    replay()
    assert recorder.events[3:] == ["replay"]


@pytest.mark.parametrize("error", [None, RuntimeError])
def test_waiting_is_an_error_inside_the_block_alone(monkeypatch, error):
    torch = pytest.importorskip("torch")
    modes = ["default"]
    monkeypatch.setattr(torch.cuda, "get_sync_debug_mode", lambda: modes[-1])
    monkeypatch.setattr(torch.cuda, "set_sync_debug_mode", modes.append)
    with pytest.raises(error) if error else nullcontext(), TorchDevice().not_waiting():
        assert modes[-1] == "error"
        if error:
            raise error
    assert modes[-1] == "default"


def test_a_side_stream_of_cupy_lies_between_what_is_queued_before_and_after(recorder, monkeypatch):
    cupy = pytest.importorskip("cupy")
    monkeypatch.setattr(cupy.cuda, "get_current_stream", recorder.stream("main"))
    monkeypatch.setattr(cupy.cuda, "Stream", recorder.stream("side"))
    with CupyDevice().side_stream():
        recorder.note()
    assert recorder.events == [
        "side waits for event of main",
        "on side",
        "step",
        "off side",
        "main waits for event of side",
    ]


def test_a_graph_of_cupy(recorder, monkeypatch):
    cupy = pytest.importorskip("cupy")
    monkeypatch.setattr(cupy.cuda, "get_current_stream", recorder.stream("side"))
    replay = CupyDevice().capture(recorder.note)
    assert recorder.events == ["begin", "step", "end"]
    replay()
    assert recorder.events[3:] == ["launch on side"]


def test_a_capture_of_cupy_that_fails_is_ended(recorder, monkeypatch):
    cupy = pytest.importorskip("cupy")
    monkeypatch.setattr(cupy.cuda, "get_current_stream", recorder.stream("side"))
    with pytest.raises(ZeroDivisionError):
        CupyDevice().capture(lambda: 1 / 0)
    assert recorder.events == ["begin", "end"]


def test_what_is_called_is_there():
    """In the versions that are installed here; no call is made."""
    torch, cupy = pytest.importorskip("torch"), pytest.importorskip("cupy")
    for name in ("CUDAGraph.replay", "graph", "Stream.wait_stream", "stream", "current_stream"):
        assert _at(torch.cuda, name), name
    for name in ("synchronize", "device_count", "set_sync_debug_mode", "get_sync_debug_mode"):
        assert _at(torch.cuda, name), name
    assert _at(torch.amp, "GradScaler")
    names = ("Stream.begin_capture", "Stream.end_capture", "Stream.record", "Stream.wait_event")
    for name in (*names, "Graph.launch", "Device.synchronize", "runtime.getDeviceCount"):
        assert _at(cupy.cuda, name), name


def _at(module, path):
    for name in path.split("."):
        module = getattr(module, name)
    return module

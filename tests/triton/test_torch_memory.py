"""Streams and pinned memory of torch, with stand-ins for what needs a device."""

from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch")
torch_memory = pytest.importorskip("gpuopt.kernels.torch_memory")
from gpuopt.verify.devices import no_waiting  # noqa: E402  (after what may skip)


@pytest.fixture
def streams(monkeypatch):
    """CuPy's current stream, and the streams of torch that were entered."""
    cupy, entered = SimpleNamespace(ptr=0), []

    def external(handle, device):
        # As torch's constructor: without a handle, a new stream of its pool.
        return f"external {handle}" if handle else "a new one of the pool"

    current = SimpleNamespace(cuda=SimpleNamespace(get_current_stream=lambda device: cupy))
    monkeypatch.setitem(torch_memory.sys.modules, "cupy", current)
    monkeypatch.setattr(torch.cuda, "device", lambda device: nullcontext())
    monkeypatch.setattr(torch.cuda, "ExternalStream", external)
    monkeypatch.setattr(torch.cuda, "default_stream", lambda device: f"default of {device}")
    monkeypatch.setattr(torch.cuda, "stream", lambda s: nullcontext(entered.append(s)))
    return cupy, entered


@pytest.mark.parametrize("handle", [0, 1])
def test_cupys_default_stream_is_torchs(streams, handle):
    cupy, entered = streams
    cupy.ptr = handle
    memory = torch_memory.TorchMemory("cuda:1", "cupy")
    for _ in range(2):
        with memory.current():
            pass
    assert entered == ["default of cuda:1"] * 2


def test_another_stream_of_cupy_is_the_same_in_torch(streams):
    cupy, entered = streams
    cupy.ptr = 4711
    with torch_memory.TorchMemory("cuda:0", "cupy").current():
        pass
    assert entered == ["external 4711"]


def test_pinned_memory_is_on_the_host_whatever_the_default_device(monkeypatch):
    empty = torch.empty

    def pinned(*shape, pin_memory, **options):
        assert pin_memory
        return empty(*shape, **options)

    staged = torch_memory.StagedArray(np.zeros(3, np.float32), "cpu")
    with torch.device("meta"):
        assert torch.empty(1).device.type == "meta"  # torch notes now which functions make tensors
        monkeypatch.setattr(torch, "empty", pinned)
        assert staged._new_buffer().device.type == "cpu"


def test_a_number_of_another_library_goes_where_its_array_is():
    memory, array = torch_memory.TorchMemory("cpu", "torch"), torch.zeros(2, 2)
    with torch.device("meta"):
        memory.copy_number(array, slice(None), 1, np.float32(3.0))
    assert array.tolist() == [[0.0, 3.0], [0.0, 3.0]]


def test_the_mode_in_which_waiting_is_an_error_ends_with_its_block():
    """torch warns, once, after the mode is set; warnings are errors in the tests."""
    modes = ["default"]

    def set_mode(mode):
        modes.append(mode)
        if mode == "error":
            torch_memory.sys.modules["warnings"].warn("a prototype", UserWarning)

    cuda = SimpleNamespace(get_sync_debug_mode=lambda: modes[-1], set_sync_debug_mode=set_mode)
    with pytest.raises(ZeroDivisionError), no_waiting(SimpleNamespace(cuda=cuda)):
        assert modes[-1] == "error"
        raise ZeroDivisionError
    assert modes == ["default", "error", "default"]


@pytest.mark.parametrize(
    ("found", "headers", "missing"),
    [("gcc", True, None), ("gcc", False, "Python.h"), (None, True, "a C compiler")],
)
def test_what_triton_needs_to_build_its_launchers(monkeypatch, tmp_path, found, headers, missing):
    launch = pytest.importorskip("gpuopt.kernels.triton.launch")
    if headers:
        (tmp_path / "Python.h").write_text("")
    monkeypatch.setattr(launch, "INTERPRETED", False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(launch.shutil, "which", lambda name: found)
    monkeypatch.setattr(launch.sysconfig, "get_path", lambda *which: str(tmp_path))
    problem = launch.problem()
    assert problem is None if missing is None else missing in problem

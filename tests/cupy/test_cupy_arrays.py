"""CuPy arrays in the optimizers."""

import types

import numpy as np
import pytest
from gpuopt.kernels.cuda import source as cuda_c

import gpuopt
from gpuopt.arrays import describe, foreign
from gpuopt.engine.dispatch import BACKENDS, Place, explain, place_of
from gpuopt.rules.definitions import DEFINITIONS
from gpuopt.rules.rounding import SEED
from tests.cupy.conftest import cupy, over, values_of
from tests.helpers import cuda_on_cpu, simulated_cupy
from tests.helpers.exact import assert_same_bits
from tests.helpers.optimizers import VARIANTS, arrays, gradients, make

ml_dtypes = pytest.importorskip("ml_dtypes")


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", ml_dtypes.bfloat16])
def test_where_they_lie(dtype):
    host = np.zeros((4, 6), dtype)
    memory = describe(over(host, device=3), "p")
    assert (memory.device, memory.library, memory.writable) == ("cuda:3", "cupy", True)
    assert (memory.address, memory.shape, memory.strides) == (host.ctypes.data, (4, 6), (6, 1))
    assert memory.dtype == np.dtype(dtype).name
    part = describe(over(host)[1::2, ::-1].T, "p")
    assert part.address == host[1::2, ::-1].ctypes.data
    assert (part.shape, part.strides) == ((6, 2), (-1, 12))


def test_integers_are_refused():
    with pytest.raises(TypeError, match=r"^p: expected one of float64, .*int32"):
        describe(over(np.zeros(3, np.int32)), "p")


def test_their_own_backend_comes_first_and_torchs_for_torch(monkeypatch):
    monkeypatch.setattr("gpuopt.engine.dispatch._problem", lambda module, install: None)
    monkeypatch.setitem(BACKENDS, "cupy", simulated_cupy.BACKEND)
    array = over(np.zeros(3, np.float32), device=1)
    assert place_of(describe(array, "p")) == Place("cuda:1", "cupy")
    assert gpuopt.explain([array]).chosen == {"cuda:1 (cupy)": "cupy"}
    reasons = explain(array).reasons["cuda:1 (cupy)"]
    assert reasons["triton"] == "usable, but cupy comes first"
    assert gpuopt.engine.dispatch.chosen("cuda:1", "torch").name == "triton"


def copies(name):
    """Whether a state starts as a copy of the parameter, which CuPy makes by a kernel."""
    return any(rule.copies for rule in DEFINITIONS[name].all_rules)


@pytest.mark.parametrize(("name", "options"), [v for v in VARIANTS if not copies(v[0])])
def test_every_optimizer_steps_them(simulated, name, options):
    held, params = arrays(0), arrays(0)
    optimizer = make(name, [over(a) for a in held], **options)
    expected = make(name, params, **options)
    with gpuopt.use_backend("numpy"):
        for step in range(3):
            expected.step(gradients(step))
    for step in range(3):
        optimizer.step([over(g) for g in gradients(step)])
    assert optimizer.backend == "cupy"
    for mine, theirs in zip(held, params):
        assert_same_bits(mine, theirs)
    for key, state in expected.state.items():
        mine = dict(optimizer.state[key])
        assert mine.pop("step") == state["step"]
        assert mine.pop(SEED, None) == state.get(SEED)
        for each, array in mine.items():
            if isinstance(array, float):  # a number that a tensor carries
                assert array == state[each]
            else:
                assert_same_bits(values_of(array), state[each])


def test_a_gradient_on_another_device_is_refused(simulated):
    optimizer = gpuopt.SGD([over(np.zeros(3, np.float32))], lr=1.0)
    with pytest.raises(ValueError, match="expected an array on cuda:0, got cuda:1"):
        optimizer.step([over(np.ones(3, np.float32), device=1)])


def test_mixed_with_numpy_arrays_each_by_its_backend(simulated):
    host, there = np.zeros(3, np.float32), np.zeros(3, np.float32)
    optimizer = gpuopt.SGD([host, over(there)], lr=1.0)
    with gpuopt.use_backend(None):
        optimizer.step([np.ones(3, np.float32), over(np.ones(3, np.float32))])
    assert host.tolist() == there.tolist() == [-1, -1, -1]
    assert optimizer.backend.split("+")[1] == "cupy"


class Modules:
    """Stands for cupy.RawModule: compiles for the CPU, and notes how kernels are launched."""

    def __init__(self):
        self.compiled, self.launched = [], []

    def cubin(self, text, arch):
        self.compiled.append(arch)
        self.module = cuda_on_cpu.Module(text)
        return "folder/module.cubin"

    def __call__(self, *, path):
        assert path == "folder/module.cubin"
        return self

    def get_function(self, name):
        def launch(grid, block, arguments, *, stream):
            self.launched.append((name, grid, block, stream.ptr))
            self.module.launch(name, grid, block, arguments)

        return launch


def test_what_cupy_is_asked_for(simulated, monkeypatch):
    """The page that only a GPU can run, with a compiler and a memory of the host's."""
    cupy_cuda = pytest.importorskip("gpuopt.kernels.cuda.launch")
    modules, memory = Modules(), simulated_cupy.HostMemory()
    memory.stream = lambda: 77
    device = types.SimpleNamespace(compute_capability="90")
    cuda = types.SimpleNamespace(Device=lambda: device)
    monkeypatch.setattr(cupy_cuda, "cupy", types.SimpleNamespace(RawModule=modules, cuda=cuda))
    monkeypatch.setattr(cupy_cuda, "cubin", modules.cubin)
    monkeypatch.setattr(cupy_cuda, "_memory_of", lambda device, library: memory)
    monkeypatch.setattr(simulated_cupy, "DeviceTable", cupy_cuda.DeviceTable)
    host = np.zeros(cuda_c.CHUNK + 1, np.float32)
    optimizer = gpuopt.SGD([over(host)], lr=1.0)
    for _ in range(2):
        optimizer.step([over(np.ones_like(host))])
    assert (host == -2).all()
    assert modules.compiled == [90]
    assert modules.launched == 2 * [
        ("multi_tensor_coefficients", (1,), (cuda_c.COEFFICIENT_THREADS,), 77),
        ("multi_tensor_update", (2,), (cuda_c.THREADS,), 77),
    ]


def test_the_memory_of_each_library(monkeypatch):
    cupy_cuda = pytest.importorskip("gpuopt.kernels.cuda.launch")
    pytest.importorskip("torch")
    assert type(cupy_cuda._memory_of("cuda:1", "torch")).__name__ == "TorchMemory"
    memory = cupy_cuda._memory_of("cuda:1", "cupy")
    assert type(memory).__name__ == "CupyMemory"
    assert isinstance(cupy.cuda.Device(1), type(memory.current()))


def test_halves_that_interleave_do_not_overlap(simulated):
    whole = np.zeros((3, 8), np.float32)
    halves = [over(whole)[:, :4], over(whole)[:, 4:]]
    gpuopt.SGD(halves, lr=1.0)
    with pytest.raises(ValueError, match=r"params\[0\] and params\[1\] overlap in memory"):
        gpuopt.SGD([halves[0], over(whole)[:, 3:]], lr=1.0)


def test_the_same_memory_on_another_device_is_other_memory(simulated):
    host = np.zeros(3, np.float32)
    gpuopt.SGD([over(host), over(host, device=1)], lr=1.0)


def test_arrays_that_stay_are_not_described_again(simulated, monkeypatch):
    params = [over(a) for a in arrays(0)]
    grads = [over(g) for g in gradients(0)]
    optimizer = gpuopt.Adam(params)
    for _ in range(2):
        optimizer.step(grads)
    monkeypatch.setattr("gpuopt.engine.gradients.describe", None)
    monkeypatch.setattr("gpuopt.engine.parameters.describe", None)
    optimizer.step(grads)
    monkeypatch.undo()
    assert optimizer.state[0]["step"] == 3


class OnlyTheInterface:
    """An array of a library that nobody knows."""

    def __init__(self, host, address=None, read_only=False):
        self.host = host
        data = (host.ctypes.data if address is None else address, read_only)
        self.__cuda_array_interface__ = {
            **{"shape": host.shape, "typestr": host.dtype.str, "version": 3},
            **{"data": data, "strides": None},
        }


@pytest.fixture
def library(monkeypatch):
    """CuPy as if it could take over other libraries' arrays, each on the device it lies on."""
    current = [0]

    class Device:
        def __init__(self, number):
            self.number = number

        def __enter__(self):
            current.append(self.number)

        def __exit__(self, *error):
            current.pop()

    def asarray(array):
        host = array.host if current[-1] == 1 else array.host.copy()  # a copy from elsewhere
        return over(host, device=1)

    runtime = types.SimpleNamespace(pointerGetAttributes=lambda p: types.SimpleNamespace(device=1))
    made = types.SimpleNamespace(
        __name__="cupy",
        asarray=asarray,
        cuda=types.SimpleNamespace(Device=Device, runtime=runtime),
    )
    monkeypatch.setattr(foreign, "_library_on_cuda", lambda array, name: (foreign.CUPY, made))


def test_another_librarys_array_is_shared_where_it_lies(library):
    host = np.zeros((2, 3), np.float32)
    memory = describe(OnlyTheInterface(host), "p")
    assert (memory.device, memory.address, memory.library) == ("cuda:1", host.ctypes.data, "cupy")
    assert memory.writable
    assert not describe(OnlyTheInterface(host, read_only=True), "p").writable


def test_a_copy_of_another_librarys_array_is_refused(library):
    host = np.zeros(3, np.float32)
    with pytest.raises(TypeError, match=r"^p: cupy cannot share this array: it makes a copy"):
        describe(OnlyTheInterface(host, address=host.ctypes.data + 64), "p")

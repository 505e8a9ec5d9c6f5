"""The CuPy backend on a CUDA device, bit for bit with the reference on the host."""

import numpy as np
import pytest

import gpuopt
from tests.gpu.arrays import OPTIMIZERS, assert_same, host_arrays, there
from tests.helpers.exact import assert_same_bits


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16"])
@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_same_bits_as_the_host(cupy, make, dtype):
    if dtype == "bfloat16":
        dtype = pytest.importorskip("ml_dtypes").bfloat16
    here = host_arrays(0, dtype)
    on_device = there(cupy, here)
    optimizer, expected = make(on_device), make(here)
    for step in range(3):
        grads = host_arrays(step + 1, dtype)
        optimizer.step(there(cupy, grads))
        expected.step(grads)
    assert optimizer.backend == "cupy"
    assert_same(cupy, on_device, here)
    for key, state in expected.state.items():
        mine = optimizer.state[key]
        assert mine["step"] == state["step"]
        for name in set(state) - {"step"}:
            assert_same_bits(cupy.asnumpy(mine[name]), state[name])


def test_files_and_state_on_the_device(cupy, tmp_path):
    first, second = there(cupy, host_arrays(0)), there(cupy, host_arrays(0))
    optimizer, resumed = gpuopt.Adam(first), gpuopt.Adam(second)
    optimizer.step(there(cupy, host_arrays(1)))
    optimizer.save(tmp_path / "optimizer.safetensors")
    for mine, theirs in zip(second, first):
        mine[...] = theirs
    resumed.load(tmp_path / "optimizer.safetensors")
    for each in (optimizer, resumed):
        each.step(there(cupy, host_arrays(2)))
    assert all(isinstance(s["exp_avg"], cupy.ndarray) for s in resumed.state.values())
    assert_same(cupy, second, [cupy.asnumpy(array) for array in first])


def test_arrays_with_gaps_and_of_another_memory_order(cupy):
    here = np.arange(48, dtype=np.float32).reshape(6, 8)
    on_device = cupy.asarray(here)
    grad = np.asfortranarray(np.ones((3, 8), np.float32))
    gpuopt.SGD([on_device[::2]], lr=0.5).step([cupy.asfortranarray(cupy.asarray(grad))])
    gpuopt.SGD([here[::2]], lr=0.5).step([grad])
    assert_same(cupy, [on_device], [here])


class OnlyTheInterface:
    """An array of a library that nobody knows."""

    def __init__(self, array):
        self.array = array

    @property
    def __cuda_array_interface__(self):
        return self.array.__cuda_array_interface__


def test_arrays_of_other_libraries(cupy):
    param, grad = cupy.zeros(5, cupy.float32), cupy.ones(5, cupy.float32)
    optimizer = gpuopt.Momentum([OnlyTheInterface(param)], lr=1.0, beta=0.5)
    for _ in range(2):
        optimizer.step([OnlyTheInterface(grad)])
    assert param.tolist() == [-2.5] * 5


def test_arrays_on_two_devices(cupy):
    if cupy.cuda.runtime.getDeviceCount() < 2:
        pytest.skip("there is one CUDA device")
    here = host_arrays(0)
    placed = []
    for number in (0, 1):
        with cupy.cuda.Device(number):
            placed.append(there(cupy, here))
    optimizer, expected = gpuopt.Adam([*placed[0], *placed[1]]), gpuopt.Adam(here)
    grads = []
    for number in (0, 1):
        with cupy.cuda.Device(number):
            grads += there(cupy, host_arrays(1))
    optimizer.step(grads)
    expected.step(host_arrays(1))
    for own in placed:
        assert_same(cupy, own, here)


def test_an_array_beyond_2_to_the_31_elements(cupy):
    count = (1 << 31) + 8192 + 5
    if cupy.cuda.runtime.memGetInfo()[0] < 2 * 2 * count + (1 << 30):
        pytest.skip("the device has too little free memory")
    param, grad = cupy.zeros(count, cupy.float16), cupy.zeros(count, cupy.float16)
    grad[-5:] = 1.0
    gpuopt.SGD([param], lr=0.5).step([grad])
    assert param[-5:].tolist() == [-0.5] * 5
    assert not bool(param[:-5].any())

"""Triton's own launches on the simulated device: what they run, and what is said of what fails."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import gpuopt
from gpuopt.engine.dispatch import BACKENDS
from tests.helpers.tensors import torch

from . import build, driver
from .memory import Region, only

triton = pytest.importorskip("triton")
simulated_triton = pytest.importorskip("tests.helpers.simulated_triton")
from . import trial  # noqa: E402  (it imports Triton)

pytestmark = pytest.mark.skipif(build.problem() is not None, reason=f"{build.problem()}")

ROOT = Path(__file__).parents[2]

add_one = triton.jit(trial.add_one)
sum_of_all = triton.jit(trial.sum_of_all)
add_together = triton.jit(trial.add_together)


@pytest.fixture(autouse=True)
def active(request):
    """Triton launches on the simulated device."""
    if request.config.way != "sim":
        pytest.skip(f"Triton runs otherwise here: {request.config.way}")
    driver.activate()


@pytest.mark.parametrize("arch", driver.ARCHS)
def test_each_architecture_is_a_device(arch):
    tensor = torch.zeros(1)
    with driver.on(arch):
        compiled = add_one[(3,)](tensor, enable_fp_fusion=False)
    assert tensor.item() == 3.0
    assert f".target sm_{arch}" in compiled.asm["ptx"]


def test_a_fault_is_an_error_that_says_where():
    tensors = torch.zeros(1), torch.zeros(1)
    fault = r"Fault: add_one: an access outside .*, PTX line \d+: .*ld\.global.*; block 0, thread 0"
    with only([Region.of(tensors[0])]):
        add_one[(1,)](tensors[0], enable_fp_fusion=False)
        with pytest.raises(RuntimeError, match=fault):
            add_one[(1,)](tensors[1], enable_fp_fusion=False)
    assert tensors[1].item() == 0.0


def test_what_a_kernel_must_not_do_is_named():
    with pytest.raises(RuntimeError, match=r"PTX line \d+: .* is not known"):
        add_together[(1,)](torch.zeros(1), enable_fp_fusion=False)


@pytest.mark.parametrize("block", [32, 128, 1024])
def test_threads_exchange_what_they_have(block):
    tensor = torch.arange(block, dtype=torch.float32)
    sum_of_all[(1,)](tensor, BLOCK=block, enable_fp_fusion=False)
    assert tensor[0].item() == block * (block - 1) / 2


INTERFACES = {
    "a class that is elsewhere": (
        "import triton.backends.nvidia.driver as real; del real.CudaDriver",
        "ImportError: cannot import name 'CudaDriver'",
    ),
    "a hook with other arguments": (
        "driver._remember = lambda module: None",
        "TypeError: ",
    ),
    "a function more, in the library that it links": (
        "without('cuModuleLoadData')",
        "the simulated device has no cuModuleLoadData",
    ),
    "a function more, which it looks up": (
        "without('cuLaunchKernelEx')",
        "the simulated device has no cuLaunchKernelEx",
    ),
    "another type of an argument": (
        "without('CUlaunchConfig')",
        "error: unknown type name",
    ),
}


@pytest.mark.parametrize("change", INTERFACES)
def test_another_driver_interface_is_said_in_one_sentence(change):
    how, why = INTERFACES[change]
    code = f"""if True:
        from pathlib import Path
        from tests.simgpu import driver
        def without(name, read=Path.read_text):
            other = "cuOther" if name.startswith("cu") else "CUother"
            text = read(Path(driver.__file__).with_name("libcuda.c")).replace(name, other)
            Path.read_text = lambda self, **how: (
                text if self.name == "libcuda.c" else read(self, **how)
            )
        {how}
        try:
            driver.activate()
        except RuntimeError as error:
            print(error)
    """
    # In a process of its own: the library is loaded once, and what is not said ends the process.
    command = [sys.executable, "-c", code]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    start = "the simulated device does not know the driver interface of Triton "
    assert said.startswith(f"{start}{triton.__version__} (tests/simgpu/driver.py, libcuda.c): ")
    assert why in said
    assert said.count("\n") == 1


@pytest.mark.parametrize("backend", ["triton", "cupy"])
def test_a_step_touches_the_arrays_of_its_table_alone(backend, monkeypatch):
    from tests.helpers import simulated_cupy
    from tests.simgpu import tables

    stand_in = simulated_triton.BACKEND if backend == "triton" else simulated_cupy.BACKEND
    monkeypatch.setitem(BACKENDS, backend, stand_in)
    if backend == "cupy":
        module = pytest.importorskip("tests.simgpu.nvrtc").Module
        monkeypatch.setattr(simulated_cupy, "compiled", module)
    param, grad = np.zeros(9, np.float32), np.ones(9, np.float32)
    with gpuopt.use_backend(backend):
        gpuopt.SGD([param], lr=1.0).step([grad])
        assert param.tolist() == [-1.0] * 9
        monkeypatch.setattr(tables.Bounded, "_of_tensors", lambda self: [Region.of(param)])
        fault = r"outside of the memory .* 4 bytes .* ld\.global.*; block 0, thread 0"
        with pytest.raises(RuntimeError, match=fault):
            gpuopt.SGD([param], lr=1.0).step([grad])
    assert param.tolist() == [-1.0] * 9

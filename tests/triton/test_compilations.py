"""What Triton compiles, counted without a GPU: kernels are compiled for one, and not launched."""

import json
import subprocess
import sys

import pytest

pytest.importorskip("torch")
pytest.importorskip("triton")

SCRIPT = """
import json
from unittest import mock
import torch, triton
from triton.backends.compiler import GPUTarget
import gpuopt
from gpuopt.engine import dispatch
from gpuopt.kernels.triton import launch as triton_cuda

class Driver:
    def get_current_target(self): return GPUTarget("cuda", 90, 32)
    def get_current_device(self): return 0
    def get_current_stream(self, device): return 0
    def get_active_torch_device(self): return torch.device("cpu")

triton.runtime.driver.set_active(Driver())
kernels = (triton_cuda.multi_tensor_update, triton_cuda.multi_tensor_coefficients)
triton_cuda.SIMULATED_ON = ("cpu",)
run = triton.runtime.JITFunction.run
def never_launched(self, *args, grid, warmup, **kwargs):
    return run(self, *args, grid=grid, warmup=True, **kwargs)

def step(optimizer, sizes, dtype=torch.float32):
    optimizer.step([torch.ones(n, dtype=dtype) for n in sizes])

def tensors(sizes, dtype=torch.float32):
    return [torch.ones(n, dtype=dtype) for n in sizes]

counts, before = {}, 0

def note(name):
    global before
    compiled = sum(len(cache[0]) for k in kernels for cache in k.device_caches.values())
    counts[name], before = compiled - before, compiled

patches = (
    mock.patch.object(dispatch, "_problem", lambda *a: None),
    mock.patch.object(triton.runtime.JITFunction, "run", never_launched),
    mock.patch.object(triton.compiler.CompiledKernel, "__getitem__", lambda *_: lambda *a: None),
)
for patch in patches:
    patch.start()
gpuopt.use_backend("triton")
sizes = [5, 64, 9000]
optimizer = gpuopt.Adam(tensors(sizes))
step(optimizer, sizes); note("first step")
step(optimizer, sizes); note("second step")
optimizer.lr = 0.5; step(optimizer, sizes); note("another lr")
optimizer.betas = (0.5, 0.25); step(optimizer, sizes); note("other betas")
for many in ([1], [16] * 16, [7] * 33, [0, 100_000], [1 << 16] * 2):
    other = gpuopt.Adam(tensors(many)); step(other, many)
note("other numbers and sizes of tensors")
groups = gpuopt.Adam([{"params": tensors([5])}, {"params": tensors([6]), "lr": 1.0}])
groups.step([tensors([5]), tensors([6])]); note("groups")
half = gpuopt.Adam(tensors(sizes, torch.bfloat16)); step(half, sizes, torch.bfloat16)
note("another dtype")
print(json.dumps(counts))
"""


def test_nothing_is_compiled_twice(tmp_path, monkeypatch):
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=300, check=False
    )
    assert run.returncode == 0, run.stderr
    counts = json.loads(run.stdout.splitlines()[-1])
    assert counts == {
        "first step": 2,  # the coefficients and the update
        "second step": 0,
        "another lr": 0,
        "other betas": 0,
        "other numbers and sizes of tensors": 0,
        "groups": 0,
        "another dtype": 1,  # the coefficients' kernel knows no dtype but that of the results
    }

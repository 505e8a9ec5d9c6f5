"""What is compiled ahead of time is what a first step looks for."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gpuopt.inspection import warm as warming
from tests.helpers.nvidia_smi import put_nvidia_smi
from tests.simgpu import build

ROOT = Path(__file__).parents[2]

STEP = """if True:
    import sys
    from unittest import mock
    import torch, gpuopt
    from gpuopt.engine import dispatch
    from tests.helpers import simulated_triton
    from tests.simgpu import driver
    driver.activate()
    simulated = mock.patch.dict(dispatch.BACKENDS, triton=simulated_triton.BACKEND)
    with simulated, driver.on(int(sys.argv[1])), gpuopt.use_backend("triton"):
        params = [torch.ones(100, dtype=getattr(torch, sys.argv[2])) for _ in range(3)]
        opt = gpuopt.Adam(params, lr=0.5)
        opt.step([torch.ones_like(p) for p in params])
        assert all((p < 1).all() for p in params)
"""

WARM = """if True:
    import sys
    from gpuopt.inspection.warm import warm
    sys.exit(warm("adam", *sys.argv[1:], "", "triton"))
"""

MODULE = """if True:
    from gpuopt.inspection.cases import cases_for, dtypes_of
    from gpuopt.kernels.cuda import cubin
    from gpuopt.kernels.cuda import source as cuda_c
    (case,) = cases_for("cupy", ["adam"], ["plain"], [dtypes_of("bfloat16")], [90])
    cubin._compile = None  # what is not found cannot be compiled
    print(cubin.cubin(cuda_c.source(case.update, case.list_dtypes, case.vectors), 90))
"""


@pytest.fixture
def run(tmp_path):
    caches = {
        "TRITON_CACHE_DIR": str(tmp_path / "triton"),
        "GPUOPT_CACHE_DIR": str(tmp_path / "cache"),
    }

    def run(*arguments, code=0):
        environment = {**os.environ, **caches, "PYTHONPATH": str(ROOT)}
        environment.pop("TRITON_INTERPRET", None)
        command = [sys.executable, *arguments]
        done = subprocess.run(
            command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert done.returncode == code, done.stderr
        return done.stdout if code == 0 else done.stderr

    return run


def kernels(tmp_path):
    return sorted(tmp_path.glob("triton/*/multi_tensor_*.cubin"))


def warm(run, *arguments, code=0):
    pytest.importorskip("typer")
    return run("-m", "gpuopt", "warm", *arguments, code=code)


@pytest.mark.parametrize("dtype, arch", [("bf16", 90), ("fp32", 80)])
def test_the_first_step_of_triton_after_it_compiles_no_kernel(run, tmp_path, dtype, arch):
    for package in ("triton", "torch"):
        pytest.importorskip(package)
    if build.problem():
        pytest.skip(build.problem())
    name = {"bf16": "bfloat16", "fp32": "float32"}[dtype]
    said = run("-c", WARM, dtype, f"sm_{arch}")
    assert said.startswith(f"triton.adam.plain.{name}.sm_{arch}: ")
    made = kernels(tmp_path)
    assert len(made) == 2
    times = [file.stat().st_mtime_ns for file in made]
    run("-c", STEP, str(arch), name)
    assert kernels(tmp_path) == made
    assert [file.stat().st_mtime_ns for file in made] == times
    other = {90: "80", 80: "100"}[arch]
    run("-c", STEP, other, name)  # which nobody warmed: the test can tell
    assert len(kernels(tmp_path)) == 4


def test_cupy_finds_its_module(run, tmp_path):
    pytest.importorskip("cupy")
    assert "compiler" not in warm(run, "--rule", "adam", "--arch", "90", "--backend", "cupy")
    run("-c", MODULE, code=1)  # float32 is there, bfloat16 is not
    warm(run, "--rule", "adam", "--dtype", "bf16", "--arch", "90", "--backend", "cupy")
    assert len(list(tmp_path.glob("cache/cuda/*.cubin"))) == 2
    assert run("-c", MODULE).strip().endswith(".cubin")


def test_without_an_architecture_it_warms_for_the_gpus_that_are_here(run, tmp_path, monkeypatch):
    pytest.importorskip("cupy")
    gpus = [
        f"echo 'NVIDIA H100, 80 GiB, {capability}, 590.1'" for capability in ("9.0", "8.0", "9.0")
    ]
    put_nvidia_smi(tmp_path, monkeypatch, "\n".join(gpus))
    said = warm(run, "--rule", "adam", "--backend", "cupy").splitlines()
    labels = [line.split(":")[0] for line in said]
    assert labels == [f"cupy.adam.plain.float32.sm_{arch}" for arch in (90, 80)]


def test_without_an_architecture_and_a_gpu_it_asks_for_one(run, tmp_path, monkeypatch):
    put_nvidia_smi(tmp_path, monkeypatch, "echo 'Failed to initialize NVML'; exit 9")
    said = warm(run, "--rule", "adam", "--backend", "triton", code=2)
    assert "--arch: required without a GPU, such as sm_90 (nvidia-smi failed: Failed" in said


@pytest.mark.parametrize(
    "wrong", [("--rule", "nope"), ("--arch", "sm_9"), ("--dtype", "bf15"), ("--backend", "numa")]
)
def test_what_makes_no_sense_is_an_error(run, wrong):
    given = {"--rule": "adam", "--arch": "sm_90", **dict([wrong])}
    arguments = [text for pair in given.items() for text in pair]
    assert wrong[0] in warm(run, *arguments, code=2)


CPU_STEP = """if True:
    import sys
    import numpy as np
    import gpuopt
    params = [np.ones(100, np.float32)]
    options = dict(clip_norm=1.0, ema_decay=0.999, stats="stats" in sys.argv)
    options |= dict(zero_grads=options["stats"], master_weights=options["stats"])
    gpuopt.Adam(params, **options).step([np.ones(100, np.float32)])
    print("gpuopt.kernels.llvm.compile" in sys.modules)
"""


def test_the_first_step_of_llvm_after_it_compiles_no_kernel(run, tmp_path, monkeypatch):
    pytest.importorskip("llvmlite")
    put_nvidia_smi(tmp_path, monkeypatch, "exit 9")  # without a GPU it warms for the CPU
    said = warm(run, "--rule", "adam", "--variant", "clip_ema")
    assert said.startswith("llvm.adam.clip_ema.float32: ")
    assert len(said.splitlines()) == 1
    assert run("-c", CPU_STEP) == "False\n"
    warm(run, "--rule", "adam", "--variant", "whole")  # whose norm has statistics, too
    assert run("-c", CPU_STEP, "stats") == "False\n"
    warm(run, "--rule", "adam", "--dtype", "bf16", "--backend", "llvm")
    assert len(list(tmp_path.glob("cache/cpu/*.o"))) == 5


def test_what_cannot_be_kept_is_an_error(run, tmp_path):
    pytest.importorskip("llvmlite")
    (tmp_path / "cache").write_text("")
    said = warm(run, "--rule", "adam", "--backend", "llvm", code=1)
    assert f"llvm.adam.plain.float32: OSError: {tmp_path / 'cache'} is no folder" in said


@pytest.mark.parametrize("backend", ["triton", "cupy"])
def test_without_its_compiler_it_says_what_to_install(backend, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, backend, None)
    assert warming.warm("adam", "bf16", "90", "", backend) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"gpuopt warm: --backend: {backend} cannot compile here: ")
    extra = {"triton": "pip install 'gpuopt[triton]'", "cupy": "pip install 'gpuopt[cupy13]'"}
    assert extra[backend] in err

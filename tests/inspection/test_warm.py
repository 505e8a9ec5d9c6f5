"""What is compiled ahead of time is what a first step looks for."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import gpuopt
from gpuopt.engine import dispatch
from gpuopt.inspection import warm as warming
from gpuopt.inspection.cases import cases_for, dtypes_of
from tests.helpers import simulated_cupy
from tests.helpers.nvidia_smi import put_nvidia_smi
from tests.helpers.values import DTYPES
from tests.simgpu import build

ROOT = Path(__file__).parents[2]

MASTER = {"clip_norm": 1.0, "ema_decay": 0.999, "master_weights": True}

CLASSES = {
    "adamw_schedule_free": "AdamWScheduleFree",
    "sophiag": "SophiaG",
    "lamb": "LAMB",
    "dadapt_adam": "DAdaptAdam",
    "prodigy_one_pass": "Prodigy",
}

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
        grads = [torch.ones_like(p) for p in params]
        opt = getattr(gpuopt, sys.argv[3])(params, lr=0.5, **eval(sys.argv[4]))
        if hasattr(opt, "train"):
            opt.train()
        opt.step(grads)
        assert all((p < 1).all() for p in params)
        if hasattr(opt, "eval"):
            opt.eval()
            opt.train()
        if hasattr(opt, "update_hessian"):
            opt.update_hessian(grads, scale=2.0)
"""

WARM = """if True:
    import sys
    from gpuopt.inspection.warm import warm
    sys.exit(warm(*sys.argv[1:], "triton"))
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


WARMED = {
    "adam": ("bfloat16", "plain", "Adam", {}, 2),
    "adamw_schedule_free": (
        *("bfloat16:bfloat16:8bit", "split8", "AdamWScheduleFree"),
        {"clip_norm": 1.0, "master_weights": "split8", "state_dtype": "8bit", "min_8bit_size": 1},
        2 + 2 * 2 + 3,  # of steps, of `train` and `eval`, of the norm
    ),
    "sophiag": ("float32", "", "SophiaG", {"weight_decay": 0.1}, 2 + 2 * 2),
    "lamb": ("float32", "plain", "LAMB", {}, 2 + 2),
    "prodigy": ("float32", "plain", "Prodigy", {}, 2 + 1 + 2 + 1),
}
"""By rule: dtypes and variant, the class and its options, and how many kernels are compiled."""


@pytest.mark.parametrize("rule", WARMED)
def test_the_first_step_of_triton_after_it_compiles_no_kernel(run, tmp_path, rule):
    """Nor do passes outside of steps, and what comes before a step and behind it."""
    for package in ("triton", "torch"):
        pytest.importorskip(package)
    if build.problem():
        pytest.skip(build.problem())
    dtype, variant, name, options, count = WARMED[rule]
    said = run("-c", WARM, rule, dtype, "sm_90", variant)
    assert said.startswith(f"triton.{rule}.{variant or 'decay'}.")
    made = kernels(tmp_path)
    assert len(made) == count
    times = [file.stat().st_mtime_ns for file in made]
    step = ("-c", STEP), (dtype.partition(":")[0], name, repr(options))
    run(*step[0], "90", *step[1])
    assert kernels(tmp_path) == made
    assert [file.stat().st_mtime_ns for file in made] == times
    if rule == "adam":
        run(*step[0], "80", *step[1])  # which nobody warmed: the test can tell
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


MODULES = [
    ("adamw_schedule_free", "plain", "float32:bfloat16:float32", {}),
    ("adamw_schedule_free", "master", "bfloat16", MASTER),
    ("sophiag", "decay", "float32", {"weight_decay": 0.1}),
    ("lamb", "clip_ema", "float32", {"clip_norm": 1.0, "ema_decay": 0.999}),
    ("dadapt_adam", "plain", "float32", {}),
    ("prodigy_one_pass", "plain", "float32", {"one_pass": True}),
]


@pytest.mark.parametrize("rule, variant, dtype, options", MODULES)
def test_cupy_needs_no_module_that_was_not_warmed(monkeypatch, rule, variant, dtype, options):
    if simulated_cupy.problem():
        pytest.skip(simulated_cupy.problem())
    asked = []
    module = simulated_cupy.compiled
    monkeypatch.setattr(simulated_cupy, "compiled", lambda text: asked.append(text) or module(text))
    monkeypatch.setitem(dispatch.BACKENDS, "cupy", simulated_cupy.BACKEND)
    params, grads = ([np.ones(100, DTYPES[one])] for one in dtypes_of(dtype)[:2])
    with gpuopt.use_backend("cupy"):
        optimizer = getattr(gpuopt, CLASSES[rule])(params, **options)
        if hasattr(optimizer, "train"):
            optimizer.train()
        optimizer.step(grads)
        if hasattr(optimizer, "eval"):
            optimizer.eval()
            optimizer.train()
        if hasattr(optimizer, "update_hessian"):
            optimizer.update_hessian(grads)
            optimizer.update_hessian(grads, scale=2.0)
    (case,) = cases_for("cupy", [rule], [variant], [dtypes_of(dtype)], [90])
    assert set(asked) == set(warming._modules(case))


CPU_PASSES = """if True:
    import sys
    import numpy as np
    import gpuopt
    params, grads = [np.ones(100, np.float32)], [np.ones(100, np.float32)]
    averaged, sophia = gpuopt.AdamWScheduleFree(params), gpuopt.SophiaG(params)
    averaged.train(), averaged.step(grads), averaged.eval(), averaged.train()
    sophia.step(grads), sophia.update_hessian(grads), sophia.update_hessian(grads, scale=2.0)
    print("gpuopt.kernels.llvm.compile" in sys.modules)
"""


def test_the_first_passes_of_llvm_after_it_compile_no_kernel(run):
    pytest.importorskip("llvmlite")
    said = warm(run, "--rule", "adamw_schedule_free,sophiag", "--backend", "llvm")
    assert len(said.splitlines()) == 2
    assert run("-c", CPU_PASSES) == "False\n"


def test_a_part_of_steps_is_warmed_with_them():
    everything = warming._cases(("prodigy",), ("float32",), "90", ("all",), ["triton"])
    assert {case.kernel for case in everything} == {"update"}
    (one,) = warming._cases(("prodigy",), ("float32",), "90", ("sums,advance",), ["triton"])
    assert (one.variant, one.kernel) == ("plain", "update")


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

"""The program that runs under a sanitizer, on the simulated machine: no kernel is left out."""

import inspect
import sys

import pytest


def kernels_of_triton():
    from gpuopt.kernels.triton import kernels

    return {name for name, _ in inspect.getmembers(kernels) if name.startswith("multi_tensor_")}


def kernels_of_cuda_c():
    from gpuopt.kernels.cuda import source

    named = ("UPDATE", "COEFFICIENTS", "SUBTOTALS", "SUMS", "TOTAL")
    return {getattr(source, name) for name in named}


@pytest.mark.parametrize(
    ("backend", "kernels"), [("triton", kernels_of_triton), ("cupy", kernels_of_cuda_c)]
)
def test_every_kernel_runs(machine, monkeypatch, backend, kernels):
    if backend == "cupy":
        pytest.importorskip("cuda.bindings")
    from tests.gpu.programs import every_kernel

    names, enqueue = set(), machine.enqueue

    def note(name, *others, **more):
        names.add(name)
        enqueue(name, *others, **more)

    monkeypatch.setattr(machine, "enqueue", note)
    monkeypatch.setattr(sys, "argv", ["every_kernel", "--backend", backend])
    every_kernel.main()
    assert names >= kernels()

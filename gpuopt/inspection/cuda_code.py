"""Compile a case's CUDA C with NVRTC for an architecture, without a GPU or a driver.

The text and the options are those that CuPy is given at a launch.
"""

from __future__ import annotations

from ..kernels import cuda_c
from ..kernels.storage import compute_dtype
from .cases import Case
from .code import Argument, Code, disassemble
from .meanings import MEANINGS
from .nvrtc import compile_for
from .tools import cuobjdump, nvdisasm


def source_of(case: Case) -> str:
    """Return the CUDA C of a case's kernel."""
    return cuda_c.source(case.update, case.list_dtypes, case.vectors, (_kernel(case),))


def compile_case(case: Case) -> Code:
    """Compile, and disassemble what came of it."""
    made = compile_for(source_of(case), case.arch, cuda_c.OPTIONS)
    sass, usage = disassemble(made.cubin, nvdisasm(), cuobjdump())
    update = case.kernel == "update"
    threads = cuda_c.THREADS if update else cuda_c.COEFFICIENT_THREADS
    return Code(
        ptx=made.ptx,
        cubin=made.cubin,
        sass=sass,
        usage=usage,
        shared=0,
        threads=threads,
        elements=cuda_c.CHUNK if update else threads,
        grid="n_chunks" if update else f"ceil(n_tensors / {threads})",
        arguments=_arguments(case),
    )


def _kernel(case: Case) -> str:
    return cuda_c.UPDATE if case.kernel == "update" else cuda_c.COEFFICIENTS


def _arguments(case: Case) -> tuple[Argument, ...]:
    compute = "double*" if compute_dtype(case.dtypes[0]) == "float64" else "float*"
    types = {
        "carried": "double*",
        "chunks": "int*",
        "options": "double*",
        "coefficients": compute,
        "skip": "float*",
    }
    names = ["addresses", "steps", "carried", "groups", "options", "coefficients", "skip"]
    if case.kernel == "update":
        names = ["addresses", "sizes", "chunks", "coefficients", "skip"]
    arrays = [Argument(n, types.get(n, "long long*"), MEANINGS[n]) for n in names]
    return (*arrays, Argument("n_tensors", "long long", MEANINGS["n_tensors"]))

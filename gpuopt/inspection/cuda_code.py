"""Compile the CUDA C of a case with NVRTC, without a GPU or a driver.

Source and options are those of a launch through CuPy.
"""

from __future__ import annotations

from ..kernels.cuda import source as cuda_c
from .arguments import MEANINGS, POINTERS, arrays_of
from .cases import Case
from .code import Argument, Code, disassemble
from .nvrtc import compile_for


def source_of(case: Case) -> str:
    """Return the CUDA C of a case's kernel."""
    return cuda_c.source(case.walked, case.list_dtypes, case.vectors, (_kernel(case),))


def compile_case(case: Case) -> Code:
    """Return the compiled and disassembled code of a case."""
    made = compile_for(source_of(case), case.arch, cuda_c.OPTIONS)
    sass, usage = disassemble(made.cubin)
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
    arrays = arrays_of(case).items()
    return (
        *(Argument(name, POINTERS[dtype], MEANINGS[name]) for name, dtype in arrays),
        Argument("n_tensors", "long long", MEANINGS["n_tensors"]),
    )

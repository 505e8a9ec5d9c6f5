"""Compile the CUDA C of a case with NVRTC, without a GPU or a driver.

Source and options are those of a launch through CuPy.
"""

from __future__ import annotations

from ..kernels.cuda import source as cuda_c
from .arguments import MEANINGS, NUMBERS, POINTERS, arrays_of, elements_of, grid_of
from .cases import Case
from .code import Argument, Code, disassemble
from .nvrtc import compile_for

_NAMES = {
    "update": cuda_c.UPDATE,
    "coefficients": cuda_c.COEFFICIENTS,
    "sums": cuda_c.SUMS,
    "subtotals": cuda_c.SUBTOTALS,
    "total": cuda_c.TOTAL,
}


def source_of(case: Case) -> str:
    """Return the CUDA C of a case's kernel."""
    names = (_NAMES[case.kernel],)
    if case.adds_up:
        return cuda_c.total_source(names)
    return cuda_c.source(case.walked, case.list_dtypes, case.vectors, names)


def compile_case(case: Case) -> Code:
    """Return the compiled and disassembled code of a case."""
    made = compile_for(source_of(case), case.arch, cuda_c.OPTIONS)
    sass, usage = disassemble(made.cubin)
    of_tensors = case.kernel == "coefficients"
    threads = cuda_c.COEFFICIENT_THREADS if of_tensors else cuda_c.THREADS
    return Code(
        ptx=made.ptx,
        cubin=made.cubin,
        sass=sass,
        usage=usage,
        shared=0,
        threads=threads,
        elements=elements_of(case.kernel, cuda_c.CHUNK, threads),
        grid=grid_of(case.kernel, threads),
        arguments=_arguments(case),
    )


def _arguments(case: Case) -> tuple[Argument, ...]:
    arrays = arrays_of(case.kernel, case.list_dtypes[0]).items()
    return (
        *(Argument(name, POINTERS[dtype], MEANINGS[name]) for name, dtype in arrays),
        *(Argument(name, "long long", MEANINGS[name]) for name in NUMBERS[case.kernel]),
    )

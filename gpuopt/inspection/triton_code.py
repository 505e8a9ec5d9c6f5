"""Compile a case with Triton, without a GPU or a driver.

The argument types and attributes are those of Triton's JIT at a launch: tables aligned to 16
bytes, and the number of tensors as an unspecialized 32-bit integer.
"""

from __future__ import annotations

from typing import Any

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from ..kernels.triton import constants
from ..kernels.triton.kernels import multi_tensor_coefficients, multi_tensor_update
from .arguments import MEANINGS, POINTERS, arrays_of
from .cases import Case
from .code import Argument, Code, disassemble

_SPELT = {"int32": "*i32", "int64": "*i64", "float32": "*fp32", "float64": "*fp64"}


def signature_of(case: Case) -> dict[str, str]:
    """Return the Triton types of a kernel's run-time arguments."""
    arrays = {f"{name}_ptr": _SPELT[dtype] for name, dtype in arrays_of(case).items()}
    return {**arrays, "n_tensors": "i32"}


def constants_of(case: Case) -> dict[str, Any]:
    """Return the compile-time arguments of a kernel."""
    if case.kernel == "update":
        return constants.update_constants(case.walked, case.list_dtypes, case.vectors)
    return constants.coefficients_constants(case.update)


def options_of(case: Case) -> dict[str, Any]:
    """Return the compile options of a kernel."""
    if case.kernel == "update":
        return constants.update_options(case.list_dtypes)
    return dict(constants.COEFFICIENT_OPTIONS)


def source_of(case: Case) -> Any:
    """Return the input of Triton's compiler, the same as at a launch."""
    kernel = multi_tensor_update if case.kernel == "update" else multi_tensor_coefficients
    signature, fixed = signature_of(case), constants_of(case)
    aligned = [["tt.divisibility", 16]]
    attributes = {
        (place,): aligned for place, kind in enumerate(signature.values()) if kind.startswith("*")
    }
    return ASTSource(kernel, {**signature, **dict.fromkeys(fixed, "constexpr")}, fixed, attributes)


def compile_case(case: Case) -> Code:
    """Return the compiled code of a case; Triton may abort on an unknown architecture."""
    target = GPUTarget("cuda", case.arch, 32)
    made = triton.compile(source_of(case), target=target, options=options_of(case))
    if made.metadata.global_scratch_size or made.metadata.profile_scratch_size:
        raise ValueError("the kernel needs scratch memory")
    cubin = made.asm["cubin"]
    sass, usage = disassemble(cubin)
    update = case.kernel == "update"
    return Code(
        ptx=made.asm["ptx"],
        cubin=cubin,
        sass=sass,
        usage=usage,
        shared=made.metadata.shared,
        threads=32 * made.metadata.num_warps,
        elements=constants.CHUNK if update else constants.COEFFICIENT_BLOCK,
        grid="n_chunks" if update else f"ceil(n_tensors / {constants.COEFFICIENT_BLOCK})",
        arguments=_arguments(case, made.asm["ptx"]),
    )


def _arguments(case: Case, ptx: str) -> tuple[Argument, ...]:
    """Return the arguments, including the pointers that Triton appends in the PTX."""
    from .ptx import parse

    arrays = arrays_of(case).items()
    own = [Argument(f"{n}_ptr", POINTERS[dtype], MEANINGS[n]) for n, dtype in arrays]
    own.append(Argument("n_tensors", "int", MEANINGS["n_tensors"]))
    more = len(parse(ptx).parameters) - len(own)
    unused = "Triton's scratch memory, not used by this kernel: pass 0"
    return (*own, *(Argument(f"scratch_{i}_ptr", "void*", unused) for i in range(more)))

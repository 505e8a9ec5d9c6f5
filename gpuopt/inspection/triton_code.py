"""Compile a case with Triton, without a GPU or a driver.

The argument types and attributes are those of Triton's JIT at a launch: tables aligned to 16
bytes, and the number of tensors as an unspecialized 32-bit integer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from ..kernels.table import Update
from ..kernels.triton import constants, kernels
from .arguments import MEANINGS, NUMBERS, POINTERS, arrays_of, elements_of, grid_of
from .cases import Case
from .code import Argument, Code, disassemble

_SPELT = {"int32": "*i32", "int64": "*i64", "float32": "*fp32", "float64": "*fp64"}

_ADDERS: dict[str, tuple[Any, Callable[..., dict[str, int]]]] = {
    "sums": (kernels.multi_tensor_sums, constants.sums_constants),
    "subtotals": (kernels.multi_tensor_subtotals, constants.subtotals_constants),
    "total": (kernels.multi_tensor_total, constants.total_constants),
}
"""The kernels that add up partials, with the functions of a layout that return their constants."""


class Kernel(NamedTuple):
    """A kernel as a launch compiles it.

    Attributes:
        function: of Triton's JIT.
        arrays: its first run-time arguments, with their dtypes.
        numbers: the others.
        constants: the compile-time arguments.
        options: the compile options.
    """

    function: Any
    arrays: dict[str, str]
    numbers: tuple[str, ...]
    constants: dict[str, Any]
    options: dict[str, Any]

    @property
    def source(self) -> Any:
        """The input of Triton's compiler, the same as at a launch."""
        arrays = {f"{name}_ptr": _SPELT[dtype] for name, dtype in self.arrays.items()}
        signature = {**arrays, **dict.fromkeys(self.numbers, "i32")}
        attributes = {(place,): [["tt.divisibility", 16]] for place in range(len(arrays))}
        fixed = dict.fromkeys(self.constants, "constexpr")
        return ASTSource(self.function, {**signature, **fixed}, self.constants, attributes)


def walk(update: Update, dtypes: tuple[str, ...], vectors: bool) -> Kernel:
    """Return the kernel that applies an update to the elements of lists of some dtypes."""
    return Kernel(
        kernels.multi_tensor_update,
        arrays_of("update", dtypes[0]),
        NUMBERS["update"],
        constants.update_constants(update, dtypes, vectors),
        constants.update_options(dtypes),
    )


def coefficients(update: Update, dtypes: tuple[str, ...]) -> Kernel:
    """Return the kernel that computes an update's coefficients."""
    return Kernel(
        kernels.multi_tensor_coefficients,
        arrays_of("coefficients", dtypes[0]),
        NUMBERS["coefficients"],
        constants.coefficients_constants(update),
        dict(constants.COEFFICIENT_OPTIONS),
    )


def adder(kernel: str, layout: tuple[int, ...] = ()) -> Kernel:
    """Return a kernel that adds up partials; ``"sums"`` is compiled for a layout of these."""
    function, constants_of = _ADDERS[kernel]
    numbers = () if layout else NUMBERS[kernel]
    fixed = constants_of(*layout)
    return Kernel(function, arrays_of(kernel), numbers, fixed, dict(constants.OPTIONS))


def kernel_of(case: Case) -> Kernel:
    """Return the kernel of a case."""
    if case.kernel == "update":
        return walk(case.walked, case.list_dtypes, case.vectors)
    if case.kernel == "coefficients":
        return coefficients(case.walked, case.list_dtypes)
    return adder(case.kernel, case.layout)


def compile_case(case: Case) -> Code:
    """Return the compiled code of a case; Triton may abort on an unknown architecture."""
    kernel, target = kernel_of(case), GPUTarget("cuda", case.arch, 32)
    made = triton.compile(kernel.source, target=target, options=kernel.options)
    if made.metadata.global_scratch_size or made.metadata.profile_scratch_size:
        raise ValueError("the kernel needs scratch memory")
    cubin = made.asm["cubin"]
    sass, usage = disassemble(cubin)
    block = constants.COEFFICIENT_BLOCK
    return Code(
        ptx=made.asm["ptx"],
        cubin=cubin,
        sass=sass,
        usage=usage,
        shared=made.metadata.shared,
        threads=32 * made.metadata.num_warps,
        elements=elements_of(case.kernel, constants.CHUNK, block),
        grid=grid_of(case.kernel, block),
        arguments=_arguments(kernel, made.asm["ptx"]),
    )


def _arguments(kernel: Kernel, ptx: str) -> tuple[Argument, ...]:
    """Return the arguments, including the pointers that Triton appends in the PTX."""
    from .ptx import parse

    arrays = kernel.arrays.items()
    own = [Argument(f"{n}_ptr", POINTERS[dtype], MEANINGS[n]) for n, dtype in arrays]
    own += [Argument(name, "int", MEANINGS[name]) for name in kernel.numbers]
    more = len(parse(ptx).parameters) - len(own)
    unused = "Triton's scratch memory, not used by this kernel: pass 0"
    return (*own, *(Argument(f"scratch_{i}_ptr", "void*", unused) for i in range(more)))

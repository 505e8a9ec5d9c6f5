"""Compile the walk of an update to machine code, with Numba and LLVM.

Numba compiles the rule with ``np`` retargeted to operations that LLVM vectorizes. There is no
fast-math: the results have NumPy's bits. Of what Numba makes, only the loop itself is kept: an
object file that needs nothing of Numba or Python to run, so that another process can load it.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import llvmlite.binding as llvm
import numba
import numpy as np
from numba import types

from ..storage import STORAGE, compute_dtype
from ..table import Update
from ..trace.retarget import retarget
from . import blocks, maths, sums
from .object_files import target_machine
from .walk import functions_of, walk_source

_ITEMS = ("float64", "float32", "uint32", "int64", "int32")
_HELPERS = (
    *(sums.fold, sums.is_finite, sums.clear, sums.erase, sums.take, sums.take_plain, sums.put),
    *(blocks.spread, blocks.measure, maths.fill),
)
_WALK = types.void(types.CPointer(types.int64), types.int64, types.int64, types.int64)


def object_file(update: Update, dtypes: tuple[str, ...], name: str) -> bytes:
    """Return an object file whose only public function is the walk of an update.

    Args:
        update: the composed update.
        dtypes: of each list.
        name: of the function.
    """
    return bytes(target_machine().emit_object(module_of(update, dtypes, name)))


def assembly(update: Update, dtypes: tuple[str, ...]) -> str:
    """Return the text of the object file's instructions."""
    return str(target_machine().emit_assembly(module_of(update, dtypes, "walk")))


def module_of(update: Update, dtypes: tuple[str, ...], name: str) -> Any:
    """Return LLVM's module of an update's walk; see `object_file`."""
    if "float16" in dtypes and not _converts_float16():
        raise ValueError("float16: this processor cannot convert it (F16C); use bfloat16, or NumPy")
    names = namespace(update, dtypes)
    exec(walk_source(update, dtypes), names)  # generated in walk.py
    compiled = numba.cfunc(_WALK, error_model="numpy", nogil=True)(names["walk"])
    module = llvm.parse_assembly(compiled.inspect_llvm())
    _keep_only(module, compiled.native_name.removeprefix("cfunc."), name)
    return module


def namespace(update: Update, dtypes: tuple[str, ...]) -> dict[str, Any]:
    """Return the names that the source of a walk refers to."""
    number = np.float64 if compute_dtype(dtypes[0]) == "float64" else np.float32
    encoders = {dtype: maths.ENCODE.get(dtype, getattr(np, dtype, None)) for dtype in STORAGE}
    return {
        "np": np,
        "number": number,
        "pointer": maths.pointer,
        **{
            name: retarget(function, maths.LIBRARY, maths.jit, number, maths.ROUNDINGS)
            for name, function in functions_of(update).items()
        },
        **{helper.__name__: helper for helper in _HELPERS},
        **{item: getattr(types, item) for item in _ITEMS},
        **{f"stored_{dtype}": item for dtype, item in maths.STORED.items()},
        **{f"decode_{dtype}": maths.DECODE.get(dtype, number) for dtype in STORAGE},
        **{f"encode_{dtype}": encoder for dtype, encoder in encoders.items()},
    }


@cache
def _converts_float16() -> bool:
    """Return whether the processor converts float16; else LLVM would call functions of no library.

    It would look for them when the code is loaded, and end the process.
    """
    module = llvm.parse_assembly(
        "define float @convert(float %x) {\n"
        "  %narrow = fptrunc float %x to half\n"
        "  %wide = fpext half %narrow to float\n"
        "  ret float %wide\n"
        "}\n"
    )
    text = target_machine().emit_assembly(module)
    return not re.search(r"\b_+(extendhfsf2|truncsfhf2|gnu_h2f_ieee|gnu_f2h_ieee)\b", text)


def _keep_only(module: Any, walk: str, name: str) -> None:
    """Give the walk its name, and remove what it does not call: Numba's wrappers and their data."""
    for value in (*module.functions, *module.global_variables):
        if value.name == walk:
            value.name = name
        elif not value.is_declaration:
            value.linkage = "internal"
    if hasattr(llvm, "create_module_pass_manager"):  # before llvmlite 0.45
        passes = llvm.create_module_pass_manager()
        passes.add_global_dce_pass()
        passes.run(module)
        return
    passes = llvm.create_new_module_pass_manager()
    passes.add_global_dead_code_eliminate_pass()
    options = llvm.create_pipeline_tuning_options(speed_level=0)
    passes.run(module, llvm.create_pass_builder(target_machine(), options))

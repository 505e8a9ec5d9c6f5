"""Compile the walk of an update to machine code, with LLVM.

Fast-math is not used: the results have NumPy's bits.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import llvmlite.binding as llvm

from ..table import Update
from .object_files import target_machine
from .walk import module_of


def object_file(update: Update, dtypes: tuple[str, ...], name: str) -> bytes:
    """Return an object file whose only public function walks a table with an update.

    Args:
        update: the composed update.
        dtypes: the dtype of each list.
        name: the name of the function.
    """
    return bytes(target_machine().emit_object(optimized(update, dtypes, name)))


def assembly(update: Update, dtypes: tuple[str, ...]) -> str:
    """Return the object file's instructions as assembly text."""
    return str(target_machine().emit_assembly(optimized(update, dtypes, "walk")))


def optimized(update: Update, dtypes: tuple[str, ...], name: str) -> Any:
    """Return LLVM's module of an update's walk; see `object_file`."""
    text = str(module_of(update, dtypes, name))
    if re.search(r"\bhalf\b", text) and not _converts_float16():
        raise ValueError("float16: this processor cannot convert it (F16C); use bfloat16, or NumPy")
    module = llvm.parse_assembly(text)
    options = llvm.create_pipeline_tuning_options(speed_level=1)
    options.loop_vectorization = options.slp_vectorization = False
    builder = llvm.create_pass_builder(target_machine(), options)
    builder.getModulePassManager().run(module, builder)
    return module


@cache
def _converts_float16() -> bool:
    """Return whether the processor can convert float16.

    Otherwise LLVM would call library functions that are missing, and loading the code would abort.
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

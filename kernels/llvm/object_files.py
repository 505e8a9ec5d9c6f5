"""Load the machine code of an object file, and describe the target processor."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from functools import cache
from threading import RLock
from typing import Any

import llvmlite
import llvmlite.binding as llvm

if llvm.llvm_version_info < (20,):  # older versions cannot parse the IR of `walk`
    raise ImportError(f"llvmlite {llvmlite.__version__} is too old: 0.45 is the first with LLVM 20")

compiling = RLock()
"""Held while code is compiled and loaded. A fork waits for it, since LLVM's locks would stay locked
in the child forever."""

if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=compiling.acquire,
        after_in_parent=compiling.release,
        after_in_child=compiling.release,
    )


_BASELINE = "+64bit,+sse2"
"""The baseline features of x86-64. LLVM treats an unknown name as a 32-bit processor, and aborts
the process."""


@cache
def processor() -> tuple[str, str]:
    """Return the name and the features of the target processor.

    It is this machine's, or the one that GPUOPT_CPU names.
    """
    name = os.environ.get("GPUOPT_CPU")
    if not name:
        return llvm.get_host_cpu_name(), _features()
    is_x86 = llvm.get_process_triple().startswith(("x86_64", "amd64"))
    return name, _BASELINE if is_x86 else ""


def _features() -> str:
    """Return this processor's features."""
    try:
        return str(llvm.get_host_cpu_features().flatten())
    except RuntimeError:  # LLVM does not know the system
        return ""


def target_machine() -> Any:
    """Return LLVM's target machine for the processor."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    target = llvm.Target.from_triple(llvm.get_process_triple())
    cpu, features = processor()
    return target.create_target_machine(
        cpu=cpu,
        features=features,
        opt=3,
        reloc="static" if target.name.startswith("x86") else "default",
        codemodel="jitdefault",
        jit=True,
    )


def load(code: bytes, name: str) -> Callable[..., None]:
    """Return a function of an object file, which takes ctypes numbers.

    The code stays in memory as long as the function. Calls release the GIL.

    Args:
        code: the object file; it must be trusted, since it is executed.
        name: the name of the function.
    """
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), target_machine())
    engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    engine.finalize_object()
    function: Any = ctypes.CFUNCTYPE(None)(engine.get_function_address(name))
    function.engine = engine
    return function  # type: ignore[no-any-return]  # ctypes has no type for it

"""Load the machine code of an object file, and tell for which processor it is made."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from functools import cache
from threading import RLock
from typing import Any

import llvmlite.binding as llvm
import numba

compiling = RLock()
"""Held while code is compiled and loaded. A fork waits for it: in the child, the locks of LLVM and
Numba would stay as they were, and nobody would be left to release them."""

if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=compiling.acquire,
        after_in_parent=compiling.release,
        after_in_child=compiling.release,
    )


@cache
def processor() -> tuple[str, str]:
    """Return the name and the features of the processor that code is compiled for.

    They are this machine's, or what NUMBA_CPU_NAME and NUMBA_CPU_FEATURES say.
    """
    name, features = numba.config.CPU_NAME, numba.config.CPU_FEATURES
    if features is None:
        features = _features()
    return name or llvm.get_host_cpu_name(), features


def _features() -> str:
    """Return this processor's features, as Numba's compiler sees them."""
    try:
        found = llvm.get_host_cpu_features()
    except RuntimeError:  # LLVM does not know the system
        return ""
    for name in found:
        if name.startswith("avx") and not numba.config.ENABLE_AVX:
            found[name] = False
    return str(found.flatten())


def target_machine() -> Any:
    """Return LLVM's description of the processor, with the options that Numba compiles with."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    target = llvm.Target.from_triple(llvm.get_process_triple())
    cpu, features = processor()
    return target.create_target_machine(
        cpu=cpu,
        features=features,
        opt=int(numba.config.OPT),
        reloc="static" if target.name.startswith("x86") else "default",
        codemodel="jitdefault",
        jit=True,
    )


def load(code: bytes, name: str) -> Callable[..., int]:
    """Return a function of an object file; its arguments are numbers of ctypes.

    The code stays in memory as long as the function. Calls release the GIL.

    Args:
        code: the object file; it must come from a compiler here, since it is run.
        name: of the function.
    """
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), target_machine())
    engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    engine.finalize_object()
    function: Any = ctypes.CFUNCTYPE(ctypes.c_int32)(engine.get_function_address(name))
    function.engine = engine
    return function  # type: ignore[no-any-return]  # ctypes has no type for it

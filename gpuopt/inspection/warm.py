"""`gpuopt warm`: compile ahead of time into the caches that a first step reads.

Neither a GPU nor a driver is needed. The cache keys must equal those of a step, so the inputs are
the same: `triton.compile` gets the source, target and options of Triton's JIT, and the kernels of
CuPy and LLVM are compiled by the backends' own code.
"""

from __future__ import annotations

import importlib
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from ..doctor import compute_capabilities
from ..engine import dispatch
from ..engine.measure import measure_for
from ..kernels import disk_cache
from .backends import BACKENDS
from .cases import Case
from .command import ALL, BadOptionError, Request, cases_of

_INSTALL = {"triton": BACKENDS["triton"].install}
_INSTALL |= {name: dispatch.BACKENDS[name].install for name in ("cupy", "llvm")}

CPU = "llvm"
"""The backend that needs no architecture: it compiles for the processor that it runs on."""

_PACKAGE = {CPU: "llvmlite"}
"""The packages of backends that have another name."""


def warm(rule: str, dtype: str, arch: str, variant: str, backend: str) -> int:
    """Compile the kernels of a first step, and print the time of each.

    Args:
        rule: comma-separated rules, or ``all``.
        dtype: as in `gpuopt inspect`.
        arch: comma-separated architectures such as ``sm_90``; empty for those of this machine.
        variant: as in `gpuopt inspect`.
        backend: comma-separated: ``llvm``, ``triton``, ``cupy``, or ``all``; empty for ``llvm``,
            and ``triton`` if there is a GPU or an architecture.

    Returns:
        0 on success, 1 if a kernel does not compile, 2 for invalid options.
    """
    try:
        cases = _cases((rule,), (dtype,), arch, (variant,), _backends(backend, arch))
        for name in dict.fromkeys(case.backend for case in cases):
            _check_installed(name)
    except BadOptionError as error:
        return _fail(2, str(error))
    failed = 0
    for case in cases:
        start = time.perf_counter()
        try:
            _WARMERS[case.backend](case)
        except Exception as error:  # the other kernels must still be compiled
            failed = _fail(1, f"{case.label}: {type(error).__name__}: {error}")
        else:
            print(f"{case.label}: {time.perf_counter() - start:.2f} s", flush=True)
    return failed


def _backends(text: str, arch: str) -> list[str]:
    names = [part.strip() for part in text.split(",") if part.strip()]
    if ALL in names:
        return [CPU, *BACKENDS]
    if not names:
        return [CPU, "triton"] if arch or compute_capabilities()[0] else [CPU]
    for name in names:
        if name not in _WARMERS:
            accepted = ", ".join([*_WARMERS, ALL])
            raise BadOptionError(f"--backend: got {name!r}, expected one of {accepted}")
    return list(dict.fromkeys(names))


def _cases(
    rules: tuple[str],
    dtypes: tuple[str],
    arch: str,
    variants: tuple[str],
    backends: list[str],
) -> list[Case]:
    """Return the cases of all backends, those of the CPU first."""
    devices = tuple(name for name in backends if name != CPU)
    found = []
    if CPU in backends:
        alike = cases_of(Request(rules, dtypes, ("90",), variants))
        found += [replace(case, backend=CPU, arch=0) for case in alike]
    if devices:
        found += cases_of(Request(rules, dtypes, (arch or _here(),), variants, devices))
    return found


def _here() -> str:
    """Return the architectures of this machine's GPUs."""
    capabilities, problem = compute_capabilities()
    if not capabilities:
        raise BadOptionError(f"--arch: required without a GPU, such as sm_90 ({problem})")
    return ",".join(dict.fromkeys(one.replace(".", "") for one in capabilities))


def _check_installed(backend: str) -> None:
    """Raise if the compiler is missing, with installation instructions."""
    try:
        importlib.import_module(_PACKAGE.get(backend, backend))
    except ImportError as error:
        raise BadOptionError(
            f"--backend: {backend} cannot compile here: {error}; to install it: {_INSTALL[backend]}"
        ) from None


def _fail(code: int, message: str) -> int:
    print(f"gpuopt warm: {message}", file=sys.stderr)
    return code


# --- Triton -------------------------------------------------------------------------------------


def _triton(case: Case) -> None:
    """Compile both kernels of a step."""
    import triton
    from triton.backends.compiler import GPUTarget

    from . import triton_code

    target = GPUTarget("cuda", case.arch, 32)
    for kernel in (case.coefficients, case):
        source, options = triton_code.source_of(kernel), triton_code.options_of(kernel)
        source.attrs = _attributes_at_a_launch(source, options, target)
        triton.compile(source, target=target, options=options)


def _attributes_at_a_launch(source: Any, options: dict[str, Any], target: Any) -> dict[Any, Any]:
    """Return the arguments' attributes from the JIT itself, since the cache key depends on them.

    Those of compile-time arguments differ between versions of Triton.
    """
    from triton.compiler import make_backend

    values = {name: source.constants.get((i,)) for i, name in enumerate(source.signature)}
    seen = [
        (kind, values[name] if kind == "constexpr" else "D" if kind.startswith("*") else None)
        for name, kind in source.signature.items()
    ]
    *_, attributes = source.fn._pack_args(make_backend(target), options, values, seen, options)
    return dict(attributes)


# --- CuPy ---------------------------------------------------------------------------------------


def _cupy(case: Case) -> None:
    """Compile the module of a step."""
    from ..kernels.cuda import cubin
    from ..kernels.cuda import source as cuda_c

    cubin.cubin(cuda_c.source(case.update, case.list_dtypes, case.vectors), case.arch)
    problem = disk_cache.problem()
    if problem is not None:
        raise OSError(problem)


# --- LLVM ---------------------------------------------------------------------------------------


def _llvm(case: Case) -> None:
    """Compile the walk of a step, and that of the norm where the step needs it."""
    from ..kernels.llvm.launch import entry_of, object_file_of

    walks = [(case.walked, case.list_dtypes)]
    if case.tail.measures:
        walks.append((measure_for(case.tail), case.list_dtypes[:2]))
    walks += [(sums, case.list_dtypes) for sums in case.update.in_front]
    for update, dtypes in walks:
        object_file_of(update, dtypes)
        if disk_cache.read(entry_of(update, dtypes)) is None:
            raise OSError(disk_cache.problem() or "it could not be written")


_WARMERS: dict[str, Callable[[Case], None]] = {CPU: _llvm, "triton": _triton, "cupy": _cupy}

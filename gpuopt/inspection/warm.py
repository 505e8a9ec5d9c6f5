"""`gpuopt warm`: compile ahead of time into the caches that a launch reads.

Neither a GPU nor a driver is needed. The cache keys must equal those of a launch, so the inputs
are the same: `triton.compile` gets the source, target and options of Triton's JIT, and the CuPy
backend's module is compiled by the backend's own code.
"""

from __future__ import annotations

import importlib
import sys
import time
from collections.abc import Callable
from typing import Any

from ..doctor import compute_capabilities
from ..engine import dispatch
from .backends import BACKENDS
from .cases import Case
from .command import BadOptionError, Request, cases_of

_INSTALL = {"triton": BACKENDS["triton"].install, "cupy": dispatch.BACKENDS["cupy"].install}


def warm(rule: str, dtype: str, arch: str, variant: str, backend: str) -> int:
    """Compile the kernels of a first step, and print the time of each.

    Args:
        rule: comma-separated rules, or ``all``.
        dtype: as in `gpuopt inspect`.
        arch: comma-separated architectures such as ``sm_90``; empty for those of this machine.
        variant: as in `gpuopt inspect`.
        backend: ``triton``, ``cupy``, or ``all``.

    Returns:
        0 on success, 1 if a kernel does not compile, 2 for invalid options.
    """
    try:
        cases = cases_of(Request((rule,), (dtype,), (arch or _here(),), (variant,), (backend,)))
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


def _here() -> str:
    """Return the architectures of this machine's GPUs."""
    capabilities, problem = compute_capabilities()
    if not capabilities:
        raise BadOptionError(f"--arch: required without a GPU, such as sm_90 ({problem})")
    return ",".join(dict.fromkeys(one.replace(".", "") for one in capabilities))


def _check_installed(backend: str) -> None:
    """Raise if the compiler is missing, with installation instructions."""
    try:
        importlib.import_module(backend)
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


_WARMERS: dict[str, Callable[[Case], None]] = {"triton": _triton, "cupy": _cupy}

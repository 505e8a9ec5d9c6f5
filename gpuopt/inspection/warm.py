"""`gpuopt warm`: compile ahead of time, into the caches that a launch on a GPU looks into.

Neither a GPU nor a driver is needed. What is compiled is what a launch compiles, by the compilers'
own code, so that the names under which it is kept are those that a launch asks for: Triton's
`triton.compile` with the source, target and options of its JIT, CuPy's ``RawModule`` with the
architecture said instead of asked for.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from unittest import mock

from .cases import Case
from .command import BadOptionError, Request, cases_of

SHORT = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16", "fp64": "float64"}
"""Names of dtypes that are taken, too."""


def warm(rule: str, dtype: str, arch: str, variant: str, backend: str) -> int:
    """Compile what a first step compiles, and say how long each kernel took.

    Args:
        rule: names of rules with commas between them, or ``all``.
        dtype: as `gpuopt inspect` takes them, or ``bf16`` and the like.
        arch: such as ``sm_90`` or ``90``, with commas.
        variant: as `gpuopt inspect` takes them.
        backend: ``triton``, ``cupy``, or ``all``.

    Returns:
        0 if all is well, 1 if something does not compile, 2 for options that make no sense.
    """
    try:
        cases = cases_of(_request(rule, dtype, arch, variant, backend))
    except BadOptionError as error:
        return _fail(2, str(error))
    failed = 0
    for case in cases:
        start = time.perf_counter()
        try:
            _WARMERS[case.backend](case)
        except Exception as error:  # whatever a compiler says, the other kernels go on
            failed = _fail(1, f"{case.label}: {type(error).__name__}: {error}")
        else:
            print(f"{case.label}: {time.perf_counter() - start:.2f} s", flush=True)
    return failed


def _request(rule: str, dtype: str, arch: str, variant: str, backend: str) -> Request:
    dtypes = ",".join(
        ":".join(SHORT.get(part, part) for part in name.strip().split(":"))
        for name in dtype.split(",")
    )
    archs = ",".join(name.strip().removeprefix("sm_") for name in arch.split(","))
    return Request((rule,), (dtypes,), (archs,), (variant,), (backend,))


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
        # The JIT names the compile-time arguments here, too, and the file's name depends on it.
        source.attrs |= {place: [] for place in source.constants}
        triton.compile(source, target=target, options=options)


# --- CuPy ---------------------------------------------------------------------------------------


def _cupy(case: Case) -> None:
    """Compile the module of a step."""
    from ..kernels import cuda_c

    text = cuda_c.source(case.update, case.list_dtypes, case.vectors)
    with for_arch(case.arch) as compile_module:
        compile_module(text, cuda_c.OPTIONS)


@contextmanager
def for_arch(arch: int) -> Iterator[Callable[[str, Sequence[str]], object]]:
    """Let CuPy compile modules for an architecture, and load none of them.

    Without a device CuPy cannot ask what to compile for, nor load what it compiled, which it
    does only after it has written the file.
    """
    from cupy._core import raw
    from cupy.cuda import compiler, function

    class Unloaded(function.Module):  # type: ignore[misc]
        """A module that is on disk alone."""

        def load(self, cubin: object) -> None:
            """Do nothing."""

    # As they are below CuPy's memory of each device's answers.
    options_of: Any = compiler._get_arch_for_options_for_nvrtc.__wrapped__
    module_of: Any = raw._get_raw_module.__wrapped__
    stubs = {"_get_arch": lambda: f"{arch}", "_get_arch_for_options_for_nvrtc": options_of}

    def compile_module(text: str, options: Sequence[str]) -> object:
        # As RawModule(code=text, options=options) calls it.
        return module_of(text, None, tuple(options), "nvrtc", False, False, False, None, None)

    with (
        mock.patch.multiple(compiler, **stubs),
        mock.patch.object(function, "Module", Unloaded),
    ):
        yield compile_module


_WARMERS: dict[str, Callable[[Case], None]] = {"triton": _triton, "cupy": _cupy}

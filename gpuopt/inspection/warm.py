"""`gpuopt warm`: compile ahead of time into the caches that a first step, or pass, reads.

Neither a GPU nor a driver is needed. The cache keys must equal those of a step, so the inputs are
the same: `triton.compile` gets the source, target and options of Triton's JIT, and the kernels of
CuPy and LLVM are compiled by the backends' own code.
"""

from __future__ import annotations

import importlib
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, NamedTuple

from ..doctor import compute_capabilities
from ..engine import dispatch
from ..engine.advance import Advance, advance_of
from ..engine.low_precision import KEEPING
from ..engine.measure import measure_for
from ..kernels import disk_cache
from ..kernels.table import Update
from .backends import BACKENDS
from .cases import PARTS, Case, default_variant, layouts_of, passes_of
from .command import ALL, BadOptionError, Request, cases_of

_INSTALL = {"triton": BACKENDS["triton"].install}
_INSTALL |= {name: dispatch.BACKENDS[name].install for name in ("cupy", "llvm")}

CPU = "llvm"
"""The backend that needs no architecture: it compiles for the processor that it runs on."""

_PACKAGE = {CPU: "llvmlite"}
"""The packages of backends that have another name."""


def warm(rule: str, dtype: str, arch: str, variant: str, backend: str) -> int:
    """Compile the kernels of a first step and of the rule's passes, and print the time of each.

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
    found: list[Case] = []
    if CPU in backends:
        alike = cases_of(Request(rules, dtypes, ("90",), variants))
        found += [replace(case, backend=CPU, arch=0) for case in alike]
    if devices:
        found += cases_of(Request(rules, dtypes, (arch or _here(),), variants, devices))
    return list(dict.fromkeys(map(_whole, found)))


def _whole(case: Case) -> Case:
    """Return the case of the steps that a part belongs to; others are whole."""
    if case.variant not in PARTS:
        return case
    return replace(case, kernel="update", variant=default_variant(case.rule))


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


# --- what an optimizer compiles -------------------------------------------------------------------


_Walk = tuple[Update, tuple[str, ...]]
"""What is applied to elements, and the dtypes of its lists."""


class _Table(NamedTuple):
    """An update with the dtypes of its lists, and the passes in front of it."""

    update: Update
    dtypes: tuple[str, ...]
    in_front: tuple[_Walk, ...] = ()

    @property
    def walks(self) -> tuple[_Walk, ...]:
        """All that is applied to elements."""
        return (self.update, self.dtypes), *self.in_front


def _tables(case: Case) -> list[_Table]:
    """Return the tables of a case's steps, and those of the passes of its rule."""
    update, dtypes = case.update, case.list_dtypes
    in_front: list[_Walk] = [(sums, dtypes) for sums in update.in_front]
    if case.tail.measures:
        in_front.append((measure_for(case.tail), dtypes[:2]))
    passes = [_Table(one.update, one.list_dtypes) for one in _passes(case)]
    return [_Table(update, dtypes, tuple(in_front)), *passes]


def _passes(case: Case) -> list[Case]:
    """Return the passes of a rule, which keep what is rounded off as the steps of a case do."""
    rule, narrow = case.update.rule, case.tail.narrow

    def kept(name: str) -> str:
        return narrow if narrow in KEEPING and "p" in rule.passes[name].results else ""

    return [
        replace(case, variant=variant)
        for variant, own in passes_of(rule).items()
        if own.tail.narrow == kept(own.name)
    ]


def _advance(case: Case) -> Advance | None:
    """Return what computes the next shared numbers of a case's steps, if there are any."""
    rule = case.update.rule
    return advance_of(rule) if rule.shared else None


# --- Triton -------------------------------------------------------------------------------------


def _triton(case: Case) -> None:
    """Compile all kernels."""
    import triton
    from triton.backends.compiler import GPUTarget

    target = GPUTarget("cuda", case.arch, 32)
    for kernel in _kernels(case):
        source, options = kernel.source, kernel.options
        source.attrs = _attributes_at_a_launch(source, options, target)
        triton.compile(source, target=target, options=options)


def _kernels(case: Case) -> Iterator[Any]:
    from .triton_code import adder, coefficients, walk

    for table in _tables(case):
        yield coefficients(table.update, table.dtypes)
        for update, dtypes in table.walks:
            yield walk(update, dtypes, case.vectors)
    if case.tail.measures:
        yield from map(adder, ("subtotals", "total"))
    for layout in layouts_of(case.update).values():
        yield adder("sums", layout)
    advance = _advance(case)
    if advance is not None:
        yield coefficients(advance, advance.dtypes)


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
    """Compile all modules."""
    from ..kernels.cuda import cubin

    for text in _modules(case):
        cubin.cubin(text, case.arch)
    problem = disk_cache.problem()
    if problem is not None:
        raise OSError(problem)


def _modules(case: Case) -> Iterator[str]:
    from ..kernels.cuda import source as cuda_c

    for table in _tables(case):
        yield cuda_c.source(table.update, table.dtypes, case.vectors)
        for update, dtypes in table.in_front:
            yield cuda_c.source(update, dtypes, case.vectors, (cuda_c.UPDATE,))
    if case.tail.measures or layouts_of(case.update):
        yield cuda_c.total_source()
    advance = _advance(case)
    if advance is not None:
        yield cuda_c.source(advance, advance.dtypes, False)


# --- LLVM ---------------------------------------------------------------------------------------


def _llvm(case: Case) -> None:
    """Compile all walks."""
    from ..kernels.llvm.launch import entry_of, object_file_of

    for update, dtypes in (walk for table in _tables(case) for walk in table.walks):
        object_file_of(update, dtypes)
        if disk_cache.read(entry_of(update, dtypes)) is None:
            raise OSError(disk_cache.problem() or "it could not be written")


_WARMERS: dict[str, Callable[[Case], None]] = {CPU: _llvm, "triton": _triton, "cupy": _cupy}

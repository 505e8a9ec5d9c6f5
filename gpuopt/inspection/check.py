"""The gate: limits that the code of every kernel must meet, and exemptions with their reasons."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ..engine.low_precision import BITS_16
from ..kernels.storage import STORAGE
from .backends import BACKENDS
from .cases import ARCHS, DTYPES, Case, cases_for, dtypes_of
from .facts import Facts
from .gpus import ARCH
from .predict import LIMITERS, predictions
from .sectors import UNKNOWN, Touched

WIDEST = 16
"""Bytes per access in the main path if all lists have one dtype."""

WIDE_ENOUGH = 8
"""Minimum bytes per access to the narrower of two dtypes."""

INSTRUCTIONS = {("adam", "plain", ("float32",) * 3): 50}
"""Maximum instructions per element; torch's fused Adam has 50.5 (sm_90)."""

COEFFICIENTS = 360
"""Maximum instructions of the kernel of the coefficients; unrolled powers would take 550."""

REAL_COEFFICIENTS = 680
"""The same for the rules of `_REAL_POWERS`; unrolled, these would take 1,600."""

_REAL_POWERS = ("nadam", "nadamw")
"""The rules with two real powers."""


def bytes_at_floor(facts: Facts) -> Iterator[str]:
    """Every element is read once and written once, with no other traffic."""
    if facts.main is not None and facts.main.total_bytes != facts.case.floor:
        yield f"{facts.main.total_bytes:g} bytes per element, and the floor is {facts.case.floor}"


def wide_accesses(facts: Facts) -> Iterator[str]:
    """Every access of the main path is 16 bytes wide; at least 8 if another list is wider."""
    if facts.main is None:
        return
    sizes = [_bytes_of(dtype) for dtype in facts.case.list_dtypes]
    rows = (*facts.case.walked.read, *facts.case.walked.written)
    widest = max(sizes[row] for row in rows)
    mixed = sum(sizes[row] for row in rows if sizes[row] < widest)
    narrow = {width: moved for width, moved in facts.main.widths.items() if width < WIDEST}
    for width, moved in narrow.items():
        if width < WIDE_ENOUGH or moved > mixed:
            yield f"{moved:g} bytes per element move in accesses of {width} bytes"


def coalesced(facts: Facts) -> Iterator[str]:
    """In whole chunks, a warp touches no more sectors than hold its bytes."""
    found = [one for one in facts.touched if not one.masked]
    if facts.case.kernel == "update" and not found:
        yield "no access to elements was found in the PTX"
    yield from map(_scattered, filter(_is_scattered, found))


def coalesced_if_masked(facts: Facts) -> Iterator[str]:
    """In the last chunk of a tensor, a warp touches no more sectors than hold its bytes."""
    found = [one for one in facts.touched if one.masked]
    yield from map(_scattered, filter(_is_scattered, found))


def _is_scattered(one: Touched) -> bool:
    return one.sectors != one.floor


def _scattered(one: Touched) -> str:
    what = f"a {'store' if one.store else 'load'} of {one.width} bytes per thread"
    sectors = "an unknown number of" if one.sectors == UNKNOWN else one.sectors
    return f"{what} touches {sectors} sectors per warp, at least {one.floor}"


def no_local_memory(facts: Facts) -> Iterator[str]:
    """Nothing is spilled."""
    if facts.local or facts.spills:
        yield f"{facts.local} bytes of local memory, {facts.spills} instructions that use it"


def no_shared_memory(facts: Facts) -> Iterator[str]:
    """Threads exchange no data."""
    if facts.shared:
        yield f"{facts.shared} bytes of shared memory"


def exactly_rounded(facts: Facts) -> Iterator[str]:
    """Every operation has the result of IEEE arithmetic."""
    for operation in facts.inexact:
        yield f"not exactly rounded: {operation}"


def few_instructions(facts: Facts) -> Iterator[str]:
    """The instructions, setup included, are within the limit, if there is one."""
    limit = INSTRUCTIONS.get((facts.case.rule, facts.case.variant, facts.case.dtypes))
    if facts.main is not None and limit is not None and facts.main.total_instructions > limit:
        yield f"{facts.main.total_instructions:.1f} instructions per element, at most {limit}"


def short_coefficients(facts: Facts) -> Iterator[str]:
    """The code of the coefficients, which runs once a step and is not in the cache, is short."""
    limit = REAL_COEFFICIENTS if facts.case.rule in _REAL_POWERS else COEFFICIENTS
    if facts.case.kernel == "coefficients" and facts.length > limit:
        yield f"{facts.length} instructions, at most {limit}"


def memory_bound(facts: Facts) -> Iterator[str]:
    """Memory is the bottleneck on every GPU of the architecture."""
    for one in predictions(facts):
        if one.limiter != LIMITERS["memory"]:
            yield f"{one.gpu.name}: limited by {one.limiter}, {one.fraction:.0%} of peak bandwidth"


def main_path_read(facts: Facts) -> Iterator[str]:
    """The main path of an update was found, and PTX and SASS agree on it."""
    if facts.problem:
        yield facts.problem


CHECKS: dict[str, Callable[[Facts], Iterator[str]]] = {
    "main path": main_path_read,
    "bytes": bytes_at_floor,
    "width": wide_accesses,
    "sectors": coalesced,
    "masked sectors": coalesced_if_masked,
    "local memory": no_local_memory,
    "shared memory": no_shared_memory,
    "exactness": exactly_rounded,
    "instructions": few_instructions,
    "code": short_coefficients,
    "memory-bound": memory_bound,
}


@dataclass(frozen=True)
class Exemption:
    """Cases that are exempt from a check.

    Attributes:
        check: the name of the check.
        applies: returns whether a case is exempt.
        reason: why.
        message: the only finding that is exempt; "" for all.
    """

    check: str
    applies: Callable[[Case], bool]
    reason: str
    message: str = ""


def _bytes_of(dtype: str) -> int:
    return STORAGE[dtype].itemsize


def _by_triton_36(case: Case) -> bool:
    return case.backend == "triton" and str(BACKENDS["triton"].version()).startswith("3.6.")


EXEMPTIONS = (
    Exemption(
        "main path",
        lambda case: (case.backend, case.rule, case.dtypes[0]) == ("triton", "asgd", "float64"),
        "LLVM splits it into two loops, one for each outcome of a condition that is uniform for a "
        "tensor, and the gate reads only one; in float32 there is one",
    ),
    Exemption(
        "width",
        lambda case: not case.vectors,
        "misaligned arrays are only aligned to their elements",
    ),
    Exemption(
        "width",
        lambda case: "float64" in case.dtypes and min(map(_bytes_of, case.dtypes)) == 2,
        "with float64 a thread has two elements: 4 bytes of a 16-bit dtype",
    ),
    *(
        Exemption(
            check,
            lambda case: case.kernel == "coefficients",
            "each thread has a tensor, and reads and writes its rows of the tables: once a step",
        )
        for check in ("sectors", "masked sectors")
    ),
    Exemption(
        "masked sectors",
        lambda case: (case.backend, case.kernel) == ("triton", "update"),
        "Triton lays out masked accesses of one element as it does those of four; another layout "
        "for them takes 20 more registers per thread, also while whole chunks are updated",
    ),
    Exemption(
        "local memory",
        lambda case: (
            (case.rule, case.dtypes[0], case.arch) == ("adagrad", "float32", 120)
            and _by_triton_36(case)
        ),
        "Triton 3.6's ptxas keeps one offset of the masked path there; the main path has none",
    ),
    Exemption(
        "memory-bound",
        lambda case: case.dtypes[0] == "float64" and ARCH[case.arch].lanes["fp64"] <= 2,
        "a multiprocessor of these GPUs has only two float64 operations per cycle",
    ),
    Exemption(
        "memory-bound",
        lambda case: case.arch == 100 and case.dtypes[2] in BITS_16,
        "stochastic rounding of 16-bit states takes more instructions than a B200 issues while it "
        "moves the bytes of an element: 72 to 94% of its peak bandwidth",
    ),
    Exemption(
        "main path",
        lambda case: case.reduces,
        "in reductions, masked and whole chunks end in the same code (and the norm's pass stores "
        "nothing else): bytes, width, instructions and bottleneck are not checked",
    ),
    Exemption(
        "main path",
        lambda case: (case.backend, case.variant) == ("cupy", "zero_grads"),
        "the loop that clears the gradients of a skipped step also stores without a mask, and the "
        "gate reads only one: bytes, width, instructions and bottleneck are not checked",
    ),
    Exemption(
        "main path",
        lambda case: (case.backend, case.variant, case.arch) == ("triton", "zero_grads", 80),
        "ptxas unrolls the loop by another factor than PTX says, and the gate takes the two for "
        "different paths: bytes, width, instructions and bottleneck are not checked",
    ),
    Exemption(
        "shared memory",
        lambda case: case.reduces,
        "the threads of a block reduce their partials once per chunk",
    ),
    Exemption(
        "exactness",
        lambda case: case.reduces,
        "sums of squares use a float64 fma, which rounds once, to nearest; no result of the update "
        "depends on them",
        "not exactly rounded: fma.rn.f64",
    ),
)


@dataclass(frozen=True)
class Finding:
    """A failed check of a kernel; ``exempt`` is the reason if it is exempt."""

    case: Case
    check: str
    message: str
    exempt: str = ""


def findings(facts: Facts) -> list[Finding]:
    """Return the failed checks of a kernel."""
    return [
        Finding(facts.case, name, message, _reason(name, message, facts.case))
        for name, check in CHECKS.items()
        for message in check(facts)
    ]


def _reason(check: str, message: str, case: Case) -> str:
    reasons = [
        one.reason
        for one in EXEMPTIONS
        if one.check == check and one.message in ("", message) and one.applies(case)
    ]
    return reasons[0] if reasons else ""


# --- the default cases of --check ---------------------------------------------------------------


@dataclass(frozen=True)
class Scope:
    """Cases that are checked together.

    Attributes:
        kernel: ``"update"`` or ``"coefficients"``.
        variants: of each rule; empty for the rule's default.
        dtypes: as `dtypes_of` reads them.
        archs: architectures.
        rules: names of rules; empty for all.
    """

    kernel: str
    variants: tuple[str, ...]
    dtypes: tuple[str, ...]
    archs: tuple[int, ...]
    rules: tuple[str, ...] = ()


NARROW_STATES = (
    "float32:float32:bfloat16",
    "float32:float32:float16",
    "bfloat16:bfloat16:bfloat16",
)
"""Dtypes with stochastically rounded states."""

SCOPES = (
    Scope("update", (), DTYPES, ARCHS),
    Scope("update", ("scale_decay",), DTYPES[:2], (90,)),
    Scope("update", ("misaligned",), DTYPES[:1], (90,)),
    Scope("coefficients", ("scale_decay",), DTYPES[:1], (75, 90, 120)),
    Scope(
        "update",
        ("clip_ema", "zero_grads", "stats", "measure"),
        DTYPES[:1],
        ARCHS,
        ("adam",),
    ),
    Scope(
        "update",
        ("master", "rounding", "kahan", "whole", "measure"),
        DTYPES[1:2],
        ARCHS,
        ("adam",),
    ),
    Scope("update", ("plain",), NARROW_STATES, ARCHS, ("adam", "amsgrad")),
    Scope("coefficients", ("plain",), NARROW_STATES[:1], (75, 90, 120), ("adam",)),
    Scope(
        "coefficients",
        ("clip_ema", "master", "rounding", "kahan"),
        DTYPES[1:2],
        (75, 90, 120),
        ("adam",),
    ),
)
"""Every rule on every architecture; variants that add little, on few."""


_SOME = ("gradient_descent", "adam", "adamw", "nadam")
"""Rules without states, with decay of both kinds, and with a carried number."""

SAMPLE = (
    Scope("update", (), DTYPES[:1], (90,)),
    Scope("update", (), DTYPES[1:], (80, 120), _SOME),
    Scope("update", ("scale_decay", "misaligned"), DTYPES[:1], (90,), _SOME),
    Scope(
        "update", ("clip_ema", "zero_grads", "stats", "measure"), DTYPES[:1], (80, 90), ("adam",)
    ),
    Scope("update", ("master", "rounding", "kahan", "whole"), DTYPES[1:2], (90, 120), ("adam",)),
    Scope("update", ("plain",), NARROW_STATES, (90,), ("adam",)),
    Scope("coefficients", ("scale_decay",), DTYPES[:1], (90,), _SOME),
    Scope("coefficients", ("plain",), NARROW_STATES[:1], (90,), ("adam",)),
    Scope("coefficients", ("clip_ema", "kahan"), DTYPES[1:2], (90,), ("adam",)),
)
"""Every rule, every variant, every dtype and three architectures, but not all of them together."""


def scope_cases(backend: str, rules: list[str], scopes: tuple[Scope, ...] = SCOPES) -> list[Case]:
    """Return the cases of scopes for some rules."""
    return [
        case
        for scope in scopes
        for case in cases_for(
            backend,
            [rule for rule in rules if not scope.rules or rule in scope.rules],
            scope.variants,
            [dtypes_of(dtype) for dtype in scope.dtypes],
            scope.archs,
            scope.kernel,
        )
    ]

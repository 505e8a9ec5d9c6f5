"""The gate: limits that the code of every kernel must meet, and exemptions with their reasons."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ..engine.low_precision import BITS_16
from ..kernels.storage import STORAGE
from ..rules.formats import IN_8_BITS
from ..rules.registry import RULES
from .backends import BACKENDS
from .cases import (
    ARCHS,
    DTYPES,
    PARTS,
    PASSES,
    Case,
    cases_for,
    dtype_label,
    dtypes_of,
    is_held_in_8_bits,
)
from .facts import Facts
from .gpus import ARCH
from .predict import LIMITERS, predictions
from .sectors import UNKNOWN, Touched

WIDEST = 16
"""Bytes per access in the main path to the widest lists."""

BESIDE_BYTES = 4
"""Elements per access where a list has single bytes, if no list is wider than 16 bits: eight take
twice the registers and no instruction less, and these kernels are limited by instruction issue."""

INSTRUCTIONS = {
    ("adam", "plain", "float32"): {"triton": 50, "cupy": 50},
    ("adam", "plain", "float32:float32:8bit"): {"triton": 110, "cupy": 110},
    ("adamw", "decay", "float32:float32:8bit"): {"triton": 110, "cupy": 110},
    ("adamw", "split16", "bfloat16"): {"triton": 56, "cupy": 64},
    ("adamw", "split8", "bfloat16"): {"triton": 86, "cupy": 91},
    ("adamw", "split8", "bfloat16:bfloat16:8bit"): {"triton": 144, "cupy": 136},
}
"""Maximum instructions per element from sm_80 on: by rule, variant and dtypes, of each backend.
torch's fused Adam has 50.5 (sm_90)."""

MORE_ON_SM_75 = 1.16
"""By which factor sm_75 may have more: it has no maximum that keeps NaN."""

WITH_HBM = (80, 90, 100)
"""The architectures of GPUs with stacked memory: few instructions per byte."""

COEFFICIENTS = 360
"""Maximum instructions of the kernel of the coefficients; unrolled powers would take 550."""

ADDERS = 700
"""The same for the kernels that add up partials."""

REAL_COEFFICIENTS = 680
"""The same for the rules of `_REAL_POWERS`; unrolled, these would take 1,600."""

_REAL_POWERS = (
    *("nadam", "nadamw", "dadapt_adam", "dadapt_adamw"),
    *("prodigy", "prodigy_l2", "prodigy_one_pass", "prodigy_l2_one_pass"),
)
"""The rules with two real powers."""


def bytes_at_floor(facts: Facts) -> Iterator[str]:
    """Every element is read once and written once, with no other traffic.

    A scale is loaded by every thread that has elements of its block: eight of them, with four
    elements each. Their warp moves it once, and so it counts, as long as their address is one; an
    address that the gate does not know counts for each thread.
    """
    if facts.main is not None and facts.main.total_bytes != facts.case.floor:
        yield f"{facts.main.total_bytes:g} bytes per element, and the floor is {facts.case.floor}"


def wide_accesses(facts: Facts) -> Iterator[str]:
    """Every access of the main path has as many elements as 16 bytes of the widest list.

    So it is 16 bytes wide in all lists of one dtype, 8 in a list of 16 bits beside one of 32, and 4
    in one of codes. The scales of blocks are left out: a thread needs one number.
    """
    if facts.main is None:
        return
    needed = _needed_widths(facts.case)
    moved = 0.0
    for width, own in sorted(facts.main.widths.items()):
        moved += own
        allowed = sum(size for least, size in needed if least <= width)
        if width < WIDEST and moved > allowed:
            yield f"{own:g} bytes per element move in accesses of {width} bytes"


def _needed_widths(case: Case) -> list[tuple[int, int]]:
    """Return the least width of the accesses to each list, and its bytes per element."""
    scales = {row for _, row in case.walked.blocked}
    rows = [row for row in (*case.walked.read, *case.walked.written) if row not in scales]
    sizes = [_bytes_of(case.list_dtypes[row]) for row in rows]
    elements = min(WIDEST // max(sizes), BESIDE_BYTES if 1 in sizes else WIDEST)
    return [(min(WIDEST, elements * size), size) for size in sizes]


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
    """Threads of different warps exchange no data, and do not wait for each other.

    The threads of a block of elements that share a scale are neighbours in a warp.
    """
    if facts.shared:
        yield f"{facts.shared} bytes of shared memory"
    if facts.barriers:
        yield f"{facts.barriers} barriers"


def exactly_rounded(facts: Facts) -> Iterator[str]:
    """Every operation has the result of IEEE arithmetic."""
    for operation in facts.inexact:
        yield f"not exactly rounded: {operation}"


def few_instructions(facts: Facts) -> Iterator[str]:
    """The instructions, setup included, are within the limit, if there is one."""
    case = facts.case
    limits = INSTRUCTIONS.get((case.rule, case.variant, dtype_label(case.dtypes)), {})
    limit = limits.get(case.backend)
    if limit is not None and case.arch < 80:
        limit = round(limit * MORE_ON_SM_75)
    if facts.main is not None and limit is not None and facts.main.total_instructions > limit:
        yield f"{facts.main.total_instructions:.1f} instructions per element, at most {limit}"


def short_coefficients(facts: Facts) -> Iterator[str]:
    """Code that runs once a step, and is not in the cache by then, is short."""
    limit = _longest(facts.case)
    if limit is not None and facts.length > limit:
        yield f"{facts.length} instructions, at most {limit}"


def _longest(case: Case) -> int | None:
    if case.kernel == "update":
        return None
    if case.adds_up:
        return ADDERS
    real = case.rule in _REAL_POWERS and case.variant not in PARTS
    return REAL_COEFFICIENTS if real else COEFFICIENTS


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
    *(
        Exemption(
            check,
            lambda case: case.kernel != "update",
            "each thread has a tensor, or a chunk's partials, and reads and writes its rows of the "
            "tables: once a step",
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
        lambda case: case.arch in WITH_HBM and (case.blocked or "int8" in case.moved_dtypes),
        "8-bit codes and their random numbers take more instructions than a GPU with HBM issues "
        "while it moves the few bytes of an element: a third of its peak bandwidth at worst (B200)",
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
        lambda case: case.squares,
        "sums of squares use a float64 fma, which rounds once, to nearest",
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
        kernel: ``"update"`` or ``"coefficients"``; parts of steps have their own.
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

CODED_STATES = ("float32:float32:8bit", "bfloat16:bfloat16:8bit")
"""Dtypes with states in codes of 8 bits, whose blocks share scales."""

WHOLE_PASSES = tuple(variant for variant, own in PASSES.items() if not own.tail.narrow)
KEEPING_PASSES = tuple(variant for variant, own in PASSES.items() if own.tail.narrow)
"""The passes of rules, and those that keep what rounding cuts off of 16-bit parameters."""

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
    Scope("update", ("sums",), (*DTYPES[:1], *CODED_STATES[:1]), ARCHS),
    Scope("update", (), CODED_STATES[:1], ARCHS),
    Scope("update", ("split16", "split8"), DTYPES[1:2], ARCHS),
    Scope("update", ("split8",), CODED_STATES[1:], ARCHS),
    Scope("update", WHOLE_PASSES, (*DTYPES, *CODED_STATES[:1]), ARCHS),
    Scope("update", KEEPING_PASSES, DTYPES[1:2], ARCHS),
    Scope("update", ("train_split8", "eval_split8"), CODED_STATES[1:], ARCHS),
    Scope("update", ("norm_subtotals", "norm_total"), DTYPES[:1], ARCHS, ("adam",)),
    Scope("update", ("sums_of_tensors",), DTYPES[:1], ARCHS, ("lamb", "mars")),
    Scope("update", ("totals_of_tables", "totals_of_all"), DTYPES[:1], ARCHS, ("prodigy",)),
    Scope("update", ("advance",), DTYPES[:1], ARCHS),
    Scope("coefficients", WHOLE_PASSES, DTYPES[:1], (75, 90, 120)),
    Scope(
        "coefficients", ("plain",), (NARROW_STATES[0], CODED_STATES[0]), (75, 90, 120), ("adam",)
    ),
    Scope(
        "coefficients",
        ("clip_ema", "master", "split8", "rounding", "kahan"),
        DTYPES[1:2],
        (75, 90, 120),
        ("adam",),
    ),
)
"""Every rule on every architecture; variants that add little, on few."""


_SOME = ("gradient_descent", "adam", "adamw", "nadam")
"""Rules without states, with decay of both kinds, and with a carried number."""

_WITH_PASSES = ("adamw_schedule_free", "sophiag")
"""Rules with passes over states, and over gradients."""

SAMPLE = (
    Scope("update", (), DTYPES[:1], (90,)),
    Scope("update", (), DTYPES[1:], (80, 120), _SOME),
    Scope("update", ("scale_decay", "misaligned"), DTYPES[:1], (90,), _SOME),
    Scope(
        "update", ("clip_ema", "zero_grads", "stats", "measure"), DTYPES[:1], (80, 90), ("adam",)
    ),
    Scope("update", ("master", "rounding", "kahan", "whole"), DTYPES[1:2], (90, 120), ("adam",)),
    Scope("update", ("plain",), NARROW_STATES, (90,), ("adam",)),
    Scope("update", (), CODED_STATES[:1], (90, 120), ("adamw",)),
    Scope("update", ("split16", "split8"), DTYPES[1:2], (120,), ("adamw",)),
    Scope("update", ("split8",), CODED_STATES[1:], (90, 120), ("adamw",)),
    Scope("update", ("sums",), DTYPES[:1], (90,), ("lamb", "prodigy")),
    Scope("update", WHOLE_PASSES, DTYPES[:1], (90,), _WITH_PASSES),
    Scope("update", KEEPING_PASSES, DTYPES[1:2], (120,), _WITH_PASSES),
    Scope("update", ("norm_subtotals", "norm_total"), DTYPES[:1], (90,), ("adam",)),
    Scope("update", ("sums_of_tensors",), DTYPES[:1], (90,), ("lamb",)),
    Scope(
        "update", ("totals_of_tables", "totals_of_all", "advance"), DTYPES[:1], (90,), ("prodigy",)
    ),
    Scope("coefficients", ("scale_decay",), DTYPES[:1], (90,), _SOME),
    Scope("coefficients", ("plain",), NARROW_STATES[:1], (90,), ("adam",)),
    Scope("coefficients", ("clip_ema", "kahan"), DTYPES[1:2], (90,), ("adam",)),
)
"""Every rule, every variant, every dtype and three architectures, but not all of them together."""


def scope_cases(backend: str, rules: list[str], scopes: tuple[Scope, ...] = SCOPES) -> list[Case]:
    """Return the cases of scopes for some rules; of 8 bits, those of rules that hold a state so."""
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
        if case.dtypes[2] != IN_8_BITS or is_held_in_8_bits(RULES[case.rule])
    ]

"""What the code of every kernel must meet: a function for each check."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ..engine.update_coefficients import parameters_of
from ..kernels.storage import STORAGE
from ..kernels.trace.coefficients import trace_coefficients
from ..rules.registry import RULES, Rule
from .cases import PARTS, Case, dtype_label
from .facts import Facts
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

COEFFICIENTS = 360
"""Maximum instructions of the kernel of the coefficients; unrolled powers would take 550."""

ADDERS = 700
"""The same for the kernels that add up partials."""

REAL_COEFFICIENTS = 720
"""The same for rules with two real powers; unrolled, these would take 1,600."""

LONGER = {"ademamix": 1000}
"""The same by rule: AdEMAMix's warm-up takes two logarithms, each a series of divisions."""


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


def _bytes_of(dtype: str) -> int:
    return STORAGE[dtype].itemsize


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
    if case.variant in PARTS:
        return COEFFICIENTS
    return LONGER.get(case.rule) or _longest_of(RULES[case.rule])


def _longest_of(rule: Rule) -> int:
    found = trace_coefficients(rule.coefficients, parameters_of(rule.coefficients))
    powers = [one for one in found.operations if one.name == "real_power"]
    return REAL_COEFFICIENTS if len(powers) > 1 else COEFFICIENTS


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

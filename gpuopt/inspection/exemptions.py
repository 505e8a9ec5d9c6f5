"""The kernels that are exempt from a check, each with the reason."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..engine.low_precision import BITS_16
from .backends import BACKENDS
from .cases import Case
from .gpus import ARCH

WITH_HBM = (80, 90, 100)
"""The architectures of GPUs with stacked memory: few instructions per byte."""


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


def reason_for(check: str, message: str, case: Case) -> str:
    """Return why a case is exempt from a finding of a check; "" if it is not."""
    reasons = [
        one.reason
        for one in EXEMPTIONS
        if one.check == check and one.message in ("", message) and one.applies(case)
    ]
    return reasons[0] if reasons else ""

"""Which kernels ``gpuopt inspect --check`` compiles by default."""

from __future__ import annotations

from dataclasses import dataclass

from ..rules.formats import IN_8_BITS
from ..rules.registry import RULES
from .cases import ARCHS, DTYPES, PASSES, Case, cases_for, dtypes_of, is_held_in_8_bits


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

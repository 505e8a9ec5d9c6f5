"""Check that a contender computes the rule, before it is timed."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .buffers import SharedBuffers, as_float64
from .cases import Case
from .contender import Contender
from .timing import Clock

Doubles = npt.NDArray[np.float64]

SHAPES = ((4099,), (33, 7), (1,), (64,))
SCALES = (1.0, 2.0**-6, -(2.0**-5))
"""Factors of the steps' gradients: decreasing, so that AMSGrad differs from Adam."""

TOLERANCE = {
    # Rounding only: every step rounds the parameter once and the update a few times, in an order
    # that differs between contenders; up to 6 roundings were seen. The nearest wrong formulas
    # (no decay, Adam for AMSGrad) differ by more than 100.
    "float32": 16 * 2.0**-24,
    "float64": 16 * 2.0**-53,
    # Peers keep their states in 16 bits, too, so the update is as coarse. The formula is checked
    # in float32 first; this only detects gross errors.
    "bfloat16": 16 * 2.0**-8,
    "float16": 16 * 2.0**-11,
}
"""The largest difference that counts as the same formula, relative to the values."""

ROUGH = 10.0
"""Factor on the tolerance for peers that round ``1 - beta**step`` to float32: up to 119 roundings
were seen, and AdamW without its decay differs by 500."""


def difference(
    case: Case,
    contender: Contender,
    reference: Contender,
    dtype: str = "float32",
    device: str = "cpu",
) -> float:
    """Return the largest difference of two contenders' parameters after some steps.

    The difference is relative to the parameter plus the largest update.

    Raises:
        Unavailable: a contender cannot run here.
    """
    start, expected = _trajectory(case, reference, dtype, "cpu")
    _, actual = _trajectory(case, contender, dtype, device)
    unit = np.abs(start) + np.abs(expected - start).max()
    return float((np.abs(actual - expected) / unit).max())


def same_formula(
    case: Case,
    contender: Contender,
    reference: Contender,
    dtype: str = "float32",
    device: str = "cpu",
    rough: bool = False,
) -> str | None:
    """Return None if two contenders compute the same, else a message.

    They are compared in float32, where the tolerance is tight, and then in the given dtype.
    """
    for each in dict.fromkeys(("float32", dtype)):
        apart = difference(case, contender, reference, each, device)
        allowed = TOLERANCE[each] * (ROUGH if rough else 1.0)
        if not apart <= allowed:  # so that a NaN fails
            return f"another formula: {apart:.1e} off in {each}, {allowed:.1e} allowed"
    return None


def first_step(case: Case, contender: Contender, dtype: str, device: str, clock: Clock) -> float:
    """Return the seconds of a contender's first step of a rule and dtype, compilation included."""
    return clock.first(contender(case, SharedBuffers(SHAPES, case.rule.states, dtype, device)))


def _trajectory(
    case: Case, contender: Contender, dtype: str, device: str
) -> tuple[Doubles, Doubles]:
    """Return the parameters before and after some steps on gradients of many magnitudes."""
    buffers = SharedBuffers(SHAPES, case.rule.states, dtype, device)
    grads = as_float64(buffers.flat["grads"]).astype(np.float32)
    first = grads * np.float32(10.0) ** np.linspace(-6, 3, len(grads), dtype=np.float32)
    start = as_float64(buffers.flat["params"])
    step = contender(case, buffers)
    with step.context():
        for scale in SCALES:
            buffers.fill("grads", first * np.float32(scale))
            step.run()
    return start, as_float64(buffers.flat["params"])

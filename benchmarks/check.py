"""Whether a contender computes the rule: found out before its time is taken."""

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
"""The gradients of each step over the first: small ones follow, so that AMSGrad is not Adam."""

TOLERANCE = {
    # Rounding only: every step rounds the parameter once, and the update a few times, in
    # whatever order the contender has; up to 6 roundings were seen. The nearest wrong formulas
    # (no decay, Adam for AMSGrad) are more than 100 off.
    "float32": 16 * 2.0**-24,
    "float64": 16 * 2.0**-53,
    # Peers keep their states in 16 bits, too, and the update is as rough. That the formula is
    # right, they show in float32 first; this is to see that nothing falls apart.
    "bfloat16": 16 * 2.0**-8,
    "float16": 16 * 2.0**-11,
}
"""The difference that is still the same formula, as a part of the values it is made of."""

ROUGH = 10.0
"""Times as much for peers that round ``1 - beta**step`` to float32: up to 119 roundings were seen,
and AdamW without its decay is 500 off."""


def difference(
    case: Case,
    contender: Contender,
    reference: Contender,
    dtype: str = "float32",
    device: str = "cpu",
) -> float:
    """Return how far two contenders' parameters are apart after some steps.

    Returns:
        The largest difference, as a part of the parameter plus the largest update.

    Raises:
        Unavailable: one of them cannot run here.
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
    """Return None if two contenders compute the same, or what is wrong.

    The formula is compared in float32, where it is sharp, and then in the dtype that is asked for.
    """
    for each in dict.fromkeys(("float32", dtype)):
        apart = difference(case, contender, reference, each, device)
        allowed = TOLERANCE[each] * (ROUGH if rough else 1.0)
        if not apart <= allowed:  # so that a NaN fails
            return f"another formula: {apart:.1e} off in {each}, {allowed:.1e} allowed"
    return None


def first_step(case: Case, contender: Contender, dtype: str, device: str, clock: Clock) -> float:
    """Return the seconds of the first step that a contender ever makes of a rule and dtype."""
    return clock.first(contender(case, SharedBuffers(SHAPES, case.rule.states, dtype, device)))


def _trajectory(
    case: Case, contender: Contender, dtype: str, device: str
) -> tuple[Doubles, Doubles]:
    """Return the parameters before and after some steps on gradients of every size."""
    buffers = SharedBuffers(SHAPES, case.rule.states, dtype, device)
    grads = as_float64(buffers.flat["grads"]).astype(np.float32)
    first = grads * np.float32(10.0) ** np.linspace(-6, 3, len(grads), dtype=np.float32)
    start = as_float64(buffers.flat["params"])
    step = contender(case, buffers)
    with step.around():
        for scale in SCALES:
            buffers.fill("grads", first * np.float32(scale))
            step.run()
    return start, as_float64(buffers.flat["params"])

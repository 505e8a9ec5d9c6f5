"""Whether a contender computes the rule: found out before its time is taken."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .arena import Arena
from .cases import Case
from .contender import Maker

Doubles = npt.NDArray[np.float64]

SHAPES = ((4099,), (33, 7), (1,), (64,))
SCALES = (1.0, 2.0**-6, -(2.0**-5))
"""The gradients of each step over the first: small ones follow, so that AMSGrad is not Adam."""

TOLERANCE = {
    # Rounding only: every step rounds the parameter once, and the update a few times, in
    # whatever order the contender has; up to 6 roundings were seen. The nearest wrong formulas
    # (no decay, Adam for AMSGrad) are more than 100 off.
    "float32": 16 * 2.0**-24,
}
"""The difference that is still the same formula, as a part of the values it is made of."""


def difference(case: Case, contender: Maker, reference: Maker) -> float:
    """Return how far two contenders' parameters are apart after some steps.

    Returns:
        The largest difference, as a part of the parameter plus the largest update.

    Raises:
        Unavailable: one of them cannot run here.
    """
    start, expected = _trajectory(case, reference)
    _, actual = _trajectory(case, contender)
    unit = np.abs(start) + np.abs(expected - start).max()
    return float((np.abs(actual - expected) / unit).max())


def same_formula(case: Case, contender: Maker, reference: Maker) -> str | None:
    """Return None if two contenders compute the same, or what is wrong."""
    apart = difference(case, contender, reference)
    allowed = TOLERANCE["float32"]
    # Written so that a NaN fails.
    return None if apart <= allowed else f"another formula: {apart:.1e} off, {allowed:.1e} allowed"


def _trajectory(case: Case, contender: Maker) -> tuple[Doubles, Doubles]:
    """Return the parameters before and after some steps on gradients of every size."""
    arena = Arena(SHAPES, case.rule.states)
    params, grads = arena.flat["params"], arena.flat["grads"]
    first = grads * np.float32(10.0) ** np.linspace(-6, 3, len(grads), dtype=np.float32)
    start = params.astype(np.float64)
    step = contender(case, arena)
    with step.around():
        for scale in SCALES:
            grads[:] = first * np.float32(scale)
            step.run()
    return start, params.astype(np.float64)

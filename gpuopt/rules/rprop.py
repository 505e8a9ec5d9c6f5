"""Rprop (Riedmiller and Braun 1993)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from .definitions import Definition, define, single
from .options import MAXIMIZE, Option, learning_rate
from .ranges import ANY, GROWING, SHRINKING
from .registry import Rule, add_rule


def rprop(p, g, prev, step_size, etaminus, etaplus, step_size_min, step_size_max):
    """s = s*eta+ while g keeps its sign, s*eta- where it turns, between bounds ; p = p - s*sign(g).

    Where it turns, p does not move, and g = 0 is stored for the next comparison. As in torch, a NaN
    gradient has no sign.

    Neither state fits into 8 bits: small gradients would be rounded to 0 and lose their sign, which
    makes the mean step size 28% wrong, and a block can hold step sizes down to 1/65,025 of its
    largest, while they span a factor of 5e7.
    """
    turn = g * prev
    factor = np.where(turn > 0.0, etaplus, np.where(turn < 0.0, etaminus, 1.0))
    # + 0.0: the sign of max(-0.0, 0.0) depends on the processor.
    step_size = np.minimum(np.maximum(step_size * factor + 0.0, step_size_min), step_size_max)
    g = np.where(turn < 0.0, 0.0, g)
    move = np.where(g > 0.0, step_size, np.where(g < 0.0, -step_size, 0.0))
    return p - move, g, step_size


def rprop_coefficients(step, lr, etaminus, etaplus, step_size_min, step_size_max):
    """Return the options except lr, which is only the initial step size."""
    return etaminus, etaplus, step_size_min, step_size_max


_OPTIONS = (
    replace(learning_rate(1e-2), description="first step size of each element, at least 0"),
    Option(
        "etas",
        (0.5, 1.2),
        "factors of a step size if the gradient's sign changes, in (0, 1), and if not, above 1",
        (SHRINKING, GROWING),
        ("etaminus", "etaplus"),
    ),
    Option(
        "step_sizes",
        (1e-6, 50.0),
        "the smallest and the largest step size",
        (ANY, ANY),
        ("step_size_min", "step_size_max"),
    ),
)

add_rule(
    Rule(
        "rprop",
        rprop,
        rprop_coefficients,
        ("prev", "step_size"),
        _OPTIONS,
        initial={"step_size": "lr"},
        not_in_8_bits=("prev", "step_size"),
        nonnegative=("step_size",),
    )
)

define(
    Definition(
        "Rprop",
        single("rprop"),
        (*_OPTIONS, MAXIMIZE),
        summary="Steps by the sign of the gradient; each element has its own step size.",
        equation=r"""
s = \min(\max(s \cdot \eta, s_{min}), s_{max}), \quad p = p - s \cdot sign(g), \quad
\eta = \eta_+ \text{ where g keeps its sign, } \eta_- \text{ where it turns}
""",
        remarks="Where the sign changes, p does not move.",
        source="Riedmiller and Braun, 1993",
        example="""
>>> w = np.zeros(1, np.float32)
>>> opt = Rprop([w], lr=0.5)
>>> opt.step([np.array([4.0], np.float32)])
>>> w
array([-0.5], dtype=float32)
""",
    )
)

"""Adagrad (Duchi et al. 2011)."""

from __future__ import annotations

import numpy as np

from .definitions import Definition, define, single
from .options import MAXIMIZE, Option, epsilon, learning_rate, weight_decay
from .ranges import FINITE
from .registry import Rule, add_rule


def adagrad(p, g, sum, step_size, eps):
    """S = S + g^2 ; p = p - lr/(1+(t-1)*lr_decay) * g / (sqrt(S)+eps)."""
    sum = sum + g * g
    return p - step_size * np.divide(g, np.sqrt(sum) + eps), sum


def adagrad_coefficients(step, lr, lr_decay, eps):
    return np.divide(lr, 1.0 + (step - 1.0) * lr_decay), eps


_DECAY = Option("lr_decay", 0.0, "decay of lr with the step count t, at least 0", (FINITE,))
_START = Option("initial_accumulator_value", 0.0, "initial value of S, at least 0", (FINITE,))
_LR, _EPS = learning_rate(1e-2), epsilon(1e-10)

add_rule(
    Rule(
        "adagrad",
        adagrad,
        adagrad_coefficients,
        ("sum",),
        (_LR, _DECAY, _EPS),
        initial={"sum": "initial_accumulator_value"},
        nonnegative=("sum",),
    )
)

define(
    Definition(
        "Adagrad",
        single("adagrad"),
        (_LR, _DECAY, weight_decay(), _START, _EPS, MAXIMIZE),
        summary="Gradients divided by the root of the sum of all their squares.",
        equation=r"""
S = S + g^2, \quad
p = p - \frac{lr}{1 + (t-1) \, lr\_decay} \cdot \frac{g}{\sqrt{S} + \epsilon}
""",
        source="Duchi, Hazan and Singer, 2011",
        example="""
>>> w = np.zeros(1, np.float32)
>>> opt = Adagrad([w], lr=0.5, eps=0.0)
>>> opt.step([np.array([8.0], np.float32)])
>>> w
array([-0.5], dtype=float32)
""",
    )
)

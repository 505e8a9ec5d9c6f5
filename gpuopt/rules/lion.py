"""Lion (Chen et al. 2023)."""

from __future__ import annotations

import numpy as np

from .definitions import Definition, define, single
from .options import MAXIMIZE, betas, learning_rate, weight_decay
from .registry import Rule, add_rule


def lion(p, g, exp_avg, beta1, one_minus_beta1, beta2, one_minus_beta2, lr):
    """p = p - lr*sign(b1*m + (1-b1)*g) ; m = b2*m + (1-b2)*g. NaN has the sign NaN."""
    blend = beta1 * exp_avg + one_minus_beta1 * g
    sign = np.where(blend > 0.0, 1.0, np.where(blend < 0.0, -1.0, blend))
    return p - lr * sign, beta2 * exp_avg + one_minus_beta2 * g


def lion_coefficients(step, lr, beta1, beta2):
    return beta1, 1.0 - beta1, beta2, 1.0 - beta2, lr


_BETAS = betas(0.9, 0.99, description="weights of m in the update, and in its own average")
_OPTIONS = (learning_rate(1e-4), _BETAS)

add_rule(Rule("lion", lion, lion_coefficients, ("exp_avg",), _OPTIONS, decoupled=True))

define(
    Definition(
        "Lion",
        single("lion"),
        (*_OPTIONS, weight_decay(decoupled=True), MAXIMIZE),
        summary="The sign of an interpolated momentum, with decoupled decay.",
        equation=r"""
p = (1 - lr \lambda) p - lr \cdot sign(\beta_1 m + (1-\beta_1) g), \quad
m = \beta_2 m + (1-\beta_2) g
""",
        source='Chen et al., "Symbolic Discovery of Optimization Algorithms", 2023',
        example="""
>>> w = np.zeros(2, np.float32)
>>> opt = Lion([w], lr=0.5)
>>> opt.step([np.array([4.0, -0.25], np.float32)])
>>> w
array([-0.5,  0.5], dtype=float32)
""",
    )
)

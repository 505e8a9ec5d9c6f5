"""AdaMax: Adam with the infinity norm (Kingma and Ba 2015, section 7.1)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from .definitions import Definition, define, single
from .options import MAXIMIZE, betas, epsilon, learning_rate, weight_decay
from .powers import power
from .registry import Rule, add_rule


def adamax(p, g, exp_avg, exp_inf, beta1, one_minus_beta1, beta2, step_size, eps):
    """m = b1*m + (1-b1)*g ; u = max(b2*u, |g|+eps) ; p = p - lr/(1-b1^t) * m/u."""
    exp_avg = beta1 * exp_avg + one_minus_beta1 * g
    # + 0.0: the sign of max(-0.0, 0.0) depends on the processor.
    exp_inf = np.maximum(beta2 * exp_inf + 0.0, np.abs(g) + eps)
    return p - step_size * np.divide(exp_avg, exp_inf), exp_avg, exp_inf


def adamax_coefficients(step, lr, beta1, beta2, eps):
    return beta1, 1.0 - beta1, beta2, np.divide(lr, 1.0 - power(beta1, step)), eps


_BETAS = betas(description="decay rates of the average and of the infinity norm")
_EPS = replace(epsilon(), description="added to the absolute gradient, at least 0")
_OPTIONS = (learning_rate(2e-3), _BETAS, _EPS)

add_rule(
    Rule(
        "adamax",
        adamax,
        adamax_coefficients,
        ("exp_avg", "exp_inf"),
        _OPTIONS,
        nonnegative=("exp_inf",),
    )
)

define(
    Definition(
        "Adamax",
        single("adamax"),
        (*_OPTIONS, weight_decay(), MAXIMIZE),
        summary="Adam with the infinity norm in place of the 2-norm.",
        equation=r"""
m = \beta_1 m + (1-\beta_1) g, \quad u = \max(\beta_2 u, |g| + \epsilon), \quad
p = p - \frac{lr}{1-\beta_1^t} \cdot \frac{m}{u}
""",
        source="Kingma and Ba, 2015, section 7.1",
        example="""
>>> w = np.zeros(1, np.float32)
>>> opt = Adamax([w], lr=0.5, eps=0.0)
>>> opt.step([np.array([4.0], np.float32)])
>>> w
array([-0.5], dtype=float32)
""",
    )
)

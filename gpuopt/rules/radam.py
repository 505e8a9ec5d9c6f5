"""RAdam: Adam whose first steps do not divide by an unreliable v (Liu et al. 2020)."""

from __future__ import annotations

import numpy as np

from .definitions import Definition, define, either
from .options import DECOUPLED, MAXIMIZE, betas, epsilon, learning_rate, weight_decay
from .powers import power
from .registry import Rule, add_rule


def radam(
    p,
    g,
    exp_avg,
    exp_avg_sq,
    beta1,
    one_minus_beta1,
    beta2,
    one_minus_beta2,
    adaptive,
    step_size,
    eps,
):
    """Adam's m and v ; p = p - lr*r*m^ / (sqrt(v)+eps), or p = p - lr*m^ until v is reliable.

    Whether it is, and the rectification r with both bias corrections, are coefficients.
    """
    exp_avg = beta1 * exp_avg + one_minus_beta1 * g
    exp_avg_sq = beta2 * exp_avg_sq + one_minus_beta2 * (g * g)
    denominator = np.where(adaptive != 0.0, np.sqrt(exp_avg_sq) + eps, 1.0)
    return p - step_size * np.divide(exp_avg, denominator), exp_avg, exp_avg_sq


def radam_coefficients(step, lr, beta1, beta2, eps):
    """Return the coefficients; v is reliable if rho, the length of its average, is above 5."""
    power2 = power(beta2, step)
    correction2 = 1.0 - power2
    longest = np.divide(2.0, 1.0 - beta2) - 1.0
    rho = longest - np.divide(2.0 * step * power2, correction2)
    known = (rho - 4.0) * (rho - 2.0) * longest
    most = np.where(rho > 5.0, (longest - 4.0) * (longest - 2.0) * rho, 1.0)  # else 0, even
    rectification = np.sqrt(np.where(rho > 5.0, np.divide(known, most) * correction2, 1.0))
    step_size = np.divide(lr, 1.0 - power(beta1, step)) * rectification
    adaptive = np.where(rho > 5.0, 1.0, 0.0)
    return beta1, 1.0 - beta1, beta2, 1.0 - beta2, adaptive, step_size, eps


_OPTIONS = (learning_rate(1e-3), betas(), epsilon())
_STATES, _SQUARES = ("exp_avg", "exp_avg_sq"), ("exp_avg_sq",)

add_rule(Rule("radam", radam, radam_coefficients, _STATES, _OPTIONS, nonnegative=_SQUARES))
add_rule(
    Rule(
        "radamw", radam, radam_coefficients, _STATES, _OPTIONS, decoupled=True, nonnegative=_SQUARES
    )
)

define(
    Definition(
        "RAdam",
        either("radam", "radamw"),
        (*_OPTIONS, weight_decay(), DECOUPLED, MAXIMIZE),
        choices=("decoupled_weight_decay",),
        summary="Adam that divides by sqrt(v) only once enough steps make v reliable.",
        equation=r"""
m = \beta_1 m + (1-\beta_1) g, \quad v = \beta_2 v + (1-\beta_2) g^2, \quad
p = p - lr \cdot r_t \frac{m / (1-\beta_1^t)}{\sqrt{v / (1-\beta_2^t)} + \epsilon}
""",
        remarks=r"""
While the rectification r is not defined (the first 5 steps at the default betas),
:math:`p = p - lr \cdot m / (1-\beta_1^t)`.
""",
        source="Liu et al., 2020",
        example="""
>>> w = np.zeros(1, np.float32)
>>> opt = RAdam([w], lr=0.5)
>>> opt.step([np.array([4.0], np.float32)])
>>> w
array([-2.], dtype=float32)
""",
    )
)

"""Adan: Nesterov's momentum without a second gradient (Xie et al. 2022)."""

from __future__ import annotations

import numpy as np

from .definitions import Definition, define, either
from .options import MAXIMIZE, Option, betas, epsilon, learning_rate, weight_decay
from .powers import power
from .registry import Rule, Stage, add_rule
from .stages import decoupled_decay


def adan(
    p,
    g,
    exp_avg,
    exp_avg_sq,
    exp_avg_diff,
    neg_pre_grad,
    beta1,
    one_minus_beta1,
    beta2,
    one_minus_beta2,
    beta3,
    one_minus_beta3,
    has_difference,
    step_size,
    difference_size,
    inverse_root_correction3,
    eps,
):
    """m = b1*m + (1-b1)*g ; d = b2*d + (1-b2)*(g-g') ; n = b3*n + (1-b3)*(g+b2*(g-g'))^2.

    p = p - lr*(m^+b2*d^) / (sqrt(n^)+eps). g' is the last gradient, stored as -g'; in the first
    step the difference is 0. If n has overflowed, the step is zero, as in NAdam.
    """
    difference = np.where(has_difference != 0.0, g + neg_pre_grad, 0.0)
    exp_avg = beta1 * exp_avg + one_minus_beta1 * g
    exp_avg_diff = beta2 * exp_avg_diff + one_minus_beta2 * difference
    ahead = g + beta2 * difference
    exp_avg_sq = beta3 * exp_avg_sq + one_minus_beta3 * (ahead * ahead)
    denominator = np.sqrt(exp_avg_sq) * inverse_root_correction3 + eps
    sum_of_both = step_size * exp_avg + difference_size * exp_avg_diff
    step = np.divide(np.where(denominator - denominator == 0.0, sum_of_both, g), denominator)
    return p - step, exp_avg, exp_avg_sq, exp_avg_diff, -g


def adan_coefficients(step, lr, beta1, beta2, beta3, eps):
    return (
        beta1,
        1.0 - beta1,
        beta2,
        1.0 - beta2,
        beta3,
        1.0 - beta3,
        np.where(step > 1, 1.0, 0.0),
        np.divide(lr, 1.0 - power(beta1, step)),
        np.divide(lr * beta2, 1.0 - power(beta2, step)),
        np.divide(1.0, np.sqrt(1.0 - power(beta3, step))),
        eps,
    )


def proximal_decay_coefficients(lr, weight_decay):
    """p = p / (1 + lr*weight_decay), after the step."""
    return (np.divide(1.0, 1.0 + lr * weight_decay),)


PROXIMAL_DECAY = Stage(
    "proximal_decay", decoupled_decay, ("p",), proximal_decay_coefficients, behind=True
)

_BETAS = betas(
    0.98,
    0.92,
    0.99,
    description="decay rates of the averages of the gradient, of its difference, and of the square",
)
_OPTIONS = (learning_rate(1e-3), _BETAS, epsilon())
_STATES, _SQUARES = ("exp_avg", "exp_avg_sq", "exp_avg_diff", "neg_pre_grad"), ("exp_avg_sq",)

add_rule(
    Rule(
        "adan",
        adan,
        adan_coefficients,
        _STATES,
        _OPTIONS,
        decoupled=True,
        nonnegative=_SQUARES,
        decay=PROXIMAL_DECAY,
    )
)
add_rule(
    Rule(
        "adan_no_prox",
        adan,
        adan_coefficients,
        _STATES,
        _OPTIONS,
        decoupled=True,
        nonnegative=_SQUARES,
    )
)

_NO_PROX = Option("no_prox", False, "shrink p by lr*weight_decay before the step instead")

define(
    Definition(
        "Adan",
        either("adan", "adan_no_prox"),
        (*_OPTIONS, weight_decay(decoupled=True), _NO_PROX, MAXIMIZE),
        choices=("no_prox",),
        summary="Nesterov momentum from the difference of two gradients, divided as in Adam.",
        equation=r"""
m = \beta_1 m + (1-\beta_1) g, \quad d = \beta_2 d + (1-\beta_2) (g - g'), \quad
n = \beta_3 n + (1-\beta_3) (g + \beta_2 (g - g'))^2, \quad
p = \frac{1}{1 + lr \lambda} \left( p - lr \frac{m / (1-\beta_1^t) +
\beta_2 d / (1-\beta_2^t)}{\sqrt{n / (1-\beta_3^t)} + \epsilon} \right)
""",
        remarks=r"""
:math:`g'` is the gradient of the last step, kept negated as ``neg_pre_grad``; in the first step the
difference is 0. ``no_prox``: :math:`(1 - lr \lambda) p` before the step in place of the division.
Each tensor counts its own steps, while the authors' class counts those of the group.
""",
        source='Xie et al., "Adan: Adaptive Nesterov Momentum Algorithm", 2022',
        example="""
>>> w = np.zeros(1, np.float32)
>>> opt = Adan([w], lr=0.5, eps=0.0)
>>> opt.step([np.array([4.0], np.float32)])
>>> w
array([-0.5], dtype=float32)
""",
    )
)

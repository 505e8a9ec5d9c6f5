"""LaProp: Adam with the division before the momentum (Ziyin, Wang and Ueda 2020)."""

from __future__ import annotations

import numpy as np

from .definitions import Definition, define, single
from .options import MAXIMIZE, betas, epsilon, learning_rate, weight_decay
from .powers import power
from .registry import Rule, add_rule


def laprop(
    p,
    g,
    exp_avg,
    exp_avg_sq,
    beta1,
    beta2,
    one_minus_beta2,
    rate,
    step_size,
    inverse_root_correction2,
    eps,
):
    """v = b2*v + (1-b2)*g^2 ; m = b1*m + (1-b1)*lr*g / (sqrt(v^)+eps) ; p = p - m^."""
    exp_avg_sq = beta2 * exp_avg_sq + one_minus_beta2 * (g * g)
    denominator = np.sqrt(exp_avg_sq) * inverse_root_correction2 + eps
    exp_avg = beta1 * exp_avg + rate * np.divide(g, denominator)
    return p - step_size * exp_avg, exp_avg, exp_avg_sq


def laprop_coefficients(step, exp_avg_lr, lr, beta1, beta2, eps):
    """Return the coefficients and the average of lr: m^ is m*lr over it, and 0 if lr is 0."""
    rate = (1.0 - beta1) * lr
    exp_avg_lr = beta1 * exp_avg_lr + rate
    step_size = np.divide(lr, np.where(exp_avg_lr != 0.0, exp_avg_lr, 1.0))
    inverse_root_correction2 = np.divide(1.0, np.sqrt(1.0 - power(beta2, step)))
    return beta1, beta2, 1.0 - beta2, rate, step_size, inverse_root_correction2, eps, exp_avg_lr


_OPTIONS = (learning_rate(4e-4), betas(), epsilon(1e-15))

add_rule(
    Rule(
        "laprop",
        laprop,
        laprop_coefficients,
        ("exp_avg", "exp_avg_sq"),
        _OPTIONS,
        decoupled=True,
        carried={"exp_avg_lr": 0.0},
        nonnegative=("exp_avg_sq",),
    )
)

define(
    Definition(
        "LaProp",
        single("laprop"),
        (*_OPTIONS, weight_decay(decoupled=True), MAXIMIZE),
        summary="Adam that divides gradients before averaging them.",
        equation=r"""
v = \beta_2 v + (1-\beta_2) g^2, \quad
m = \beta_1 m + (1-\beta_1) lr \frac{g}{\sqrt{v / (1-\beta_2^t)} + \epsilon}, \quad
\eta = \beta_1 \eta + (1-\beta_1) lr, \quad p = (1 - lr \lambda) p - \frac{lr}{\eta} m
""",
        remarks=r"""
:math:`\eta`, which each tensor carries in float64 as ``exp_avg_lr``, is :math:`lr (1-\beta_1^t)`
as long as lr is constant. The authors' two files differ in the decay: ``laprop.py`` shrinks p by
weight_decay after the step, so a schedule has to scale both; ``transformer/laprop.py`` by
lr*weight_decay before it, like all optimizers here.
""",
        source='Ziyin, Wang and Ueda, "LaProp: Separating Momentum and Adaptivity in Adam", 2020',
        example="""
>>> w = np.zeros(1, np.float32)
>>> opt = LaProp([w], lr=0.5, eps=0.0)
>>> opt.step([np.array([4.0], np.float32)])
>>> w
array([-0.5], dtype=float32)
""",
    )
)

"""Cautious AdamW (Liang et al. 2024)."""

from __future__ import annotations

import numpy as np

from .definitions import Definition, define, single
from .options import MAXIMIZE, betas, epsilon, learning_rate, weight_decay
from .powers import power
from .registry import Rule, add_rule


def cautious_adamw(
    p,
    g,
    exp_avg,
    exp_avg_sq,
    beta1,
    one_minus_beta1,
    beta2,
    one_minus_beta2,
    step_size,
    inverse_root_correction2,
    eps,
):
    """AdamW where m and g have the same sign; elsewhere p only decays."""
    exp_avg = beta1 * exp_avg + one_minus_beta1 * g
    exp_avg_sq = beta2 * exp_avg_sq + one_minus_beta2 * (g * g)
    denominator = np.sqrt(exp_avg_sq) * inverse_root_correction2 + eps
    step = step_size * np.divide(exp_avg, denominator)
    return np.where(exp_avg * g > 0.0, p - step, p), exp_avg, exp_avg_sq


def agreeing(g, exp_avg, beta1, one_minus_beta1):
    """1 where m and g have the same sign, otherwise 0."""
    return (np.where((beta1 * exp_avg + one_minus_beta1 * g) * g > 0.0, 1.0, 0.0),)


def cautious_coefficients(step, size, agree, lr, beta1, beta2, eps):
    own_lr = np.divide(lr, np.maximum(np.divide(agree, size), 0.001))
    step_size = np.divide(own_lr, 1.0 - power(beta1, step))
    inverse_root_correction2 = np.divide(1.0, np.sqrt(1.0 - power(beta2, step)))
    return beta1, 1.0 - beta1, beta2, 1.0 - beta2, step_size, inverse_root_correction2, eps


_OPTIONS = (learning_rate(1e-3), betas(), epsilon())

add_rule(
    Rule(
        "cautious_adamw",
        cautious_adamw,
        cautious_coefficients,
        ("exp_avg", "exp_avg_sq"),
        _OPTIONS,
        decoupled=True,
        nonnegative=("exp_avg_sq",),
        facts=("size",),
        sums=("agree",),
        summed=agreeing,
    )
)

define(
    Definition(
        "CAdamW",
        single("cautious_adamw"),
        (*_OPTIONS, weight_decay(1e-2, decoupled=True), MAXIMIZE),
        summary="AdamW that moves a weight only where momentum and gradient agree.",
        equation=r"""
\phi = [m \cdot g > 0], \quad
p = (1 - lr \lambda) p - \frac{\phi}{\max(mean(\phi), 10^{-3})} \cdot lr
\frac{m / (1-\beta_1^t)}{\sqrt{v / (1-\beta_2^t)} + \epsilon}
""",
        remarks="m and v are Adam's at this step. The mean is over the tensor, as in timm; the "
        "authors' first version has numel/(sum + 1) in its place.",
        source='Liang et al., "Cautious Optimizers: Improving Training with One Line of Code", '
        "2024",
        example="""
>>> w = np.zeros(2, np.float32)
>>> opt = CAdamW([w], lr=0.5, eps=0.0)
>>> opt.step([np.array([4.0, 0.0], np.float32)])
>>> w
array([-1.,  0.], dtype=float32)
""",
    )
)

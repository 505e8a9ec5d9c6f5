"""StableAdamW (Wortsman et al. 2023)."""

from __future__ import annotations

import numpy as np

from .definitions import Definition, define, single
from .options import MAXIMIZE, betas, epsilon, learning_rate, weight_decay
from .powers import power
from .registry import Rule, add_rule


def stable_adamw(
    p,
    g,
    exp_avg,
    exp_avg_sq,
    beta1,
    one_minus_beta1,
    beta2,
    one_minus_beta2,
    eps,
    kept,
    step_size,
):
    """m = b1*m + (1-b1)*g ; v = b2*v + (1-b2)*g^2 ; p = (1-lr*wd)*p - lr*m/(sqrt(v)+eps)."""
    exp_avg = beta1 * exp_avg + one_minus_beta1 * g
    exp_avg_sq = beta2 * exp_avg_sq + one_minus_beta2 * (g * g)
    step = np.divide(exp_avg, np.sqrt(exp_avg_sq) + eps)
    return kept * p - step_size * step, exp_avg, exp_avg_sq


def relative_gradient(g, exp_avg_sq, beta2, one_minus_beta2, eps):
    """The gradient divided by the root of v."""
    root = np.sqrt(beta2 * exp_avg_sq + one_minus_beta2 * (g * g))
    return (np.divide(g, np.maximum(root, eps)),)


def stable_adamw_coefficients(step, size, of_g, lr, beta1, beta2, eps, weight_decay):
    power1, power2 = power(beta1, step), power(beta2, step)
    unbiased1 = np.divide(power1 - beta1, power1 - 1.0)
    unbiased2 = np.divide(power2 - beta2, power2 - 1.0)
    own_lr = np.divide(lr, np.maximum(1.0, np.sqrt(np.divide(of_g, size))))
    kept = 1.0 - own_lr * weight_decay
    return unbiased1, 1.0 - unbiased1, unbiased2, 1.0 - unbiased2, eps, kept, own_lr


_OPTIONS = (
    learning_rate(1e-3),
    betas(0.9, 0.99),
    epsilon(1e-6),
    weight_decay(1e-2, decoupled=True),
)

add_rule(
    Rule(
        "stable_adamw",
        stable_adamw,
        stable_adamw_coefficients,
        ("exp_avg", "exp_avg_sq"),
        _OPTIONS,
        nonnegative=("exp_avg_sq",),
        facts=("size",),
        sums=("of_g",),
        summed=relative_gradient,
    )
)

define(
    Definition(
        "StableAdamW",
        single("stable_adamw"),
        (*_OPTIONS, MAXIMIZE),
        summary="AdamW that reduces a tensor's learning rate when its gradients grow suddenly.",
        equation=r"""
lr_t = \frac{lr}{\max(1, \sqrt{mean(g^2 / \max(v, \epsilon^2))})}, \quad
p = (1 - lr_t \lambda) p - lr_t \frac{m}{\sqrt{v} + \epsilon}
""",
        remarks="m and v are averages with the decay rates (b^t - b)/(b^t - 1), which need no "
        "bias correction.",
        source='Wortsman et al., "Stable and low-precision training for large-scale '
        'vision-language models", 2023',
        example="""
>>> w = np.zeros(2, np.float32)
>>> opt = StableAdamW([w], lr=0.5, eps=0.0, weight_decay=0.0)
>>> opt.step([np.array([4.0, -0.25], np.float32)])
>>> w
array([-0.5,  0.5], dtype=float32)
""",
    )
)

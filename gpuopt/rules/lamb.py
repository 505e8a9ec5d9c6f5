"""LAMB (You et al. 2020)."""

from __future__ import annotations

import numpy as np

from .definitions import Definition, define, single
from .options import MAXIMIZE, betas, epsilon, learning_rate, weight_decay
from .powers import power
from .registry import Rule, add_rule


def lamb(
    p,
    g,
    exp_avg,
    exp_avg_sq,
    beta1,
    one_minus_beta1,
    beta2,
    one_minus_beta2,
    inverse_correction1,
    inverse_root_correction2,
    eps,
    weight_decay,
    step_size,
):
    """u = m^ / (sqrt(v^)+eps) + wd*p ; p = p - lr*norm(p)/norm(u)*u, with Adam's m^ and v^."""
    exp_avg = beta1 * exp_avg + one_minus_beta1 * g
    exp_avg_sq = beta2 * exp_avg_sq + one_minus_beta2 * (g * g)
    denominator = np.sqrt(exp_avg_sq) * inverse_root_correction2 + eps
    step = inverse_correction1 * np.divide(exp_avg, denominator)
    step = np.where(weight_decay != 0.0, step + weight_decay * p, step)
    return np.where(step_size != 0.0, p - step_size * step, p), exp_avg, exp_avg_sq


def norms(
    p,
    g,
    exp_avg,
    exp_avg_sq,
    beta1,
    one_minus_beta1,
    beta2,
    one_minus_beta2,
    inverse_correction1,
    inverse_root_correction2,
    eps,
    weight_decay,
):
    """The parameter and the update u."""
    exp_avg = beta1 * exp_avg + one_minus_beta1 * g
    exp_avg_sq = beta2 * exp_avg_sq + one_minus_beta2 * (g * g)
    denominator = np.sqrt(exp_avg_sq) * inverse_root_correction2 + eps
    step = inverse_correction1 * np.divide(exp_avg, denominator)
    return p, np.where(weight_decay != 0.0, step + weight_decay * p, step)


def lamb_coefficients(step, of_p, of_step, lr, beta1, beta2, eps, weight_decay):
    norm_p, norm_step = np.sqrt(of_p), np.sqrt(of_step)
    ratio = np.where(norm_p > 0.0, np.divide(norm_p, norm_step), 1.0)
    ratio = np.where(ratio < 1e30, ratio, 1.0)
    inverse_correction1 = np.divide(1.0, 1.0 - power(beta1, step))
    inverse_root_correction2 = np.divide(1.0, np.sqrt(1.0 - power(beta2, step)))
    return (
        beta1,
        1.0 - beta1,
        beta2,
        1.0 - beta2,
        inverse_correction1,
        inverse_root_correction2,
        eps,
        weight_decay,
        lr * ratio,
    )


_OPTIONS = (learning_rate(1e-3), betas(), epsilon(1e-6), weight_decay(1e-2, decoupled=True))

add_rule(
    Rule(
        "lamb",
        lamb,
        lamb_coefficients,
        ("exp_avg", "exp_avg_sq"),
        _OPTIONS,
        nonnegative=("exp_avg_sq",),
        sums=("of_p", "of_step"),
        summed=norms,
    )
)

define(
    Definition(
        "LAMB",
        single("lamb"),
        (*_OPTIONS, MAXIMIZE),
        summary="Adam with each tensor's step scaled by its norm over the update's norm.",
        equation=r"""
u = \frac{m / (1-\beta_1^t)}{\sqrt{v / (1-\beta_2^t)} + \epsilon} + \lambda p, \quad
p = p - lr \frac{\lVert p \rVert}{\lVert u \rVert} u
""",
        remarks="m and v are Adam's. If a norm is 0 or infinite, the quotient is 1. The paper's "
        "algorithm does not clip; for apex's ``max_grad_norm=1.0``, which is its default, pass "
        "``clip_norm=1.0``. As in the paper, the quotient scales tensors without decay, too, which "
        "apex does only with ``use_nvlamb``.",
        source='You et al., "Large Batch Optimization for Deep Learning", 2020',
        example="""
>>> w = np.full(4, 2.0, np.float32)
>>> opt = LAMB([w], lr=0.25, eps=0.0, weight_decay=0.0)
>>> opt.step([np.full(4, 8.0, np.float32)])
>>> w
array([1.5, 1.5, 1.5, 1.5], dtype=float32)
""",
    )
)

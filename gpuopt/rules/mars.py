"""MARS-AdamW (Yuan et al. 2024)."""

from __future__ import annotations

import numpy as np

from .definitions import Definition, define, single
from .options import MAXIMIZE, Option, betas, epsilon, learning_rate, weight_decay
from .powers import power
from .ranges import BELOW_ONE, FINITE
from .registry import Rule, add_rule


def mars(
    p,
    g,
    exp_avg,
    exp_avg_sq,
    last_grad,
    correction,
    inverse_norm,
    beta1,
    one_minus_beta1,
    beta2,
    one_minus_beta2,
    inverse_root_correction2,
    eps,
    kept,
    step_size,
):
    """c = g + k*(g - g_last), at most of norm 1; then as AdamW, with c in place of g.

    If the norm is infinite, c is 0.
    """
    corrected = np.where(correction != 0.0, g + correction * (g - last_grad), g)
    corrected = np.where(inverse_norm > 0.0, inverse_norm * corrected, 0.0)
    exp_avg = beta1 * exp_avg + one_minus_beta1 * corrected
    exp_avg_sq = beta2 * exp_avg_sq + one_minus_beta2 * (corrected * corrected)
    denominator = np.sqrt(exp_avg_sq) * inverse_root_correction2 + eps
    return kept * p - step_size * np.divide(exp_avg, denominator), exp_avg, exp_avg_sq, g


def corrected_gradient(g, last_grad, correction):
    """The corrected gradient c, before it is clipped."""
    return (np.where(correction != 0.0, g + correction * (g - last_grad), g),)


def mars_coefficients(
    step,
    ndim,
    of_c,
    lr,
    beta1,
    beta2,
    eps,
    weight_decay,
    gamma,
    optimize_1d,
    lr_1d_factor,
    beta1_1d,
    beta2_1d,
    weight_decay_1d,
):
    corrects = np.where(ndim == 2.0, 1.0, optimize_1d)
    first = np.where(corrects != 0.0, beta1, beta1_1d)
    second = np.where(corrects != 0.0, beta2, beta2_1d)
    decay = np.where(corrects != 0.0, weight_decay, weight_decay_1d)
    own_lr = np.where(corrects != 0.0, lr, lr * lr_1d_factor)
    norm = np.where(corrects != 0.0, np.maximum(1.0, np.sqrt(of_c)), 1.0)
    correction = np.where(corrects != 0.0, gamma * np.divide(beta1, 1.0 - beta1), 0.0)
    return (
        correction,
        np.divide(1.0, norm),
        first,
        1.0 - first,
        second,
        1.0 - second,
        np.divide(1.0, np.sqrt(1.0 - power(second, step))),
        eps,
        1.0 - own_lr * decay,
        np.divide(own_lr, 1.0 - power(first, step)),
    )


_OPTIONS = (
    learning_rate(3e-3),
    betas(0.95, 0.99),
    epsilon(),
    weight_decay(decoupled=True),
    Option("gamma", 0.025, "weight of the gradient's change, at least 0", (FINITE,)),
    Option("optimize_1d", False, "correct the gradients of tensors that are not matrices, too"),
    Option(
        "lr_1d_factor", 1.0, "factor of the learning rate for other tensors, at least 0", (FINITE,)
    ),
    Option(
        "betas_1d",
        (0.9, 0.95),
        "decay rates for other tensors, each in [0, 1)",
        (BELOW_ONE, BELOW_ONE),
        ("beta1_1d", "beta2_1d"),
    ),
    Option("weight_decay_1d", 0.1, "decoupled decay for other tensors, at least 0", (FINITE,)),
)

add_rule(
    Rule(
        "mars",
        mars,
        mars_coefficients,
        ("exp_avg", "exp_avg_sq", "last_grad"),
        _OPTIONS,
        nonnegative=("exp_avg_sq",),
        facts=("ndim",),
        sums=("of_c",),
        summed=corrected_gradient,
    )
)

define(
    Definition(
        "MARS",
        single("mars"),
        (*_OPTIONS, MAXIMIZE),
        summary="AdamW with gradients corrected by their change since the last step.",
        equation=r"""
c = g + \gamma \frac{\beta_1}{1-\beta_1} (g - g_{t-1}), \quad
c = \frac{c}{\max(1, \lVert c \rVert)}, \quad \text{then as AdamW, with c in place of g}
""",
        remarks="Tensors that are not matrices get plain AdamW with their own options, unless "
        "``optimize_1d``. ``lr_1d_factor`` is the reference's lr_1d / lr. As in the authors' code, "
        "a matrix has two dimensions, and eps is added after the bias correction; in "
        "pytorch_optimizer tensors of more dimensions are matrices, too, and eps is added before.",
        source='Yuan et al., "MARS: Unleashing the Power of Variance Reduction for Training Large '
        'Models", 2024',
        example="""
>>> w = np.zeros((1, 2), np.float32)
>>> opt = MARS([w], lr=0.5, eps=0.0)
>>> opt.step([np.array([[4.0, -0.25]], np.float32)])
>>> w
array([[-0.5,  0.5]], dtype=float32)
""",
    )
)

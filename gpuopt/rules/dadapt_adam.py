"""D-Adaptation of Adam (Defazio and Mishchenko 2023)."""

from __future__ import annotations

from typing import Any

import numpy as np

from .definitions import Definition, define, either
from .options import MAXIMIZE, Option, betas, epsilon, learning_rate
from .powers import real_power
from .ranges import FINITE, NOT_NEGATIVE, POSITIVE
from .registry import Rule, add_rule


def dadapt_adam(
    p,
    g,
    exp_avg,
    exp_avg_sq,
    s,
    beta1,
    grad_weight,
    beta2,
    one_minus_beta2,
    root_beta2,
    s_weight,
    s_scale,
    eps,
    decay,
):
    """m = b1*m + (1-b1)*lr*d*g ; v = b2*v + (1-b2)*g^2 ; p = p - m/(sqrt(v)+eps)."""
    exp_avg = beta1 * exp_avg + grad_weight * g
    exp_avg_sq = beta2 * exp_avg_sq + one_minus_beta2 * (g * g)
    s = root_beta2 * s + s_weight * g
    decayed = np.where(decay != 0.0, p - decay * p, p)
    moved = decayed - np.divide(exp_avg, np.sqrt(exp_avg_sq) + eps)
    return np.where(s_scale > 0.0, moved, p), exp_avg, exp_avg_sq, s


def totalled(g, exp_avg_sq, s, root_beta2, s_weight, product_weight, s_scale, eps):
    """The weighted product of the gradient and the previous sum s, and the next abs(s)."""
    product = g * np.divide(s, np.sqrt(exp_avg_sq) + eps)
    product = np.where(s != 0.0, product_weight * product, 0.0)
    return product, s_scale * np.abs(root_beta2 * s + s_weight * g)


def advance(d, k, numerator_weighted, product, norm_s, beta2, growth_rate):
    """N = r*N + (1-r)*product ; d = max(d, N / ((1-r)*norm s)), at most growth_rate*d."""
    root = np.sqrt(beta2)
    numerator = root * numerator_weighted + (1.0 - root) * product
    estimate = np.divide(numerator, (1.0 - root) * norm_s)
    largest = d * growth_rate
    bounded = np.where(largest < estimate, largest, estimate)
    larger = np.where(bounded > d, bounded, d)
    return (
        np.where(norm_s != 0.0, larger, d),
        np.where(norm_s != 0.0, k + 1.0, k),
        np.where(norm_s != 0.0, numerator, numerator_weighted),
    )


def coefficients(step, d, k, lr, beta1, beta2, eps, use_bias_correction, layer_scale):
    return _coefficients(d, k, lr, beta1, beta2, eps, use_bias_correction, layer_scale, 0.0)


def decoupled_coefficients(
    step, d, k, lr, beta1, beta2, eps, use_bias_correction, layer_scale, weight_decay
):
    return _coefficients(
        d, k, lr, beta1, beta2, eps, use_bias_correction, layer_scale, weight_decay
    )


def _coefficients(d, k, lr, beta1, beta2, eps, use_bias_correction, layer_scale, weight_decay):
    correction = np.divide(
        np.sqrt(1.0 - real_power(beta2, k + 1.0)), 1.0 - real_power(beta1, k + 1.0)
    )
    rate = d * lr * np.where(use_bias_correction != 0.0, correction, 1.0)
    root = np.sqrt(beta2)
    return (
        np.where(lr > 0.0, beta1, 1.0),
        layer_scale * rate * (1.0 - beta1),
        np.where(lr > 0.0, beta2, 1.0),
        np.where(lr > 0.0, 1.0 - beta2, 0.0),
        np.where(lr > 0.0, root, 1.0),
        rate * (1.0 - root),
        np.where(lr > 0.0, layer_scale, 0.0),
        eps,
        weight_decay * rate,
        layer_scale * rate,
    )


_OPTIONS = (
    learning_rate(1.0),
    betas(),
    epsilon(),
    Option("use_bias_correction", False, "correct the bias of both averages, as Adam does"),
    Option("d0", 1e-6, "the first estimate d, above 0", (POSITIVE,)),
    Option("growth_rate", np.inf, "the largest factor of d per step, at least 0", (NOT_NEGATIVE,)),
    Option("layer_scale", 1.0, "factor of a group's learning rate, above 0", (POSITIVE,)),
)
_DECAY = Option("weight_decay", 0.0, "weight decay, see ``decouple``; at least 0", (FINITE,))
_DECOUPLE = Option(
    "decouple", False, "shrink p by lr*d*weight_decay instead of adding an L2 penalty"
)
_SHARED: dict[str, Any] = {
    "wide": ("s",),
    "not_in_float16": ("exp_avg",),  # it is scaled by d
    "nonnegative": ("exp_avg_sq",),
    "shared": {"d": "d0", "k": 0.0, "numerator_weighted": 0.0},
    "totals": ("product", "norm_s"),
    "totalled": totalled,
    "advance": advance,
}
_STATES = ("exp_avg", "exp_avg_sq", "s")

add_rule(Rule("dadapt_adam", dadapt_adam, coefficients, _STATES, _OPTIONS, **_SHARED))
add_rule(
    Rule(
        "dadapt_adamw",
        dadapt_adam,
        decoupled_coefficients,
        _STATES,
        (*_OPTIONS, _DECAY),
        **_SHARED,
    )
)

define(
    Definition(
        "DAdaptAdam",
        either("dadapt_adam", "dadapt_adamw"),
        (*_OPTIONS[:3], _DECAY, _DECOUPLE, *_OPTIONS[3:], MAXIMIZE),
        choices=("decouple",),
        keyword_only=(
            "decouple",
            "use_bias_correction",
            "d0",
            "growth_rate",
            "layer_scale",
            "maximize",
        ),
        summary="Adam that estimates its learning rate: d, the distance to the solution.",
        equation=r"""
m = \beta_1 m + (1-\beta_1) \, lr \, d \, g, \quad v = \beta_2 v + (1-\beta_2) g^2, \quad
p = p - \frac{m}{\sqrt{v} + \epsilon}
""",
        remarks="""
            ``d`` grows from step to step, using sums over all arrays that the update computes in
            the same pass: N = rN + (1-r) lr d g s / (sqrt(v) + eps), d = max(d, N / ((1-r)
            norm(s))), with the sum s = rs + (1-r) lr d g before this gradient in N and after it in
            the 1-norm, and r the root of beta2. It is an attribute of the optimizer.

            Groups share ``d``, and their ``lr`` must be the same, or 0, which freezes a group.
            beta2 and ``growth_rate`` of the first group apply to d. Unlike the authors' code, this
            one decays weights even before the first gradient other than 0.
        """,
        source='Defazio and Mishchenko, "Learning-Rate-Free Learning by D-Adaptation", 2023',
        example="""
>>> w = np.zeros(2, np.float32)
>>> opt = DAdaptAdam([w], d0=0.5, betas=(0.0, 0.0))
>>> for _ in range(2):
...     opt.step([np.array([4.0, -0.25], np.float32)])
>>> w, opt.d
(array([-1.,  1.], dtype=float32), 0.5)
""",
    )
)

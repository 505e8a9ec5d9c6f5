"""Prodigy (Mishchenko and Defazio 2023)."""

from __future__ import annotations

from typing import Any

import numpy as np

from .definitions import Definition, define
from .options import MAXIMIZE, Option, betas, epsilon, learning_rate
from .powers import real_power
from .ranges import BELOW_ONE, FINITE, NOT_NEGATIVE, POSITIVE, OrNone
from .registry import Rule, add_rule


def prodigy(
    p,
    g,
    exp_avg,
    exp_avg_sq,
    s,
    beta1,
    grad_weight,
    beta2,
    square_weight,
    beta3,
    s_weight,
    eps,
    decay,
    step_size,
):
    """m = b1*m + (1-b1)*d*g ; v = b2*v + (1-b2)*(d*g)^2 ; p = p - lr*d*m/(sqrt(v)+d*eps)."""
    exp_avg = beta1 * exp_avg + grad_weight * g
    exp_avg_sq = beta2 * exp_avg_sq + square_weight * (g * g)
    s = beta3 * s + s_weight * g
    decayed = np.where(decay != 0.0, p - decay * p, p)
    moved = decayed - step_size * np.divide(exp_avg, np.sqrt(exp_avg_sq) + eps)
    return np.where(step_size > 0.0, moved, p), exp_avg, exp_avg_sq, s


def totalled(p, g, s, p0, beta3, s_weight, product_weight):
    """The weighted product of the gradient and p0 - p, and the next abs(s)."""
    size = np.where(product_weight > 0.0, np.abs(beta3 * s + s_weight * g), 0.0)
    return product_weight * (g * (p0 - p)), size


def advance(d, d_max, d_numerator, k, product, norm_s, beta2, beta3, d0, d_coef, growth_rate):
    """N = b3*N + product ; d = max(d, d_coef*N / norm s), at most growth_rate*d."""
    numerator = np.where(beta3 < 0.0, np.sqrt(beta2), beta3) * d_numerator + product
    estimate = np.divide(d_coef * numerator, norm_s)
    start = np.where(d == d0, np.where(estimate > d, estimate, d), d)
    largest = np.where(estimate > d_max, estimate, d_max)
    grown = start * growth_rate
    return (
        np.where(norm_s != 0.0, np.where(grown < largest, grown, largest), d),
        np.where(norm_s != 0.0, largest, d_max),
        np.where(norm_s != 0.0, numerator, d_numerator),
        np.where(norm_s != 0.0, k + 1.0, k),
    )


def coefficients(
    step,
    d,
    k,
    next_d,
    next_k,
    lr,
    beta1,
    beta2,
    beta3,
    eps,
    use_bias_correction,
    safeguard_warmup,
    d0,
):
    flags = use_bias_correction, safeguard_warmup
    return _coefficients(d, k, next_d, next_k, lr, beta1, beta2, beta3, eps, *flags, d0, 0.0)


def decoupled_coefficients(
    step,
    d,
    k,
    next_d,
    next_k,
    lr,
    beta1,
    beta2,
    beta3,
    eps,
    use_bias_correction,
    safeguard_warmup,
    d0,
    weight_decay,
):
    flags = use_bias_correction, safeguard_warmup
    return _coefficients(
        d, k, next_d, next_k, lr, beta1, beta2, beta3, eps, *flags, d0, weight_decay
    )


def one_pass_coefficients(
    step, d, k, lr, beta1, beta2, beta3, eps, use_bias_correction, safeguard_warmup, d0
):
    flags = use_bias_correction, safeguard_warmup
    return _coefficients(d, k, d, k + 1.0, lr, beta1, beta2, beta3, eps, *flags, d0, 0.0)


def decoupled_one_pass_coefficients(
    step,
    d,
    k,
    lr,
    beta1,
    beta2,
    beta3,
    eps,
    use_bias_correction,
    safeguard_warmup,
    d0,
    weight_decay,
):
    flags = use_bias_correction, safeguard_warmup
    return _coefficients(d, k, d, k + 1.0, lr, beta1, beta2, beta3, eps, *flags, d0, weight_decay)


def _coefficients(
    d,
    k,
    next_d,
    next_k,
    lr,
    beta1,
    beta2,
    beta3,
    eps,
    use_bias_correction,
    safeguard_warmup,
    d0,
    weight_decay,
):
    correction = np.divide(
        np.sqrt(1.0 - real_power(beta2, k + 1.0)), 1.0 - real_power(beta1, k + 1.0)
    )
    rate = d * lr * np.where(use_bias_correction != 0.0, correction, 1.0)
    later = np.where(beta1 > 0.0, 1.0, np.divide(next_d, d))  # as the reference does
    relative = np.divide(d, d0)
    decay_of_s = np.where(beta3 < 0.0, np.sqrt(beta2), beta3)
    weight_of_s = relative * np.where(safeguard_warmup != 0.0, d, rate)
    return (
        np.where(lr > 0.0, beta1, 1.0),
        np.where(lr > 0.0, d * (1.0 - beta1), 0.0),
        np.where(lr > 0.0, beta2, 1.0),
        np.where(lr > 0.0, d * d * (1.0 - beta2), 0.0),
        np.where(lr > 0.0, decay_of_s, 1.0),
        np.where(lr > 0.0, weight_of_s, 0.0),
        next_d * eps,
        weight_decay * rate,
        np.where(next_k > k, rate * later, 0.0),
        relative * rate,
    )


_OPTIONS = (
    learning_rate(1.0),
    betas(),
    Option(
        "beta3",
        None,
        "decay rate of the sums for estimating d, in [0, 1); None: the root of beta2",
        (OrNone(BELOW_ONE),),
    ),
    epsilon(),
    Option("use_bias_correction", False, "correct the bias of both averages, as Adam does"),
    Option("safeguard_warmup", False, "leave lr out of the denominator of d while lr warms up"),
    Option("d0", 1e-6, "the first estimate d, above 0", (POSITIVE,)),
    Option("d_coef", 1.0, "factor of d's estimates, above 0", (POSITIVE,)),
    Option("growth_rate", np.inf, "the largest factor of d per step, at least 0", (NOT_NEGATIVE,)),
)
_DECAY = Option("weight_decay", 0.0, "weight decay, see ``decouple``; at least 0", (FINITE,))
_DECOUPLE = Option(
    "decouple", True, "shrink p by lr*d*weight_decay instead of adding an L2 penalty"
)
_ONE_PASS = Option(
    "one_pass",
    False,
    "read everything once: eps is multiplied by the last step's d, not by this one's",
)
_STATES = ("exp_avg", "exp_avg_sq", "s", "p0")
_SHARED: dict[str, Any] = {
    "wide": ("s", "p0"),
    "not_in_float16": ("exp_avg", "exp_avg_sq"),  # they are scaled by d and its square
    "nonnegative": ("exp_avg_sq",),
    "copies": ("p0",),
    "constant": ("p0",),
    "shared": {"d": "d0", "d_max": "d0", "d_numerator": 0.0, "k": 0.0},
    "totals": ("product", "norm_s"),
    "totalled": totalled,
    "advance": advance,
}
_DECAYS: dict[str, Any] = {"options": (*_OPTIONS, _DECAY), **_SHARED}
_L2: dict[str, Any] = {"options": _OPTIONS, **_SHARED}
_FIRST: dict[str, Any] = {"totals_first": True}

add_rule(Rule("prodigy", prodigy, decoupled_coefficients, _STATES, **_DECAYS, **_FIRST))
add_rule(Rule("prodigy_l2", prodigy, coefficients, _STATES, **_L2, **_FIRST))
add_rule(Rule("prodigy_one_pass", prodigy, decoupled_one_pass_coefficients, _STATES, **_DECAYS))
add_rule(Rule("prodigy_l2_one_pass", prodigy, one_pass_coefficients, _STATES, **_L2))

define(
    Definition(
        "Prodigy",
        {
            (True, False): "prodigy",
            (False, False): "prodigy_l2",
            (True, True): "prodigy_one_pass",
            (False, True): "prodigy_l2_one_pass",
        },
        (*_OPTIONS[:4], _DECAY, _DECOUPLE, *_OPTIONS[4:], _ONE_PASS, MAXIMIZE),
        choices=("decouple", "one_pass"),
        keyword_only=("one_pass", "maximize"),
        summary="Adam that estimates its learning rate: d, the distance to the solution.",
        equation=r"""
m = \beta_1 m + (1-\beta_1) d g, \quad v = \beta_2 v + (1-\beta_2) d^2 g^2, \quad
p = p - lr \frac{d \, m}{\sqrt{v} + d \epsilon}
""",
        remarks="""
            ``d`` grows from step to step, using sums over all arrays: N = beta3 N + d/d0 lr d g
            (p0 - p), s = beta3 s + d/d0 lr d g, d = max(d, d_coef N / norm(s)), with the
            parameter p0 at its first step and the 1-norm. It is an attribute of the optimizer.

            eps is multiplied by this step's d, so the sums come first: p, g, s and p0 are read
            twice. With ``one_pass`` it is multiplied by the last step's d, which needs no extra
            pass; this only makes a difference where v is as small as eps^2.

            Groups share ``d``, and their ``lr`` must be the same, or 0, which freezes a group. The
            first group's beta2, beta3, ``d0``, ``d_coef`` and ``growth_rate`` apply to d. The
            reference's ``slice_p`` is not supported.
        """,
        source='Mishchenko and Defazio, "Prodigy: An Expeditiously Adaptive Parameter-Free '
        'Learner", 2023',
        example="""
>>> w = np.ones(2, np.float32)
>>> opt = Prodigy([w], d0=0.5, betas=(0.0, 0.0), eps=0.0)
>>> for _ in range(3):
...     opt.step([np.array([4.0, 0.25], np.float32)])
>>> w, opt.d
(array([-1., -1.], dtype=float32), 1.0)
""",
    )
)

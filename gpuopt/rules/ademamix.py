"""AdEMAMix: Adam with a second, much slower average of the gradient (Pagliardini et al. 2024)."""

from __future__ import annotations

import numpy as np

from .definitions import Definition, define, single
from .options import MAXIMIZE, Option, betas, epsilon, learning_rate, weight_decay
from .powers import power, real_power
from .ranges import FINITE
from .registry import Rule, add_rule


def ademamix(
    p,
    g,
    exp_avg_fast,
    exp_avg_slow,
    exp_avg_sq,
    beta1,
    one_minus_beta1,
    beta2,
    one_minus_beta2,
    beta3,
    one_minus_beta3,
    fast_size,
    slow_size,
    inverse_root_correction2,
    eps,
):
    """f = b1*f + (1-b1)*g ; s = b3*s + (1-b3)*g ; Adam's v ; p = p - u.

    u = lr*(f^+alpha*s) / (sqrt(v^)+eps) with f^ and v^ as in Adam. If v has overflowed, the step is
    zero, even if the sum has overflowed, too (inf/inf would be NaN).
    """
    exp_avg_fast = beta1 * exp_avg_fast + one_minus_beta1 * g
    exp_avg_slow = beta3 * exp_avg_slow + one_minus_beta3 * g
    exp_avg_sq = beta2 * exp_avg_sq + one_minus_beta2 * (g * g)
    denominator = np.sqrt(exp_avg_sq) * inverse_root_correction2 + eps
    mixed = fast_size * exp_avg_fast + slow_size * exp_avg_slow
    step = np.divide(np.where(denominator - denominator == 0.0, mixed, g), denominator)
    return p - step, exp_avg_fast, exp_avg_slow, exp_avg_sq


def ademamix_coefficients(step, lr, beta1, beta2, beta3, eps, alpha, beta3_warmup, alpha_warmup):
    """Return the coefficients; while beta3 warms up, the half-life of s grows linearly from f's.

    With a the completed fraction of the warm-up, log(b3_t) is 1/((1-a)/log(b1) + a/log(b3)), and
    1e-8 is added to both betas, as in the authors' code.
    """
    done = np.divide(step, np.maximum(beta3_warmup, 1.0))
    first, last = beta1 + 1e-8, beta3 + 1e-8
    share = np.divide(_logarithm(first), _logarithm(last))
    warming = real_power(first, np.divide(1.0, 1.0 - done + done * share))
    beta3 = np.where(step < beta3_warmup, warming, beta3)
    mixed = np.divide(step, np.maximum(alpha_warmup, 1.0)) * alpha
    alpha = np.where(step < alpha_warmup, mixed, alpha)
    return (
        beta1,
        1.0 - beta1,
        beta2,
        1.0 - beta2,
        beta3,
        1.0 - beta3,
        np.divide(lr, 1.0 - power(beta1, step)),
        lr * alpha,
        np.divide(1.0, np.sqrt(1.0 - power(beta2, step))),
        eps,
    )


def _logarithm(x):
    """Return log(x) for x in [1e-8, 1], to 14 digits, by correctly rounded operations.

    It is 2*atanh(z) with z = (x-1)/(x+1): a series in z*z, which is at most 1/9 for x >= 1/2.
    For smaller x, it is 32 times the logarithm of the root x**(1/32).
    """
    root = np.sqrt(np.sqrt(np.sqrt(np.sqrt(np.sqrt(x)))))
    near = np.where(x < 0.5, root, x)
    z = np.divide(near - 1.0, near + 1.0)
    square = z * z
    total = 1.0 / 33.0 + square * (1.0 / 35.0)
    total = 1.0 / 31.0 + square * total
    total = 1.0 / 29.0 + square * total
    total = 1.0 / 27.0 + square * total
    total = 1.0 / 25.0 + square * total
    total = 1.0 / 23.0 + square * total
    total = 1.0 / 21.0 + square * total
    total = 1.0 / 19.0 + square * total
    total = 1.0 / 17.0 + square * total
    total = 1.0 / 15.0 + square * total
    total = 1.0 / 13.0 + square * total
    total = 1.0 / 11.0 + square * total
    total = 1.0 / 9.0 + square * total
    total = 1.0 / 7.0 + square * total
    total = 1.0 / 5.0 + square * total
    total = 1.0 / 3.0 + square * total
    return np.where(x < 0.5, 64.0, 2.0) * z * (1.0 + square * total)


_BETAS = betas(
    0.9,
    0.999,
    0.9999,
    description="decay rates of the fast average, of that of the square, and of the slow one",
)
_ALPHA = Option("alpha", 2.0, "weight of the slow average, at least 0", (FINITE,))
_WARMUP = "steps over which {} grows to its value from {}; 0 for no warm-up"
_BETA3_WARMUP = Option("beta3_warmup", 0.0, _WARMUP.format("beta3", "beta1"), (FINITE,))
_ALPHA_WARMUP = Option("alpha_warmup", 0.0, _WARMUP.format("alpha", "0"), (FINITE,))
_OPTIONS = (learning_rate(1e-3), _BETAS, _ALPHA, _BETA3_WARMUP, _ALPHA_WARMUP, epsilon())
_STATES = ("exp_avg_fast", "exp_avg_slow", "exp_avg_sq")

add_rule(
    Rule(
        "ademamix",
        ademamix,
        ademamix_coefficients,
        _STATES,
        _OPTIONS,
        decoupled=True,
        nonnegative=("exp_avg_sq",),
    )
)

define(
    Definition(
        "AdEMAMix",
        single("ademamix"),
        (*_OPTIONS, weight_decay(decoupled=True), MAXIMIZE),
        summary="AdamW with a second, much slower average of the gradient in its step.",
        equation=r"""
m_1 = \beta_1 m_1 + (1-\beta_1) g, \quad m_2 = \beta_3 m_2 + (1-\beta_3) g, \quad
v = \beta_2 v + (1-\beta_2) g^2, \quad
p = (1 - lr \lambda) p - lr \frac{m_1 / (1-\beta_1^t) + \alpha m_2}
{\sqrt{v / (1-\beta_2^t)} + \epsilon}
""",
        remarks=r"""
With ``alpha_warmup``, :math:`\alpha` grows linearly from 0; with ``beta3_warmup``, the half-life of
:math:`m_2` grows linearly from that of :math:`m_1`. In the paper both last for the whole training.
Names and defaults are those of the authors' class for PyTorch; alpha is 5 in their optax version.
""",
        source='Pagliardini, Ablin and Grangier, "The AdEMAMix Optimizer", 2024',
        example="""
>>> w = np.zeros(1, np.float32)
>>> opt = AdEMAMix([w], lr=0.5, alpha=0.0, eps=0.0)
>>> opt.step([np.array([4.0], np.float32)])
>>> w
array([-0.5], dtype=float32)
""",
    )
)

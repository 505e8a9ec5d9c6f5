"""ADOPT: Adam that converges with any beta2 (Taniguchi et al. 2024)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from .definitions import Definition, define, either
from .options import MAXIMIZE, Option, betas, epsilon, learning_rate, weight_decay
from .registry import Rule, Stage, add_rule
from .stages import decoupled_decay


def adopt(
    p, g, exp_avg, exp_avg_sq, beta1, one_minus_beta1, beta2, one_minus_beta2, bound, lr, eps
):
    """x = g / max(sqrt(v), eps), clipped ; m = b1*m + (1-b1)*x ; p = p - lr*m ; then v as Adam's.

    v is that of the last step, so it does not depend on g. The first step has none: its bound is 0,
    and v becomes g^2.
    """
    ratio = np.divide(g, np.maximum(np.sqrt(exp_avg_sq), eps))
    clipped = np.minimum(np.maximum(ratio, -1.0 * bound), bound)
    exp_avg = beta1 * exp_avg + one_minus_beta1 * np.where(bound > 0.0, clipped, 0.0)
    exp_avg_sq = beta2 * exp_avg_sq + one_minus_beta2 * (g * g)
    return p - lr * exp_avg, exp_avg, exp_avg_sq


def adopt_coefficients(step, lr, beta1, beta2, eps):
    """Return the coefficients; x is clipped to (t-1)^(1/4)."""
    beta2 = np.where(step > 1, beta2, 0.0)
    bound = np.sqrt(np.sqrt(step - 1.0))
    return beta1, 1.0 - beta1, beta2, 1.0 - beta2, bound, lr, eps


def later_decay_coefficients(step, lr, weight_decay):
    """p = (1 - lr*weight_decay) * p, except in the first step, which does not change p."""
    decays = np.where(step > 1, weight_decay, 0.0)
    return (np.where(decays != 0.0, 1.0 - lr * decays, 1.0),)


LATER_DECAY = Stage("later_decay", decoupled_decay, ("p",), later_decay_coefficients)

_EPS = replace(epsilon(1e-6), description="least denominator, at least 0")
_OPTIONS = (learning_rate(1e-3), betas(0.9, 0.9999), _EPS)
_STATES, _SQUARES = ("exp_avg", "exp_avg_sq"), ("exp_avg_sq",)

add_rule(Rule("adopt", adopt, adopt_coefficients, _STATES, _OPTIONS, nonnegative=_SQUARES))
add_rule(
    Rule(
        "adopt_decoupled",
        adopt,
        adopt_coefficients,
        _STATES,
        _OPTIONS,
        decoupled=True,
        nonnegative=_SQUARES,
        decay=LATER_DECAY,
    )
)

_DECOUPLE = Option(
    "decouple",
    False,
    "shrink p by lr*weight_decay instead of adding the decay to the gradient",
)

define(
    Definition(
        "ADOPT",
        either("adopt", "adopt_decoupled"),
        (*_OPTIONS, weight_decay(), _DECOUPLE, MAXIMIZE),
        choices=("decouple",),
        summary="Momentum of gradients divided by the last step's sqrt(v): works with any beta2.",
        equation=r"""
x = \min(\max(\frac{g}{\max(\sqrt{v}, \epsilon)}, -c_t), c_t), \quad
m = \beta_1 m + (1-\beta_1) x, \quad p = p - lr \cdot m, \quad v = \beta_2 v + (1-\beta_2) g^2
""",
        remarks=r"""
:math:`c_t = (t-1)^{1/4}`. The first step sets :math:`v = g^2` and does not change p, whatever the
decay. This follows the authors' code since their update of November 2024; packages that clip to
:math:`t^{1/4}`, or decay in the first step, differ from it.
""",
        source='Taniguchi et al., "ADOPT: Modified Adam Can Converge with Any Beta2", 2024',
        example="""
>>> w, g = np.zeros(1, np.float32), np.array([4.0], np.float32)
>>> opt = ADOPT([w], lr=0.5, betas=(0.0, 0.5))
>>> for _ in range(2):
...     opt.step([g])
>>> w
array([-0.5], dtype=float32)
""",
    )
)

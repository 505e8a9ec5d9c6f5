"""Adam (Kingma and Ba 2015), AMSGrad (Reddi et al. 2018), AdamW (Loshchilov and Hutter 2019)."""

from __future__ import annotations

import numpy as np

from .definitions import Definition, define, either
from .options import DECOUPLED, MAXIMIZE, Option, betas, epsilon, learning_rate, weight_decay
from .powers import power
from .registry import Rule, add_rule


def adam(
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
    """m = b1*m + (1-b1)*g ; v = b2*v + (1-b2)*g^2 ; p = p - lr*m^ / (sqrt(v^)+eps).

    m^ = m/(1-b1^t) and v^ = v/(1-b2^t): both corrections are coefficients, so each element costs
    one division and one square root.
    """
    exp_avg = beta1 * exp_avg + one_minus_beta1 * g
    exp_avg_sq = beta2 * exp_avg_sq + one_minus_beta2 * (g * g)
    denominator = np.sqrt(exp_avg_sq) * inverse_root_correction2 + eps
    return p - step_size * np.divide(exp_avg, denominator), exp_avg, exp_avg_sq


def amsgrad(
    p,
    g,
    exp_avg,
    exp_avg_sq,
    max_exp_avg_sq,
    beta1,
    one_minus_beta1,
    beta2,
    one_minus_beta2,
    step_size,
    inverse_root_correction2,
    eps,
):
    """Adam with the largest v so far in place of v."""
    exp_avg = beta1 * exp_avg + one_minus_beta1 * g
    exp_avg_sq = beta2 * exp_avg_sq + one_minus_beta2 * (g * g)
    max_exp_avg_sq = np.maximum(max_exp_avg_sq, exp_avg_sq)
    denominator = np.sqrt(max_exp_avg_sq) * inverse_root_correction2 + eps
    return p - step_size * np.divide(exp_avg, denominator), exp_avg, exp_avg_sq, max_exp_avg_sq


def adam_coefficients(step, lr, beta1, beta2, eps):
    step_size = np.divide(lr, 1.0 - power(beta1, step))
    inverse_root_correction2 = np.divide(1.0, np.sqrt(1.0 - power(beta2, step)))
    return beta1, 1.0 - beta1, beta2, 1.0 - beta2, step_size, inverse_root_correction2, eps


_OPTIONS = (learning_rate(1e-3), betas(), epsilon())
_STATES = ("exp_avg", "exp_avg_sq")
_MAX_STATES = (*_STATES, "max_exp_avg_sq")
_WIDE = ("exp_avg_sq",)
_SQUARES = ("exp_avg_sq",)
_MAX_SQUARES = ("exp_avg_sq", "max_exp_avg_sq")

add_rule(Rule("adam", adam, adam_coefficients, _STATES, _OPTIONS, nonnegative=_SQUARES))
add_rule(
    Rule(
        "amsgrad",
        amsgrad,
        adam_coefficients,
        _MAX_STATES,
        _OPTIONS,
        wide=_WIDE,
        nonnegative=_MAX_SQUARES,
    )
)
add_rule(
    Rule("adamw", adam, adam_coefficients, _STATES, _OPTIONS, decoupled=True, nonnegative=_SQUARES)
)
add_rule(
    Rule(
        "adamw_amsgrad",
        amsgrad,
        adam_coefficients,
        _MAX_STATES,
        _OPTIONS,
        decoupled=True,
        wide=_WIDE,
        nonnegative=_MAX_SQUARES,
    )
)

_AMSGRAD = Option("amsgrad", False, "divide by the largest v so far, which never shrinks")
_EQUATION = r"""
m = \beta_1 m + (1-\beta_1) g, \quad v = \beta_2 v + (1-\beta_2) g^2, \quad
p = p - lr \frac{m / (1-\beta_1^t)}{\sqrt{v / (1-\beta_2^t)} + \epsilon}
"""

define(
    Definition(
        "Adam",
        {
            (False, False): "adam",
            (False, True): "adamw",
            (True, False): "amsgrad",
            (True, True): "adamw_amsgrad",
        },
        (*_OPTIONS, weight_decay(), _AMSGRAD, MAXIMIZE, DECOUPLED),
        choices=("amsgrad", "decoupled_weight_decay"),
        keyword_only=("maximize", "decoupled_weight_decay"),
        summary="Momentum divided by RMSProp's denominator, both with bias correction.",
        equation=_EQUATION,
        remarks="``amsgrad``: uses the largest v so far in place of v.",
        source="Kingma and Ba, 2015; amsgrad: Reddi, Kale and Kumar, 2018",
        example="""
>>> w = np.zeros(2, np.float32)
>>> opt = Adam([w], lr=0.5, eps=0.0)
>>> opt.step([np.array([4.0, -0.25], np.float32)])
>>> w
array([-0.5,  0.5], dtype=float32)
""",
    )
)

define(
    Definition(
        "AdamW",
        either("adamw", "adamw_amsgrad"),
        (*_OPTIONS, weight_decay(1e-2, decoupled=True), _AMSGRAD, MAXIMIZE),
        choices=("amsgrad",),
        summary="Adam with weight decay decoupled from the gradient.",
        equation=r"p = (1 - lr \cdot weight\_decay) \, p, \quad \text{then as Adam}",
        source="Loshchilov and Hutter, 2019",
        example="""
>>> w = np.ones(1, np.float32)
>>> opt = AdamW([w], lr=0.5, weight_decay=0.5)
>>> opt.step([np.zeros(1, np.float32)])
>>> w
array([0.75], dtype=float32)
""",
    )
)

"""Adam (Kingma and Ba 2015), AMSGrad (Reddi et al. 2018), AdamW (Loshchilov and Hutter 2019)."""

from __future__ import annotations

import numpy as np

from .powers import power
from .registry import register


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

    m^ = m/(1-b1^t) and v^ = v/(1-b2^t): both corrections are coefficients, so that an
    element costs one division and one square root.
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


_ADAM = {"lr": 1e-3, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8}
_ADAM_STATES = ("exp_avg", "exp_avg_sq")
_AMSGRAD_STATES = (*_ADAM_STATES, "max_exp_avg_sq")

register("adam", adam, adam_coefficients, states=_ADAM_STATES, hyperparameters=_ADAM)
register(
    "amsgrad",
    amsgrad,
    adam_coefficients,
    states=_AMSGRAD_STATES,
    hyperparameters=_ADAM,
    wide=("exp_avg_sq",),
)
register(
    "adamw",
    adam,
    adam_coefficients,
    states=_ADAM_STATES,
    hyperparameters=_ADAM,
    decoupled=True,
)
register(
    "adamw_amsgrad",
    amsgrad,
    adam_coefficients,
    states=_AMSGRAD_STATES,
    hyperparameters=_ADAM,
    decoupled=True,
    wide=("exp_avg_sq",),
)

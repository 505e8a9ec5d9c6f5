"""AdaMax: Adam with the infinity norm (Kingma and Ba 2015, section 7.1)."""

from __future__ import annotations

import numpy as np

from .powers import power
from .registry import register


def adamax(p, g, exp_avg, exp_inf, beta1, one_minus_beta1, beta2, step_size, eps):
    """m = b1*m + (1-b1)*g ; u = max(b2*u, |g|+eps) ; p = p - lr/(1-b1^t) * m/u."""
    exp_avg = beta1 * exp_avg + one_minus_beta1 * g
    # + 0.0: which zero the maximum of -0.0 and 0.0 is depends on the processor.
    exp_inf = np.maximum(beta2 * exp_inf + 0.0, np.abs(g) + eps)
    return p - step_size * np.divide(exp_avg, exp_inf), exp_avg, exp_inf


def adamax_coefficients(step, lr, beta1, beta2, eps):
    return beta1, 1.0 - beta1, beta2, np.divide(lr, 1.0 - power(beta1, step)), eps


register(
    "adamax",
    adamax,
    adamax_coefficients,
    states=("exp_avg", "exp_inf"),
    hyperparameters={"lr": 2e-3, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8},
)

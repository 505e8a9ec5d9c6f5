"""RAdam: Adam whose first steps do not divide by what is known too badly (Liu et al. 2020)."""

from __future__ import annotations

import numpy as np

from .powers import power
from .registry import register


def radam(
    p,
    g,
    exp_avg,
    exp_avg_sq,
    beta1,
    one_minus_beta1,
    beta2,
    one_minus_beta2,
    adaptive,
    step_size,
    eps,
):
    """Adam's m and v ; p = p - lr*r*m^ / (sqrt(v)+eps), or p = p - lr*m^ until v is known.

    Whether it is, and the rectification r with both bias corrections, are coefficients.
    """
    exp_avg = beta1 * exp_avg + one_minus_beta1 * g
    exp_avg_sq = beta2 * exp_avg_sq + one_minus_beta2 * (g * g)
    denominator = np.where(adaptive != 0.0, np.sqrt(exp_avg_sq) + eps, 1.0)
    return p - step_size * np.divide(exp_avg, denominator), exp_avg, exp_avg_sq


def radam_coefficients(step, lr, beta1, beta2, eps):
    """Return them; v is known where the length rho of the mean it amounts to is above 5."""
    power2 = power(beta2, step)
    correction2 = 1.0 - power2
    longest = np.divide(2.0, 1.0 - beta2) - 1.0
    rho = longest - np.divide(2.0 * step * power2, correction2)
    known = (rho - 4.0) * (rho - 2.0) * longest
    most = np.where(rho > 5.0, (longest - 4.0) * (longest - 2.0) * rho, 1.0)  # else 0, even
    rectification = np.sqrt(np.where(rho > 5.0, np.divide(known, most) * correction2, 1.0))
    step_size = np.divide(lr, 1.0 - power(beta1, step)) * rectification
    adaptive = np.where(rho > 5.0, 1.0, 0.0)
    return beta1, 1.0 - beta1, beta2, 1.0 - beta2, adaptive, step_size, eps


_RADAM = {"lr": 1e-3, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8}
_RADAM_STATES = ("exp_avg", "exp_avg_sq")

register("radam", radam, radam_coefficients, states=_RADAM_STATES, hyperparameters=_RADAM)
register(
    "radamw",
    radam,
    radam_coefficients,
    states=_RADAM_STATES,
    hyperparameters=_RADAM,
    decoupled=True,
)

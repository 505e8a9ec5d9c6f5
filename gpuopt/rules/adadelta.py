"""Adadelta (Zeiler 2012)."""

from __future__ import annotations

import numpy as np

from .registry import register


def adadelta(p, g, square_avg, acc_delta, rho, one_minus_rho, lr, eps):
    """s = rho*s + (1-rho)*g^2 ; d = sqrt(a+eps)/sqrt(s+eps)*g ; a = rho*a + (1-rho)*d^2.

    Then p = p - lr*d. One root of the quotient would be cheaper, and wrong where the quotient
    leaves the range that its root is in.
    """
    square_avg = rho * square_avg + one_minus_rho * (g * g)
    delta = np.divide(np.sqrt(acc_delta + eps), np.sqrt(square_avg + eps)) * g
    acc_delta = rho * acc_delta + one_minus_rho * (delta * delta)
    return p - lr * delta, square_avg, acc_delta


def adadelta_coefficients(step, lr, rho, eps):
    return rho, 1.0 - rho, lr, eps


register(
    "adadelta",
    adadelta,
    adadelta_coefficients,
    states=("square_avg", "acc_delta"),
    hyperparameters={"lr": 1.0, "rho": 0.9, "eps": 1e-6},
    wide=("square_avg",),
)

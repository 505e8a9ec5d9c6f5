"""ASGD: descent whose average is kept beside it (Polyak and Juditsky 1992, Bottou 2010)."""

from __future__ import annotations

import numpy as np

from .powers import real_power
from .registry import register


def asgd(p, g, ax, kept, eta, mu):
    """p = (1 - lambd*eta)*p - eta*g ; ax = ax + mu*(p-ax), and p itself as long as mu is 1."""
    p = kept * p - eta * g
    return p, np.where(mu == 1.0, p, ax + (p - ax) * mu)


def asgd_coefficients(step, eta, mu, lr, lambd, alpha, t0):
    """Return them, and those of the next step: eta = lr/(1+lambd*lr*t)^alpha ; mu = 1/(t-t0)."""
    next_eta = np.divide(lr, real_power(1.0 + lambd * lr * step, alpha))
    next_mu = np.divide(1.0, np.maximum(step - t0, 1.0))
    return 1.0 - lambd * eta, eta, mu, next_eta, next_mu


register(
    "asgd",
    asgd,
    asgd_coefficients,
    states=("ax",),
    hyperparameters={"lr": 1e-2, "lambd": 1e-4, "alpha": 0.75, "t0": 1e6},
    carried={"eta": "lr", "mu": 1.0},
)

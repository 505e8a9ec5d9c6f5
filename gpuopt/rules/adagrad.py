"""Adagrad (Duchi et al. 2011)."""

from __future__ import annotations

import numpy as np

from .registry import register


def adagrad(p, g, sum, step_size, eps):
    """S = S + g^2 ; p = p - lr/(1+(t-1)*lr_decay) * g / (sqrt(S)+eps)."""
    sum = sum + g * g
    return p - step_size * np.divide(g, np.sqrt(sum) + eps), sum


def adagrad_coefficients(step, lr, lr_decay, eps):
    return np.divide(lr, 1.0 + (step - 1.0) * lr_decay), eps


register(
    "adagrad",
    adagrad,
    adagrad_coefficients,
    states=("sum",),
    hyperparameters={"lr": 1e-2, "lr_decay": 0.0, "eps": 1e-10},
    initial={"sum": "initial_accumulator_value"},
)

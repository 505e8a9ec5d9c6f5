"""SGD with torch's momentum: lr outside the velocity, so that it follows lr at once."""

from __future__ import annotations

import numpy as np

from .registry import register


def sgd_momentum(p, g, momentum_buffer, momentum, gradient_weight, lr):
    """v = momentum*v + (1-dampening)*g ; p = p - lr*v. The first gradient is not dampened."""
    momentum_buffer = momentum * momentum_buffer + gradient_weight * g
    return p - lr * momentum_buffer, momentum_buffer


def sgd_nesterov(p, g, momentum_buffer, momentum, gradient_weight, lr):
    """v = momentum*v + (1-dampening)*g ; p = p - lr*(g + momentum*v)."""
    momentum_buffer = momentum * momentum_buffer + gradient_weight * g
    return p - lr * (g + momentum * momentum_buffer), momentum_buffer


def sgd_coefficients(step, lr, momentum, dampening):
    return momentum, np.where(step == 1, 1.0, 1.0 - dampening), lr


_SGD = {"lr": 1e-3, "momentum": 0.9, "dampening": 0.0}
_SGD_STATES = ("momentum_buffer",)

register("sgd_momentum", sgd_momentum, sgd_coefficients, states=_SGD_STATES, hyperparameters=_SGD)
register("sgd_nesterov", sgd_nesterov, sgd_coefficients, states=_SGD_STATES, hyperparameters=_SGD)

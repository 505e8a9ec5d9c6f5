"""RMSProp (Tieleman and Hinton 2012; centered: Graves 2013)."""

from __future__ import annotations

import numpy as np

from .registry import register


def rmsprop(p, g, square_avg, beta, one_minus_beta, lr, eps):
    """s = beta*s + (1-beta)*g^2 ; p = p - lr*g / (sqrt(s)+eps)."""
    square_avg = beta * square_avg + one_minus_beta * (g * g)
    return p - lr * np.divide(g, np.sqrt(square_avg) + eps), square_avg


def rmsprop_centered(p, g, square_avg, grad_avg, beta, one_minus_beta, lr, eps):
    """RMSProp divided by the standard deviation: sqrt(s - a^2), a the average gradient.

    Under a constant gradient s - a^2 tends to zero, and rounding may take it below. Where s has
    overflowed the deviation is infinite, whatever a^2 is.
    """
    square_avg = beta * square_avg + one_minus_beta * (g * g)
    grad_avg = beta * grad_avg + one_minus_beta * g
    variance = np.maximum(square_avg - grad_avg * grad_avg, 0.0)
    variance = np.where(square_avg - square_avg == 0.0, variance, square_avg)  # inf - inf is NaN
    deviation = np.sqrt(variance)
    return p - lr * np.divide(g, deviation + eps), square_avg, grad_avg


def rmsprop_coefficients(step, lr, beta, eps):
    return beta, 1.0 - beta, lr, eps


def rmsprop_momentum(p, g, square_avg, momentum_buffer, beta, one_minus_beta, momentum, lr, eps):
    """b = momentum*b + g / (sqrt(s)+eps) ; p = p - lr*b."""
    square_avg = beta * square_avg + one_minus_beta * (g * g)
    momentum_buffer = momentum * momentum_buffer + np.divide(g, np.sqrt(square_avg) + eps)
    return p - lr * momentum_buffer, square_avg, momentum_buffer


def rmsprop_centered_momentum(
    p, g, square_avg, grad_avg, momentum_buffer, beta, one_minus_beta, momentum, lr, eps
):
    """Centered RMSProp with a momentum buffer behind it."""
    square_avg = beta * square_avg + one_minus_beta * (g * g)
    grad_avg = beta * grad_avg + one_minus_beta * g
    variance = np.maximum(square_avg - grad_avg * grad_avg, 0.0)
    variance = np.where(square_avg - square_avg == 0.0, variance, square_avg)  # inf - inf is NaN
    deviation = np.sqrt(variance)
    momentum_buffer = momentum * momentum_buffer + np.divide(g, deviation + eps)
    return p - lr * momentum_buffer, square_avg, grad_avg, momentum_buffer


def rmsprop_momentum_coefficients(step, lr, beta, eps, momentum):
    return beta, 1.0 - beta, momentum, lr, eps


register(
    "rmsprop",
    rmsprop,
    rmsprop_coefficients,
    states=("square_avg",),
    hyperparameters={"lr": 1e-2, "beta": 0.9, "eps": 1e-8},
)
register(
    "rmsprop_centered",
    rmsprop_centered,
    rmsprop_coefficients,
    states=("square_avg", "grad_avg"),
    hyperparameters={"lr": 1e-2, "beta": 0.9, "eps": 1e-8},
)
register(
    "rmsprop_momentum",
    rmsprop_momentum,
    rmsprop_momentum_coefficients,
    states=("square_avg", "momentum_buffer"),
    hyperparameters={"lr": 1e-2, "beta": 0.9, "eps": 1e-8, "momentum": 0.9},
)
register(
    "rmsprop_centered_momentum",
    rmsprop_centered_momentum,
    rmsprop_momentum_coefficients,
    states=("square_avg", "grad_avg", "momentum_buffer"),
    hyperparameters={"lr": 1e-2, "beta": 0.9, "eps": 1e-8, "momentum": 0.9},
)

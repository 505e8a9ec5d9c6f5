"""Gradient descent; batch, stochastic or mini-batch: what differs is the data behind g."""

from __future__ import annotations

from .registry import register


def gradient_descent(p, g, lr):
    """p = p - lr*g (batch, stochastic or mini-batch: what differs is the data behind g)."""
    return p - lr * g


def gradient_descent_coefficients(step, lr):
    return (lr,)


register(
    "gradient_descent",
    gradient_descent,
    gradient_descent_coefficients,
    hyperparameters={"lr": 1e-2},
)

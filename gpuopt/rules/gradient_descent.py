"""Gradient descent: batch, stochastic or mini-batch, depending on the data behind g."""

from __future__ import annotations

from .options import learning_rate
from .registry import Rule, add_rule


def gradient_descent(p, g, lr):
    """p = p - lr*g (batch, stochastic or mini-batch, depending on the data behind g)."""
    return p - lr * g


def gradient_descent_coefficients(step, lr):
    return (lr,)


add_rule(
    Rule(
        "gradient_descent",
        gradient_descent,
        gradient_descent_coefficients,
        options=(learning_rate(1e-2),),
    )
)

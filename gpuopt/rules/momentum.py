"""Momentum, with lr inside the velocity (Polyak 1964; Nesterov 1983, Sutskever et al. 2013)."""

from __future__ import annotations

from .registry import register


def momentum(p, g, momentum_buffer, beta, lr):
    """v = beta*v + lr*g ; p = p - v."""
    momentum_buffer = beta * momentum_buffer + lr * g
    return p - momentum_buffer, momentum_buffer


def nesterov(p, g, momentum_buffer, beta, lr):
    """v = beta*v + lr*g ; p = p - (beta*v + lr*g): the step is taken from where v leads."""
    momentum_buffer = beta * momentum_buffer + lr * g
    return p - (beta * momentum_buffer + lr * g), momentum_buffer


def momentum_coefficients(step, lr, beta):
    return beta, lr


_MOMENTUM = {"lr": 1e-2, "beta": 0.9}
_MOMENTUM_STATES = ("momentum_buffer",)

register(
    "momentum",
    momentum,
    momentum_coefficients,
    states=_MOMENTUM_STATES,
    hyperparameters=_MOMENTUM,
)
register(
    "nesterov",
    nesterov,
    momentum_coefficients,
    states=_MOMENTUM_STATES,
    hyperparameters=_MOMENTUM,
)

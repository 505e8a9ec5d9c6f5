"""RMSProp (Tieleman and Hinton 2012; centered: Graves 2013)."""

from __future__ import annotations

import numpy as np

from .definitions import Definition, define
from .options import MAXIMIZE, Option, epsilon, learning_rate, weight_decay
from .ranges import BELOW_ONE, FINITE, SMOOTHING
from .registry import Rule, add_rule


def rmsprop(p, g, square_avg, beta, one_minus_beta, lr, eps):
    """s = beta*s + (1-beta)*g^2 ; p = p - lr*g / (sqrt(s)+eps)."""
    square_avg = beta * square_avg + one_minus_beta * (g * g)
    return p - lr * np.divide(g, np.sqrt(square_avg) + eps), square_avg


def rmsprop_centered(p, g, square_avg, grad_avg, beta, one_minus_beta, lr, eps):
    """RMSProp divided by the standard deviation: sqrt(s - a^2), a the average gradient.

    Under a constant gradient s - a^2 tends to zero, and rounding may make it negative. If s has
    overflowed, the deviation is infinite, whatever a^2 is.

    Neither s nor a may be rounded to 16 or 8 bits: if the mean gradient is three times its
    deviation, their noise makes s - a^2 negative, and the step is divided by eps alone.
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
    """Centered RMSProp with a momentum buffer."""
    square_avg = beta * square_avg + one_minus_beta * (g * g)
    grad_avg = beta * grad_avg + one_minus_beta * g
    variance = np.maximum(square_avg - grad_avg * grad_avg, 0.0)
    variance = np.where(square_avg - square_avg == 0.0, variance, square_avg)  # inf - inf is NaN
    deviation = np.sqrt(variance)
    momentum_buffer = momentum * momentum_buffer + np.divide(g, deviation + eps)
    return p - lr * momentum_buffer, square_avg, grad_avg, momentum_buffer


def rmsprop_momentum_coefficients(step, lr, beta, eps, momentum):
    return beta, 1.0 - beta, momentum, lr, eps


_BETA = Option("beta", 0.9, "decay rate of the running means, in [0, 1)", (BELOW_ONE,))
_ALPHA = Option(
    "alpha", 0.99, "decay rate of the running means, in [0, 1]", (SMOOTHING,), parts=("beta",)
)
_MOMENTUM = "decay rate of the momentum buffer"
_BELOW_ONE = Option("momentum", 0.0, f"{_MOMENTUM}, in [0, 1)", (BELOW_ONE,))
_AT_LEAST_0 = Option("momentum", 0.0, f"{_MOMENTUM}, at least 0", (FINITE,))
_CENTERED = Option("centered", False, "divide by the standard deviation")
_OPTIONS = (learning_rate(1e-2), _BETA, epsilon())
_WITH_MOMENTUM = (*_OPTIONS, Option("momentum", 0.9, _MOMENTUM, (FINITE,)))

_SQUARES = ("square_avg",)
_SUBTRACTED = ("square_avg", "grad_avg")

add_rule(
    Rule("rmsprop", rmsprop, rmsprop_coefficients, ("square_avg",), _OPTIONS, nonnegative=_SQUARES)
)
add_rule(
    Rule(
        "rmsprop_centered",
        rmsprop_centered,
        rmsprop_coefficients,
        ("square_avg", "grad_avg"),
        _OPTIONS,
        wide=_SUBTRACTED,
        nonnegative=_SQUARES,
    )
)
add_rule(
    Rule(
        "rmsprop_momentum",
        rmsprop_momentum,
        rmsprop_momentum_coefficients,
        ("square_avg", "momentum_buffer"),
        _WITH_MOMENTUM,
        nonnegative=_SQUARES,
    )
)
add_rule(
    Rule(
        "rmsprop_centered_momentum",
        rmsprop_centered_momentum,
        rmsprop_momentum_coefficients,
        ("square_avg", "grad_avg", "momentum_buffer"),
        _WITH_MOMENTUM,
        wide=_SUBTRACTED,
        nonnegative=_SQUARES,
    )
)

_CHOICES = ("momentum", "centered")
_RULES: dict[tuple[bool, ...], str] = {
    (False, False): "rmsprop",
    (False, True): "rmsprop_centered",
    (True, False): "rmsprop_momentum",
    (True, True): "rmsprop_centered_momentum",
}
_SUMMARY = "Gradients divided by the root of their running mean square{}."
_REMARKS = r"""
``centered``: divided by the standard deviation :math:`\sqrt{s - a^2}` instead, where a is the
running mean of g; a variance that rounding makes negative counts as zero. ``momentum``:
:math:`b = momentum \cdot b + g / (...)`, :math:`p = p - lr \cdot b`.
"""
_SOURCE = "Tieleman and Hinton, 2012; centered: Graves, 2013"

define(
    Definition(
        "RMSProp",
        _RULES,
        (*_OPTIONS, weight_decay(), _BELOW_ONE, _CENTERED, MAXIMIZE),
        choices=_CHOICES,
        summary=_SUMMARY.format(""),
        equation=r"s = \beta s + (1-\beta) g^2, \quad p = p - lr \cdot g / (\sqrt{s} + \epsilon)",
        remarks=f"{_REMARKS}\n`RMSprop` is the same with torch.optim's names and defaults.\n",
        source=_SOURCE,
        example="""
>>> w = np.zeros(1, np.float32)
>>> opt = RMSProp([w], lr=1.0, beta=0.75, eps=0.0)
>>> opt.step([np.array([3.0], np.float32)])
>>> w
array([-2.], dtype=float32)
""",
    )
)

define(
    Definition(
        "RMSprop",
        _RULES,
        (learning_rate(1e-2), _ALPHA, epsilon(), weight_decay(), _AT_LEAST_0, _CENTERED, MAXIMIZE),
        choices=_CHOICES,
        summary=_SUMMARY.format(", as torch.optim has it"),
        equation=r"s = \alpha s + (1-\alpha) g^2, \quad p = p - lr \cdot g / (\sqrt{s} + \epsilon)",
        remarks=f"{_REMARKS}\n`RMSProp` is the same with beta for alpha, by default 0.9.\n",
        source=_SOURCE,
        example="""
>>> w = np.zeros(1, np.float32)
>>> opt = RMSprop([w], lr=1.0, alpha=0.75, eps=0.0)
>>> opt.step([np.array([3.0], np.float32)])
>>> w
array([-2.], dtype=float32)
""",
    )
)

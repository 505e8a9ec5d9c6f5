"""LARS (You, Gitman and Ginsburg 2017)."""

from __future__ import annotations

import numpy as np

from .definitions import Definition, define, either
from .options import MAXIMIZE, Option, learning_rate, weight_decay
from .ranges import FINITE
from .registry import Rule, add_rule


def lars(p, g, momentum_buffer, momentum, undampened, ratio, weight_decay, lr):
    """v = mu*v + r*(g + wd*p) ; p = p - lr*v."""
    decayed = np.where(weight_decay != 0.0, g + weight_decay * p, g)
    momentum_buffer = momentum * momentum_buffer + undampened * (ratio * decayed)
    return p - lr * momentum_buffer, momentum_buffer


def nesterov(p, g, momentum_buffer, momentum, undampened, ratio, weight_decay, lr):
    """v = mu*v + r*(g + wd*p) ; p = p - lr*(r*(g + wd*p) + mu*v)."""
    scaled = ratio * np.where(weight_decay != 0.0, g + weight_decay * p, g)
    momentum_buffer = momentum * momentum_buffer + undampened * scaled
    return p - lr * (scaled + momentum * momentum_buffer), momentum_buffer


def norms(p, g):
    """The parameter and the gradient."""
    return p, g


def lars_coefficients(
    step, ndim, of_p, of_g, lr, momentum, dampening, trust_coefficient, weight_decay
):
    norm_p, norm_g = np.sqrt(of_p), np.sqrt(of_g)
    denominator = norm_g + weight_decay * norm_p
    scales = np.where(ndim > 1.0, np.where(norm_p > 0.0, denominator, 0.0), 0.0)
    ratio = np.where(scales > 0.0, np.divide(trust_coefficient * norm_p, denominator), 1.0)
    decay = np.where(ndim > 1.0, weight_decay, 0.0)
    undampened = np.where(momentum != 0.0, 1.0 - dampening, 1.0)  # without a velocity, as in SGD
    return momentum, undampened, ratio, decay, lr


_OPTIONS = (
    learning_rate(1e-3),
    Option("momentum", 0.9, "decay rate of the velocity, at least 0", (FINITE,)),
    Option("dampening", 0.0, "the gradient is multiplied by 1 - dampening, at least 0", (FINITE,)),
    Option("trust_coefficient", 1e-3, "factor of the ratio of norms", (FINITE,)),
    weight_decay(),
)
_NESTEROV = Option("nesterov", False, "Nesterov's look-ahead step")

for _update in (lars, nesterov):
    add_rule(
        Rule(
            "lars_nesterov" if _update is nesterov else "lars",
            _update,
            lars_coefficients,
            ("momentum_buffer",),
            _OPTIONS,
            facts=("ndim",),
            sums=("of_p", "of_g"),
            summed=norms,
        )
    )

define(
    Definition(
        "LARS",
        either("lars", "lars_nesterov"),
        (*_OPTIONS, _NESTEROV, MAXIMIZE),
        choices=("nesterov",),
        summary="Momentum with each tensor's step scaled by its norm over the gradient's norm.",
        equation=r"""
r = \eta \frac{\lVert p \rVert}{\lVert g \rVert + \lambda \lVert p \rVert}, \quad
v = \mu v + r (g + \lambda p), \quad p = p - lr \cdot v
""",
        remarks="One-dimensional tensors have r = 1 and no decay. If a norm is 0, r = 1.",
        source='You, Gitman and Ginsburg, "Large Batch Training of Convolutional Networks", 2017',
        example="""
>>> w = np.ones((2, 2), np.float32)
>>> opt = LARS([w], lr=1.0, trust_coefficient=0.5)
>>> opt.step([np.full((2, 2), 8.0, np.float32)])
>>> w
array([[0.5, 0.5],
       [0.5, 0.5]], dtype=float32)
""",
    )
)

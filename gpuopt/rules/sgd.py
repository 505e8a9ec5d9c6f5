"""SGD with torch's momentum: lr is outside the velocity, so changes of lr apply at once."""

from __future__ import annotations

import numpy as np

from .definitions import Definition, Groups, define
from .options import MAXIMIZE, Option, learning_rate, weight_decay
from .ranges import ANY, FINITE
from .registry import Rule, add_rule


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


def _check(options: Groups) -> None:
    if options["nesterov"] and not (options["momentum"] and not options["dampening"]):
        raise ValueError("nesterov: expected momentum above 0 and dampening 0 beside it")


_MOMENTUM = Option("momentum", 0.0, "decay rate of the velocity, at least 0", (FINITE,), added=True)
_DAMPENING = Option(
    "dampening",
    0.0,
    "the gradient is multiplied by 1 - dampening; any number",
    (ANY,),
    added=True,
)
_NESTEROV = Option(
    "nesterov", False, "Nesterov's look-ahead step; needs momentum and no dampening", added=True
)
_OPTIONS = (learning_rate(1e-3), _MOMENTUM, _DAMPENING)
_STATES = ("momentum_buffer",)

add_rule(Rule("sgd_momentum", sgd_momentum, sgd_coefficients, _STATES, _OPTIONS))
add_rule(Rule("sgd_nesterov", sgd_nesterov, sgd_coefficients, _STATES, _OPTIONS))

define(
    Definition(
        "SGD",
        {
            (False, False): "gradient_descent",
            (False, True): "gradient_descent",
            (True, False): "sgd_momentum",
            (True, True): "sgd_nesterov",
        },
        (*_OPTIONS, weight_decay(), _NESTEROV, MAXIMIZE),
        choices=("momentum", "nesterov"),
        summary="Gradient descent with torch.optim's momentum: lr is outside the velocity.",
        equation=r"v = \mu v + (1-d) g, \quad p = p - lr \cdot v",
        remarks=r"""
``v = g`` at the first step, and where the momentum is 0. With ``nesterov``
:math:`p = p - lr (g + \mu v)`. `Momentum` has the learning rate inside the velocity; both give the
same parameters until lr changes.
""",
        source="Robbins and Monro, 1951; Sutskever et al., 2013",
        example="""
>>> w = np.array([1.0, 2.0], dtype=np.float32)
>>> opt = SGD([w], lr=0.5)
>>> opt.step([np.array([2.0, 2.0], dtype=np.float32)])
>>> w
array([0., 1.], dtype=float32)
""",
        check=_check,
        counts_steps=False,
    )
)

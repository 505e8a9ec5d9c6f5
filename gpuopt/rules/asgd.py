"""ASGD: gradient descent with averaged parameters (Polyak and Juditsky 1992, Bottou 2010)."""

from __future__ import annotations

import numpy as np

from .definitions import Definition, define, single
from .options import MAXIMIZE, Option, learning_rate, weight_decay
from .powers import real_power
from .ranges import ANY
from .registry import Rule, add_rule


def asgd(p, g, ax, kept, eta, mu):
    """p = (1 - lambd*eta)*p - eta*g ; ax = ax + mu*(p-ax), and p itself as long as mu is 1.

    ax holds weights: in 8 bits they are off by up to 1% of the block's largest, and by 6% after
    100,000 steps, because unbiased softsign codes do not have quite unbiased values.
    """
    p = kept * p - eta * g
    return p, np.where(mu == 1.0, p, ax + (p - ax) * mu)


def asgd_coefficients(step, eta, mu, lr, lambd, alpha, t0):
    """Return them, and the next step's: eta = lr/(1+lambd*lr*t)^alpha ; mu = 1/(t-t0)."""
    next_eta = np.divide(lr, real_power(1.0 + lambd * lr * step, alpha))
    next_mu = np.divide(1.0, np.maximum(step - t0, 1.0))
    return 1.0 - lambd * eta, eta, mu, next_eta, next_mu


_OPTIONS = (
    learning_rate(1e-2),
    Option("lambd", 1e-4, "decay of the step size; any number", (ANY,)),
    Option("alpha", 0.75, "power of the decay; any number", (ANY,)),
    Option("t0", 1e6, "the step at which ``ax`` starts to average; any number", (ANY,)),
)

add_rule(
    Rule(
        "asgd",
        asgd,
        asgd_coefficients,
        ("ax",),
        _OPTIONS,
        carried={"eta": "lr", "mu": 1.0},
        not_in_8_bits=("ax",),
    )
)

define(
    Definition(
        "ASGD",
        single("asgd"),
        (*_OPTIONS, weight_decay(), MAXIMIZE),
        summary="Gradient descent whose parameters are averaged in the state ``ax``.",
        equation=r"""
p = (1 - \lambda \eta) p - \eta g, \quad ax = ax + \mu (p - ax), \quad
\eta = \frac{lr}{(1 + \lambda \, lr \, t)^\alpha}, \quad \mu = \frac{1}{\max(1, t - t_0)}
""",
        source="Polyak and Juditsky, 1992",
        example="""
>>> w = np.zeros(1, np.float32)
>>> opt = ASGD([w], lr=0.5)
>>> opt.step([np.array([4.0], np.float32)])
>>> w
array([-2.], dtype=float32)
""",
    )
)

"""Rules that follow signs: Rprop (Riedmiller and Braun 1993) and Lion (Chen et al. 2023)."""

from __future__ import annotations

import numpy as np

from .registry import register


def rprop(p, g, prev, step_size, etaminus, etaplus, step_size_min, step_size_max):
    """s = s*eta+ while g keeps its sign, s*eta- where it turns, between bounds ; p = p - s*sign(g).

    Where it turns, nothing moves, and the next step compares with nothing: g = 0. As in torch,
    a gradient that is NaN has no sign.
    """
    turn = g * prev
    factor = np.where(turn > 0.0, etaplus, np.where(turn < 0.0, etaminus, 1.0))
    # + 0.0: which zero the maximum of -0.0 and 0.0 is depends on the processor.
    step_size = np.minimum(np.maximum(step_size * factor + 0.0, step_size_min), step_size_max)
    g = np.where(turn < 0.0, 0.0, g)
    move = np.where(g > 0.0, step_size, np.where(g < 0.0, -step_size, 0.0))
    return p - move, g, step_size


def rprop_coefficients(step, lr, etaminus, etaplus, step_size_min, step_size_max):
    """Return the options; lr is what step sizes start at, and no more."""
    return etaminus, etaplus, step_size_min, step_size_max


def lion(p, g, exp_avg, beta1, one_minus_beta1, beta2, one_minus_beta2, lr):
    """p = p - lr*sign(b1*m + (1-b1)*g) ; m = b2*m + (1-b2)*g. NaN has the sign NaN."""
    blend = beta1 * exp_avg + one_minus_beta1 * g
    sign = np.where(blend > 0.0, 1.0, np.where(blend < 0.0, -1.0, blend))
    return p - lr * sign, beta2 * exp_avg + one_minus_beta2 * g


def lion_coefficients(step, lr, beta1, beta2):
    return beta1, 1.0 - beta1, beta2, 1.0 - beta2, lr


register(
    "rprop",
    rprop,
    rprop_coefficients,
    states=("prev", "step_size"),
    hyperparameters={
        "lr": 1e-2,
        "etaminus": 0.5,
        "etaplus": 1.2,
        "step_size_min": 1e-6,
        "step_size_max": 50.0,
    },
    initial={"step_size": "lr"},
)
register(
    "lion",
    lion,
    lion_coefficients,
    states=("exp_avg",),
    hyperparameters={"lr": 1e-4, "beta1": 0.9, "beta2": 0.99},
    decoupled=True,
)

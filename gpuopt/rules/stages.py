"""In front of every rule: the factor of maximize, unscaling and clipping; weight decay."""

from __future__ import annotations

import numpy as np

from .registry import Rule, Stage


def scale_gradient(g, factor):
    """g = factor*g: one factor for maximize, unscaling and clipping."""
    return factor * g


def scale_gradient_coefficients(maximize, grad_factor):
    return (grad_factor * (1.0 - 2.0 * maximize),)


def l2_decay(p, g, weight_decay):
    """g = g + weight_decay*p; where that is zero g stays as it is (0*inf would be NaN)."""
    return np.where(weight_decay != 0.0, g + weight_decay * p, g)


def l2_decay_coefficients(weight_decay):
    return (weight_decay,)


def decoupled_decay(p, shrink):
    """p = (1 - lr*weight_decay) * p."""
    return shrink * p


def decoupled_decay_coefficients(lr, weight_decay):
    return (np.where(weight_decay != 0.0, 1.0 - lr * weight_decay, 1.0),)


SCALE_GRADIENT = Stage("scale_gradient", scale_gradient, ("g",), scale_gradient_coefficients)
L2_DECAY = Stage("l2_decay", l2_decay, ("g",), l2_decay_coefficients)
DECOUPLED_DECAY = Stage("decoupled_decay", decoupled_decay, ("p",), decoupled_decay_coefficients)


def decay_of(rule: Rule) -> Stage:
    """Return the stage of a rule's weight decay."""
    return rule.decay or (DECOUPLED_DECAY if rule.decoupled else L2_DECAY)

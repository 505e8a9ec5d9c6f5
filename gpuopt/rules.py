"""The maths: every update rule, once, as a pure NumPy function of a few lines.

An update takes one element or a whole array and works on either; each backend compiles this
very function. It uses only exactly rounded operations (+ - *, np.divide, np.sqrt, np.maximum,
np.minimum, np.abs, np.where, comparisons), so that every backend gives the same bits.

Everything that is the same for a whole tensor is a coefficient: computed by the function
below each update, in float64, from the step count and the hyperparameters, and rounded once.
"""

from __future__ import annotations

import numpy as np

from .registry import Stage, register


def power(base: float, exponent: int) -> float:
    """Return ``base**exponent`` by repeated squaring: the same bits on every machine.

    >>> power(0.5, 3)
    0.125
    """
    result = 1.0
    while exponent > 0:
        if exponent & 1:
            result = result * base
        base = base * base
        exponent = exponent >> 1
    return result


# --- gradient descent -------------------------------------------------------------------


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


# --- momentum, with lr inside the velocity (Polyak 1964; Nesterov 1983, Sutskever et al. 2013)


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


# --- RMSProp (Tieleman and Hinton 2012; centered: Graves 2013) ------------------------------


def rmsprop(p, g, square_avg, beta, one_minus_beta, lr, eps):
    """s = beta*s + (1-beta)*g^2 ; p = p - lr*g / (sqrt(s)+eps)."""
    square_avg = beta * square_avg + one_minus_beta * (g * g)
    return p - lr * np.divide(g, np.sqrt(square_avg) + eps), square_avg


def rmsprop_centered(p, g, square_avg, grad_avg, beta, one_minus_beta, lr, eps):
    """RMSProp divided by the standard deviation: sqrt(s - a^2), a the average gradient.

    Under a constant gradient s - a^2 tends to zero, and rounding may take it below.
    """
    square_avg = beta * square_avg + one_minus_beta * (g * g)
    grad_avg = beta * grad_avg + one_minus_beta * g
    deviation = np.sqrt(np.maximum(square_avg - grad_avg * grad_avg, 0.0))
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
    deviation = np.sqrt(np.maximum(square_avg - grad_avg * grad_avg, 0.0))
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


# --- Adam (Kingma and Ba 2015), AMSGrad (Reddi et al. 2018), AdamW (Loshchilov and Hutter 2019)


def adam(
    p,
    g,
    exp_avg,
    exp_avg_sq,
    beta1,
    one_minus_beta1,
    beta2,
    one_minus_beta2,
    step_size,
    inverse_root_correction2,
    eps,
):
    """m = b1*m + (1-b1)*g ; v = b2*v + (1-b2)*g^2 ; p = p - lr*m^ / (sqrt(v^)+eps).

    m^ = m/(1-b1^t) and v^ = v/(1-b2^t): both corrections are coefficients, so that an
    element costs one division and one square root.
    """
    exp_avg = beta1 * exp_avg + one_minus_beta1 * g
    exp_avg_sq = beta2 * exp_avg_sq + one_minus_beta2 * (g * g)
    denominator = np.sqrt(exp_avg_sq) * inverse_root_correction2 + eps
    return p - step_size * np.divide(exp_avg, denominator), exp_avg, exp_avg_sq


def amsgrad(
    p,
    g,
    exp_avg,
    exp_avg_sq,
    max_exp_avg_sq,
    beta1,
    one_minus_beta1,
    beta2,
    one_minus_beta2,
    step_size,
    inverse_root_correction2,
    eps,
):
    """Adam with the largest v so far in place of v."""
    exp_avg = beta1 * exp_avg + one_minus_beta1 * g
    exp_avg_sq = beta2 * exp_avg_sq + one_minus_beta2 * (g * g)
    max_exp_avg_sq = np.maximum(max_exp_avg_sq, exp_avg_sq)
    denominator = np.sqrt(max_exp_avg_sq) * inverse_root_correction2 + eps
    return p - step_size * np.divide(exp_avg, denominator), exp_avg, exp_avg_sq, max_exp_avg_sq


def adam_coefficients(step, lr, beta1, beta2, eps):
    step_size = np.divide(lr, 1.0 - power(beta1, step))
    inverse_root_correction2 = np.divide(1.0, np.sqrt(1.0 - power(beta2, step)))
    return beta1, 1.0 - beta1, beta2, 1.0 - beta2, step_size, inverse_root_correction2, eps


_ADAM = {"lr": 1e-3, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8}
_ADAM_STATES = ("exp_avg", "exp_avg_sq")
_AMSGRAD_STATES = (*_ADAM_STATES, "max_exp_avg_sq")

register("adam", adam, adam_coefficients, states=_ADAM_STATES, hyperparameters=_ADAM)
register("amsgrad", amsgrad, adam_coefficients, states=_AMSGRAD_STATES, hyperparameters=_ADAM)
register(
    "adamw",
    adam,
    adam_coefficients,
    states=_ADAM_STATES,
    hyperparameters=_ADAM,
    decoupled=True,
)
register(
    "adamw_amsgrad",
    amsgrad,
    adam_coefficients,
    states=_AMSGRAD_STATES,
    hyperparameters=_ADAM,
    decoupled=True,
)


# --- Adagrad (Duchi et al. 2011) --------------------------------------------------------------


def adagrad(p, g, sum, step_size, eps):
    """S = S + g^2 ; p = p - lr/(1+(t-1)*lr_decay) * g / (sqrt(S)+eps)."""
    sum = sum + g * g
    return p - step_size * np.divide(g, np.sqrt(sum) + eps), sum


def adagrad_coefficients(step, lr, lr_decay, eps):
    return np.divide(lr, 1.0 + (step - 1.0) * lr_decay), eps


register(
    "adagrad",
    adagrad,
    adagrad_coefficients,
    states=("sum",),
    hyperparameters={"lr": 1e-2, "lr_decay": 0.0, "eps": 1e-10},
    initial={"sum": "initial_accumulator_value"},
)


# --- in front of every rule -------------------------------------------------------------------


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
    return (1.0 - lr * weight_decay,)


SCALE_GRADIENT = Stage("scale_gradient", scale_gradient, "g", scale_gradient_coefficients)
L2_DECAY = Stage("l2_decay", l2_decay, "g", l2_decay_coefficients)
DECOUPLED_DECAY = Stage("decoupled_decay", decoupled_decay, "p", decoupled_decay_coefficients)

"""The maths: every update rule, once, as a pure NumPy function of a few lines.

An update takes one element or a whole array and works on either; each backend compiles this
very function. It uses only exactly rounded operations (+ - *, np.divide, np.sqrt, np.maximum,
np.minimum, np.abs, np.where, comparisons), so that every backend gives the same bits.

Everything that is the same for a whole tensor is a coefficient: computed by the function
below each update, in float64, from the step count and the hyperparameters, and rounded once.
So are the few numbers that a tensor carries from step to step beside its step count.

No finite gradient gives NaN. Where its square overflows (from 1.8e19 on, in float32), the average
of squares is infinite from there on, as in torch, and the element no longer moves (RAdam's first
steps divide by no such average). NaN takes one of these, as it does in torch: a parameter, a
momentum buffer or an average of gradients that has itself overflowed, or a gradient that does so
behind decay and scale; eps = 0 where all gradients were 0; a decay rate of 0 for infinite squares.

There is one file for each family. They are imported in the order that the registry has.
"""

# isort: off
from .powers import power, real_power
from .gradient_descent import gradient_descent, gradient_descent_coefficients
from .momentum import momentum, momentum_coefficients, nesterov
from .rmsprop import (
    rmsprop,
    rmsprop_centered,
    rmsprop_centered_momentum,
    rmsprop_coefficients,
    rmsprop_momentum,
    rmsprop_momentum_coefficients,
)
from .adam import adam, adam_coefficients, amsgrad
from .adagrad import adagrad, adagrad_coefficients
from .sgd import sgd_coefficients, sgd_momentum, sgd_nesterov
from .adadelta import adadelta, adadelta_coefficients
from .adamax import adamax, adamax_coefficients
from .radam import radam, radam_coefficients
from .signs import lion, lion_coefficients, rprop, rprop_coefficients
from .nadam import nadam, nadam_coefficients
from .asgd import asgd, asgd_coefficients
from .stages import (
    DECOUPLED_DECAY,
    L2_DECAY,
    SCALE_GRADIENT,
    decoupled_decay,
    decoupled_decay_coefficients,
    l2_decay,
    l2_decay_coefficients,
    scale_gradient,
    scale_gradient_coefficients,
)
# isort: on

__all__ = [
    "DECOUPLED_DECAY",
    "L2_DECAY",
    "SCALE_GRADIENT",
    "adadelta",
    "adadelta_coefficients",
    "adagrad",
    "adagrad_coefficients",
    "adam",
    "adam_coefficients",
    "adamax",
    "adamax_coefficients",
    "amsgrad",
    "asgd",
    "asgd_coefficients",
    "decoupled_decay",
    "decoupled_decay_coefficients",
    "gradient_descent",
    "gradient_descent_coefficients",
    "l2_decay",
    "l2_decay_coefficients",
    "lion",
    "lion_coefficients",
    "momentum",
    "momentum_coefficients",
    "nadam",
    "nadam_coefficients",
    "nesterov",
    "power",
    "radam",
    "radam_coefficients",
    "real_power",
    "rmsprop",
    "rmsprop_centered",
    "rmsprop_centered_momentum",
    "rmsprop_coefficients",
    "rmsprop_momentum",
    "rmsprop_momentum_coefficients",
    "rprop",
    "rprop_coefficients",
    "scale_gradient",
    "scale_gradient_coefficients",
    "sgd_coefficients",
    "sgd_momentum",
    "sgd_nesterov",
]

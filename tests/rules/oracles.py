"""What the rules are compared with: the formulas, written out, and torch.optim.

A rule without a formula, an optimizer without an entry in `TORCH`, an option without values:
each fails a test, so nothing new goes unchecked.
"""

import inspect
import itertools
from math import sqrt

import numpy as np

import gpuopt
from gpuopt.compose import compose, stages_for
from gpuopt.optimizer import Optimizer
from gpuopt.step import FusedStep, Group

# --- the formulas, as they are printed ----------------------------------------------------
# Each takes a parameter p, a gradient g, the states s (a dict of floats, zero at the start),
# the step t (1 for the first) and the options o, and returns the new parameter.


def gradient_descent(p, g, s, t, o):
    return p - o["lr"] * g


def momentum(p, g, s, t, o):
    s["momentum_buffer"] = o["beta"] * s["momentum_buffer"] + o["lr"] * g
    return p - s["momentum_buffer"]


def nesterov(p, g, s, t, o):
    s["momentum_buffer"] = o["beta"] * s["momentum_buffer"] + o["lr"] * g
    return p - (o["beta"] * s["momentum_buffer"] + o["lr"] * g)


def rmsprop(p, g, s, t, o):
    s["square_avg"] = o["beta"] * s["square_avg"] + (1 - o["beta"]) * g**2
    return p - o["lr"] * g / (sqrt(s["square_avg"]) + o["eps"])


def rmsprop_centered(p, g, s, t, o):
    s["square_avg"] = o["beta"] * s["square_avg"] + (1 - o["beta"]) * g**2
    s["grad_avg"] = o["beta"] * s["grad_avg"] + (1 - o["beta"]) * g
    return p - o["lr"] * g / (sqrt(s["square_avg"] - s["grad_avg"] ** 2) + o["eps"])


def rmsprop_momentum(p, g, s, t, o):
    s["square_avg"] = o["beta"] * s["square_avg"] + (1 - o["beta"]) * g**2
    step = g / (sqrt(s["square_avg"]) + o["eps"])
    s["momentum_buffer"] = o["momentum"] * s["momentum_buffer"] + step
    return p - o["lr"] * s["momentum_buffer"]


def rmsprop_centered_momentum(p, g, s, t, o):
    s["square_avg"] = o["beta"] * s["square_avg"] + (1 - o["beta"]) * g**2
    s["grad_avg"] = o["beta"] * s["grad_avg"] + (1 - o["beta"]) * g
    step = g / (sqrt(s["square_avg"] - s["grad_avg"] ** 2) + o["eps"])
    s["momentum_buffer"] = o["momentum"] * s["momentum_buffer"] + step
    return p - o["lr"] * s["momentum_buffer"]


def adam(p, g, s, t, o):
    s["exp_avg"] = o["beta1"] * s["exp_avg"] + (1 - o["beta1"]) * g
    s["exp_avg_sq"] = o["beta2"] * s["exp_avg_sq"] + (1 - o["beta2"]) * g**2
    m = s["exp_avg"] / (1 - o["beta1"] ** t)
    v = s["exp_avg_sq"] / (1 - o["beta2"] ** t)
    return p - o["lr"] * m / (sqrt(v) + o["eps"])


def amsgrad(p, g, s, t, o):
    s["exp_avg"] = o["beta1"] * s["exp_avg"] + (1 - o["beta1"]) * g
    s["exp_avg_sq"] = o["beta2"] * s["exp_avg_sq"] + (1 - o["beta2"]) * g**2
    s["max_exp_avg_sq"] = max(s["max_exp_avg_sq"], s["exp_avg_sq"])
    m = s["exp_avg"] / (1 - o["beta1"] ** t)
    v = s["max_exp_avg_sq"] / (1 - o["beta2"] ** t)
    return p - o["lr"] * m / (sqrt(v) + o["eps"])


def adagrad(p, g, s, t, o):
    s["sum"] = s["sum"] + g**2
    return p - o["lr"] / (1 + (t - 1) * o["lr_decay"]) * g / (sqrt(s["sum"]) + o["eps"])


FORMULAS = {
    "gradient_descent": gradient_descent,
    "momentum": momentum,
    "nesterov": nesterov,
    "rmsprop": rmsprop,
    "rmsprop_centered": rmsprop_centered,
    "rmsprop_momentum": rmsprop_momentum,
    "rmsprop_centered_momentum": rmsprop_centered_momentum,
    "adam": adam,
    "amsgrad": amsgrad,
    "adamw": adam,
    "adamw_amsgrad": amsgrad,
    "adagrad": adagrad,
}
"""By rule. What is apart from the formula (weight decay, maximize) is in `by_formula`."""

DECOUPLED = ("adamw", "adamw_amsgrad")
"""The rules whose decay shrinks the parameter; every other rule's is added to the gradient."""

NEUTRAL = {"weight_decay": 0.0, "maximize": 0.0, "grad_factor": 1.0}
"""The options that every rule has beside its own, where they change nothing."""


def by_formula(name, p, gradients, options):
    """One parameter after a run, by the rule's formula, in Python floats."""
    o = {**NEUTRAL, **options}
    s = dict.fromkeys(gpuopt.RULES[name].states, 0.0)
    for t, g in enumerate(gradients, start=1):
        g = (-g if o["maximize"] else g) * o["grad_factor"]
        if name in DECOUPLED:
            p = p - o["lr"] * o["weight_decay"] * p
        else:
            g = g + o["weight_decay"] * p
        p = FORMULAS[name](p, g, s, t, o)
    return p, s


def by_rule(rule, p, gradients, options, backend="numpy", state_dtype=None):
    """An array after a run of the rule itself, and its states."""
    numbers = {**NEUTRAL, **rule.hyperparameters, **options}
    group = Group(compose(rule, stages_for(rule, [numbers])), numbers, state_dtype)
    p = p.copy()
    step = FusedStep([p], ["p"], [0])
    with gpuopt.use_backend(backend):
        for g in gradients:
            step.run([g], [group])
    return p, step.states[0]


# --- torch.optim --------------------------------------------------------------------------

TORCH = {
    "SGD": ("SGD", {}),
    "Momentum": ("SGD", {"beta": "momentum"}),
    "RMSProp": ("RMSprop", {"beta": "alpha"}),
    "Adam": ("Adam", {}),
    "AdamW": ("AdamW", {}),
    "Adagrad": ("Adagrad", {}),
}
"""For each optimizer, torch's, and what torch calls its options."""

VALUES = {
    "lr": (3e-2, 1e-3),
    "beta": (0.5, 0.95),  # not 0: centered RMSProp would divide rounding errors
    "betas": ((0.9, 0.999), (0.0, 0.5)),
    "eps": (1e-8, 1e-2),
    "momentum": (0.0, 0.9),
    "weight_decay": (0.0, 0.05),
    "lr_decay": (0.0, 0.1),
    "initial_accumulator_value": (0.0, 0.5),
    "maximize": (False, True),
    "nesterov": (False, True),
    "centered": (False, True),
    "amsgrad": (False, True),
    "state_dtype": (None,),  # storage, not maths
}
"""For each option of any optimizer, the values of the grid; 0 and False where they exist."""


def optimizers():
    """Every public optimizer, by name."""
    found = {name: getattr(gpuopt, name) for name in gpuopt.__all__}
    return {
        name: value
        for name, value in found.items()
        if inspect.isclass(value) and issubclass(value, Optimizer)
    }


def grid(optimizer):
    """Every combination of the options of an optimizer."""
    names = [n for n in inspect.signature(optimizer).parameters if n != "params"]
    for values in itertools.product(*(VALUES[n] for n in names)):
        yield dict(zip(names, values))


def reached(optimizer):
    """The rules that the grid runs."""
    one = [np.ones(1)]
    made = (optimizer(one, **options) for options in grid(optimizer))
    return {o.rule_for(o.param_groups[0]).name for o in made}

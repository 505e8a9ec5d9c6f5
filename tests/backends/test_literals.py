"""Numbers written into a rule are of the dtype that it computes in, whatever they meet."""

import numpy as np
import pytest

from gpuopt import RULES, register
from gpuopt.rules import power
from tests.helpers.stepping import check, random_problem

# In float64: to NumPy they are float64 anyway, so that the rule on whole arrays is the oracle.


def only_lr(step, lr):
    return (lr,)


def divided(p, g, lr):
    return p - lr * np.divide(np.where(g > p, 1.0, 3.0), np.where(g > lr, 7.0, -3.0))


def rooted(p, g, lr):
    return p - lr * np.sqrt(np.where(g > p, 2.0, 3.0))


def of_the_whole_tensor(p, g, lr):
    return p - np.divide(g, np.sqrt(np.where(lr > 0.0, 2.0, 3.0)))


def nested(p, g, lr):
    chosen = np.where(g > 0.5, np.where(p > 0.0, 3.0, 7.0), np.where(p > 0.0, -0.0, 5.0))
    return p - np.divide(lr, np.maximum(chosen, 0.0) + np.minimum(chosen, 3.0) + 10.0)


def sum_of_all(p, g, a, b, c, d, e, f):
    return p - (a * g + b - c + d * e * f)


def negated(p, g, lr):
    """The other zero, and numbers with a sign."""
    sign = np.where(g > 0.0, -lr, np.where(g < 0.0, lr * -0.5, -0.0))
    return -(sign * -(p * 0.0))


def a_number():
    return 0.7


def every_kind(step, lr):
    named = 0.1
    named += 0.2
    return (
        np.where(lr < 0.35, 0.1, lr),
        np.where(step == 1, 3, np.where(step == 2, 0.7, a_number())) * named,
        0.3,
        power(0.9, step) * -a_number(),
        np.minimum(np.maximum(lr, 0.11), 0.7),
        np.divide(1, lr * 3),
    )


NEW = {
    "divided": (divided, only_lr),
    "rooted": (rooted, only_lr),
    "of_the_whole_tensor": (of_the_whole_tensor, only_lr),
    "nested": (nested, only_lr),
    "negated": (negated, only_lr),
    "coefficients": (sum_of_all, every_kind),
}


@pytest.fixture(params=NEW)
def rule(request):
    update, coefficients = NEW[request.param]
    name = f"new_{request.param}"
    register(name, update, coefficients, hyperparameters={"lr": 0.1})
    yield name
    del RULES[name]


@pytest.mark.parametrize("kind", ["ordinary", "mixed"])
def test_numbers_in_float64(backend, rule, kind):
    shapes, both = [(300,), (40,)], ("float64", "float64")
    check(backend, random_problem(rule, shapes, {}, {"lr": 0.9}, dtypes=both, kind=kind))

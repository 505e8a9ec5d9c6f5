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


def every_kind(step, lr):
    return (
        np.where(lr < 0.35, 0.1, lr),
        np.where(step == 1, 0.1, np.where(step == 2, 0.7, 0.3)),
        0.3,
        power(0.9, step),
        np.minimum(np.maximum(lr, 0.11), 0.7),
        np.divide(1, lr * 3),
    )


NEW = {
    "divided": (divided, only_lr),
    "rooted": (rooted, only_lr),
    "of_the_whole_tensor": (of_the_whole_tensor, only_lr),
    "nested": (nested, only_lr),
    "coefficients": (sum_of_all, every_kind),
}


@pytest.fixture(params=NEW)
def rule(request):
    update, coefficients = NEW[request.param]
    name = f"new_{request.param}"
    register(name, update, coefficients, hyperparameters={"lr": 0.1})
    yield name
    del RULES[name]


def test_numbers_in_float64(backend, rule, request):
    if (backend, rule) == ("triton", "new_coefficients") and "sim" in request.config.ways:
        why = "Triton's compiler, unlike its interpreter, returns a mere number as a float32"
        request.applymarker(pytest.mark.xfail(reason=why))
    problem = random_problem(rule, [(300,), (40,)], {}, {"lr": 0.9}, dtypes=("float64", "float64"))
    check(backend, problem)

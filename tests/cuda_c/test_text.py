"""The CUDA C as text: what one reads, and what C++ and the driver must not misread."""

import re

import numpy as np
import pytest
from gpuopt.kernels.cuda import source as cuda_c
from gpuopt.kernels.trace.c import RESERVED, WIDTH, spelling

from gpuopt import RULES, register
from gpuopt.engine.compose import compose
from tests.cuda_c.tables import Walk, drawn, list_dtypes, update_of

ADAM = """\
template <typename T>
__device__ void update_adam(
    T& p, T g, T& exp_avg, T& exp_avg_sq, T beta1, T one_minus_beta1, T beta2, T one_minus_beta2,
    T step_size, T inverse_root_correction2, T eps)
{
    const T new_exp_avg = beta1 * exp_avg + one_minus_beta1 * g;
    const T new_exp_avg_sq = beta2 * exp_avg_sq + one_minus_beta2 * (g * g);
    const T t0 = new_exp_avg / (sqrt(new_exp_avg_sq) * inverse_root_correction2 + eps);
    const T new_p = p - step_size * t0;
    p = new_p;
    exp_avg = new_exp_avg;
    exp_avg_sq = new_exp_avg_sq;
}

__device__ void coefficients_of_update_adam(
    double step, double lr, double beta1, double beta2, double eps, double* coefficients)
{
    coefficients[0] = beta1;
    coefficients[1] = 1.0 - beta1;  // one_minus_beta1
    coefficients[2] = beta2;
    coefficients[3] = 1.0 - beta2;  // one_minus_beta2
    coefficients[4] = lr / (1.0 - power(beta1, step));  // step_size
    coefficients[5] = 1.0 / sqrt(1.0 - power(beta2, step));  // inverse_root_correction2
    coefficients[6] = eps;
}
"""


def test_adam_reads_as_one_would_write_it():
    assert cuda_c.maths(update_of("adam", stages=False)).endswith(ADAM)


@pytest.mark.parametrize("rule", RULES)
def test_every_line_can_be_read(rule):
    update = update_of(rule)
    text = cuda_c.source(update, list_dtypes(update, *["float32"] * 3), True)
    assert [line for line in text.splitlines() if len(line) > WIDTH] == []
    assert not re.search(r"^ *#\s*include", text, re.MULTILINE)
    assert "\t" not in text


def test_the_driver_knows_no_rule():
    text = cuda_c.driver()
    names = {name for rule in RULES.values() for name in (rule.name, *rule.coefficient_names)}
    assert not names & set(re.findall(r"\w+", text)) - {"p", "g"}


def test_a_kernel_alone():
    text = cuda_c.source(update_of("adam"), ("float32",) * 4, True, (cuda_c.UPDATE,))
    assert cuda_c.UPDATE in text
    assert cuda_c.COEFFICIENTS not in text


def test_names_that_cpp_reserves():
    assert spelling("lr") == "lr"
    assert {spelling(name) for name in RESERVED} == {f"{name}_" for name in RESERVED}
    assert spelling("\u03b2_1") == "u03b2_1"


# --- rules that are harder to print than those of gpuopt, run -----------------------------------


def only_lr(step, lr):
    return (lr,)


def two(step, lr, double):
    return np.where(lr < 0.35, 0.1, lr), np.where(step == 1, 0.0, double * 0.7)


def every_operation(p, g, lr):
    small = np.minimum(np.abs(p), np.maximum(-g, lr))
    unequal = np.where(g != lr, small, p)
    order = np.where(g <= p, np.where(g >= lr, unequal, g), np.where(g == lr, p, small))
    return np.where(p < lr, order, p) - np.divide(g, np.sqrt(lr + p * p))


def grouping(p, g, lr):
    first = p - (g - (lr - p)) - (g - lr)
    second = np.divide(p, np.divide(g, lr)) * (g * (p * lr)) - np.divide(np.divide(p, g), lr)
    negative = -(first + second)
    return (-negative) - -(p * g) * (first + second) * (p + (g + lr))


def literals(p, g, lr):
    scaled = -0.5 * p + 1e999 * np.where(g > lr, 3.0, -0.0)
    return np.minimum(scaled - 0.0, np.where(g > 0.25, 1e999, -1e999)) * 2.0**-149 * 2.0**127


def literals_alone(p, g, lr):
    return p - lr * np.divide(np.where(g > p, 1.0, 3.0), np.where(g > lr, 7.0, -3.0))


def exchanged(p, g, new_p, T, lr):
    return new_p, p, new_p + T * lr


def one_for_all(p, g, a, b, lr):
    same = lr * g
    return same, same, g


def hard_names(p, g, t0, t1, float, T, double, sqrt):
    t2 = t0 * T + double * g * t1
    return p - np.sqrt(np.abs(t2)) * t2, t2 + sqrt, t2 - float, T - t0, t1 * t1


def greek(p, g, β, lr):
    return p - lr * β * g, β - g


NEW = {
    "every_operation": (every_operation, only_lr, (), {"lr": 0.1}),
    "grouping": (grouping, only_lr, (), {"lr": 0.1}),
    "literals": (literals, only_lr, (), {"lr": 0.1}),
    "literals_alone": (literals_alone, only_lr, (), {"lr": 0.1}),
    "exchanged": (exchanged, only_lr, ("new_p", "T"), {"lr": 0.1}),
    "one_for_all": (one_for_all, only_lr, ("a", "b"), {"lr": 0.1}),
    "hard_names": (
        hard_names,
        two,
        ("t0", "t1", "float", "T"),
        {"lr": 0.1, "double": 0.3},
    ),
    "greek": (greek, only_lr, ("β",), {"lr": 0.1}),
    "chunk": (lambda p, g, lr: p - lr * g, only_lr, (), {"lr": 0.1}),
}
"""Updates, coefficients, states and hyperparameters."""


@pytest.fixture
def update(request):
    """The update of a rule of this file, registered as long as the test runs."""
    function, coefficients, states, hyperparameters = NEW[request.param]
    name = f"new_{request.param}" if request.param != "chunk" else "chunk"
    rule = register(name, function, coefficients, states=states, hyperparameters=hyperparameters)
    yield compose(rule)
    del RULES[name]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("update", NEW, indirect=True)
def test_what_is_printed_is_what_is_computed(update, dtype):
    dtypes = list_dtypes(update, dtype, dtype, dtype)
    Walk(update, dtypes, False, drawn(update, dtypes, [3000])).check()

"""What tensors carry from step to step, and real powers: the same bits on every backend."""

import numpy as np
import pytest

import gpuopt
from gpuopt import RULES, register
from gpuopt.engine.step import FusedStep
from gpuopt.rules import real_power
from tests.helpers.exact import assert_same_bits
from tests.helpers.stepping import Problem, check, groups, on_whole_arrays
from tests.helpers.values import values

CARRYING = [name for name, rule in RULES.items() if rule.carried]
SHAPES = [(100,), (3, 5), (7,), (64,), (1,)]
CHANGES = ({"lr": 0.05}, {"lr": 0.2, "momentum_decay": 0.1, "lambd": 0.1, "t0": 1.0})


def problem(rule, rests=()):
    """Five steps over tensors of two groups; in ``rests``, (step, tensor) without a gradient."""
    return Problem(
        [values("ordinary", shape, "float32", i) for i, shape in enumerate(SHAPES)],
        [
            [
                None if (t, i) in rests else values("ordinary", shape, "float32", 100 * t + i)
                for i, shape in enumerate(SHAPES)
            ]
            for t in range(1, 6)
        ],
        groups(rule, *CHANGES),
        [0, 1, 0, 1, 1],
    )


@pytest.mark.parametrize("rule", CARRYING)
def test_each_tensor_carries_its_own(backend, rule):
    late, pausing = [(1, 0), (2, 0), (1, 3)], [(3, 1), (2, 2), (4, 2)]
    check(backend, problem(rule, {*late, *pausing}))


@pytest.mark.parametrize("rule", CARRYING)
def test_a_run_that_starts_in_the_middle(backend, rule):
    whole = problem(rule)
    whole.steps = [4, 0, 7, 1, 2]
    names = list(RULES[rule].carried)
    whole.carried = [{name: 0.5 / (1 + i) for name in names} for i in range(len(SHAPES))]
    whole.carried[1] = {}
    check(backend, whole)


@pytest.mark.parametrize("rule", CARRYING)
def test_an_array_with_gaps_carries_on(backend, rule):
    def strided(array, role):
        wide = np.zeros((*array.shape[:-1], 2 * array.shape[-1]), array.dtype)
        wide[..., ::2] = array
        return wide[..., ::2]

    check(backend, problem(rule, {(2, 1)}), strided)


@pytest.mark.parametrize("rule", CARRYING)
def test_what_is_carried_can_be_read_between_steps(any_backend, rule):
    plan = problem(rule, {(2, 0)})
    with gpuopt.use_backend(any_backend):
        step = FusedStep([p.copy() for p in plan.params], list("abcde"), plan.group_of)
        for t in range(1, 1 + len(plan.grads)):
            grads = plan.grads[t - 1]
            step.run([g if g is None else g.copy() for g in grads], plan.groups)
            so_far = Problem(plan.params, plan.grads[:t], plan.groups, plan.group_of)
            assert step.carried == on_whole_arrays(so_far).carried


@pytest.mark.parametrize("rule", CARRYING)
def test_what_is_carried_moves_to_another_backend(backend, rule):
    """A tensor more gets a gradient, and the tables are built anew by another."""
    plan = problem(rule, {(1, 2), (2, 2)})
    step = FusedStep([p.copy() for p in plan.params], list("abcde"), plan.group_of)
    for t, grads in enumerate(plan.grads):
        with gpuopt.use_backend(backend if t % 2 else "numpy"):
            step.run([g if g is None else g.copy() for g in grads], plan.groups)
            carried = step.carried
    expected = on_whole_arrays(plan)
    for one, other in zip(step.params, expected.params):
        assert_same_bits(one, other)
    assert carried == expected.carried


# --- real powers --------------------------------------------------------------------------------

BASES = (
    0.96,
    0.0,
    1.0,
    1e-300,
    1e300,
    5e-324,
    1.0 + 2.0**-52,
    1.0 - 2.0**-53,
    np.inf,
    np.nan,
    -2.0,
)
EXPONENTS = (
    4e-3,
    0.75,
    0.5,
    0.0,
    -0.25,
    17.3,
    1e-17,
    -1e5,
    2.0**53,
    1e300,
    np.inf,
    -np.inf,
    np.nan,
)


def shifted(p, g, amount, other):
    return p - amount * g + other


def shifted_coefficients(step, last, lr, exponent):
    now = real_power(lr, exponent)
    return now, real_power(0.96, step * exponent), np.where(step > 0, now, last)


@pytest.fixture
def raised():
    """A rule that carries a real power, in float64."""
    hyperparameters = {"lr": 0.1, "exponent": 0.5}
    yield register(
        "new_raised",
        shifted,
        shifted_coefficients,
        hyperparameters=hyperparameters,
        carried={"last": 0.0},
    )
    del RULES["new_raised"]


def test_real_powers(backend, raised):
    rng = np.random.default_rng(9)
    pairs = [(base, exponent) for base in BASES for exponent in EXPONENTS]
    pairs += zip(rng.uniform(0, 2, 300).tolist(), rng.uniform(-3, 30, 300).tolist())
    changes = [{"lr": base, "exponent": exponent} for base, exponent in pairs]
    n = len(changes)
    check(
        backend,
        Problem(
            [np.zeros(2) for _ in range(n)],
            [[np.ones(2) for _ in range(n)]] * 2,
            groups(raised.name, *changes),
            list(range(n)),
        ),
        labels=[str(change) for change in changes],
    )

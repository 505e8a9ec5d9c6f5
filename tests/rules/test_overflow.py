"""Finite gradients of any size: squares overflow, and no rule makes a NaN of that."""

import numpy as np
import pytest

from gpuopt import RULES
from gpuopt.engine.compose import stages_for, within
from gpuopt.engine.step import FusedStep, Group
from gpuopt.engine.tail import tail_of
from tests.helpers.values import DTYPES
from tests.rules.oracles import NEUTRAL

COUNT, STEPS = 3000, 12

SQUARES = ("square_avg", "exp_avg_sq", "max_exp_avg_sq", "sum")
"""The states that are infinite where squares overflow, and stay so: no NaN comes of that.

Of an infinity anywhere else (a parameter, a buffer, an average of gradients, the gradient behind
decay and scale) NaN may come, as in torch: inf - inf in a later step.
"""

CASES = {
    "plain": {},
    "decay": {"weight_decay": 0.01},
    "ascent, much decay": {"maximize": 1.0, "weight_decay": 0.5},
    "a large lr": {"lr": 1.0},
    "a larger lr": {"lr": 8.0},
    "a loss scale": {"grad_factor": 2.0**-16},
    "short averages": {
        **dict.fromkeys(("beta", "beta1", "beta2", "rho", "momentum"), 0.5),
        "eps": 1e-3,
    },
    "long averages": {"beta": 0.999, "beta2": 0.9999, "rho": 0.99, "eps": 1e-15},
    "dampened": {"dampening": 0.5, "lr_decay": 0.1, "momentum_decay": 0.5, "t0": 2.0},
}

TAILS = {
    "no tail": {},
    "a tail": {"clip_norm": 1.0, "ema_decay": 0.5, "stats": True},
    "clipped values": {"clip_value": 1e30, "zero_grads": True},
}


def finite_values(dtype, seed):
    """What a gradient may be: a few steps each of all sizes, of one size, and of one spike."""
    rng, largest = np.random.default_rng(seed), float(np.finfo(dtype).max)
    sizes = [0.0, 1.0, largest, 0.9 * largest, 0.01 * largest, 1.1 * largest**0.5, 1e-8]
    sizes += [0.9 * largest**0.5, float(np.finfo(dtype).tiny), np.finfo(dtype).smallest_subnormal]
    drawn = rng.choice(sizes, (STEPS, COUNT)) * rng.choice([-1.0, 1.0], (STEPS, COUNT))
    third = COUNT // 3
    drawn[:, :third] = drawn[0, :third]
    spike = drawn[3, third : 2 * third].copy()
    drawn[:, third : 2 * third] = rng.standard_normal((STEPS, third))
    drawn[3, third : 2 * third] = spike
    return drawn.astype(dtype)


def as_floats(array):
    return array.view(DTYPES["bfloat16"]).astype(np.float64) if array.dtype == "u2" else array


def received(rule, g, p, numbers):
    """The gradient behind scale and decay."""
    factor = numbers["grad_factor"] * (1.0 - 2.0 * numbers["maximize"])
    decay = 0.0 if rule.decoupled else numbers["weight_decay"]
    with np.errstate(all="ignore"):
        return g * g.dtype.type(factor) + np.where(decay, g.dtype.type(decay) * p, 0.0)


def run(name, options, dtype, params, state_dtype=None, tail=None):
    """Whether each element was NaN without an infinity before it, and whether it is finite."""
    rule, tail = RULES[name], tail_of(**(tail or {}))
    own = {k: v for k, v in options.items() if k in rule.hyperparameters or k in NEUTRAL}
    numbers = {**NEUTRAL, **rule.hyperparameters, **own, **tail.numbers()}
    update = within(rule, tail, stages_for(rule, [numbers], tail))
    p, start = params.copy(), np.zeros(COUNT, dtype)
    step = FusedStep([p], ["p"], [0], tail)
    excused, broken = np.zeros(COUNT, bool), np.zeros(COUNT, bool)
    for g in finite_values(dtype, 1):
        start[:] = p
        step.run([g.copy()], [Group(update, numbers, state_dtype)])
        excused |= ~np.isfinite(received(rule, g, start, numbers))
        held = {n: as_floats(s) for n, s in step.states[0].items()}
        broken |= ~excused & np.isnan([p, *held.values()]).any(0)
        others = [state for n, state in held.items() if n not in SQUARES]
        excused |= ~np.isfinite([p, *others]).all(0)
    return broken, np.isfinite(p)


def ordinary(dtype):
    return np.random.default_rng(2).standard_normal(COUNT).astype(dtype)


@pytest.mark.parametrize("tail", TAILS)
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", RULES)
def test_no_finite_gradient_gives_nan(name, dtype, case, tail):
    broken, finite = run(name, CASES[case], dtype, ordinary(dtype), tail=TAILS[tail])
    assert not broken.any()
    assert finite.mean() > 0.5  # the others have overflowed themselves


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", RULES)
def test_nor_beside_huge_parameters(name, case):
    params = finite_values(np.float32, 3)[0]
    broken, _ = run(name, CASES[case], np.float32, params)
    assert not broken.any()


@pytest.mark.parametrize("state_dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("name", RULES)
def test_nor_with_states_of_16_bits(name, state_dtype):
    broken, _ = run(name, {}, np.float32, ordinary(np.float32), state_dtype)
    assert not broken.any()


ADAPTIVE = [n for n, rule in RULES.items() if set(SQUARES) & set(rule.states) and "radam" not in n]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", ADAPTIVE)
def test_where_squares_overflowed_a_gradient_moves_nothing(name, dtype):
    """As in torch; but for RAdam, whose first steps divide by nothing."""
    rule, largest = RULES[name], np.finfo(dtype).max
    numbers = {**NEUTRAL, **rule.hyperparameters, "momentum": 0.0}
    numbers |= dict.fromkeys(("weight_decay", "weight_decay_1d"), 0.0)
    p = np.ones(3, dtype)
    step = FusedStep([p], ["p"], [0])
    for g in (0.9 * largest, 1.0, -0.9 * largest, largest, 0.0):
        step.run([np.full(3, g, dtype)], [Group(within(rule, tail_of()), numbers)])
        assert (p == 1).all()
    squares = [state for n, state in step.states[0].items() if n in SQUARES]
    assert np.isposinf(squares).all()

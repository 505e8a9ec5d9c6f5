"""States in 8 bits: gradients that are hard for them, long runs, and what stays wider."""

import numpy as np
import pytest

import gpuopt
from benchmarks.state_dtype import differences, means
from gpuopt import RULES
from gpuopt.engine.coded_states import decoded, encoded
from gpuopt.engine.compose import compose
from gpuopt.rules.formats import ROOT8
from tests.tolerances import TOLERANCES

SIZE, STEPS, LR = 1280, 200, 1e-3
EVERY_32ND = np.arange(SIZE) % 32 == 0
SIZES = 10.0 ** np.random.default_rng(7).uniform(-6, 0, SIZE)


def seldom(share, together, size=1.0):
    """Gradients of which a share, in runs of so many elements, is not zero."""
    return lambda rng, step: (
        size * rng.standard_normal(SIZE) * np.repeat(rng.random(SIZE // together) < share, together)
    )


def late_outliers(rng, step):
    return rng.standard_normal(SIZE) * np.where(EVERY_32ND & (step == 100), 1e3, 1.0)


EVEN = {
    "ordinary": lambda rng, step: rng.standard_normal(SIZE),
    "1e-30": lambda rng, step: 1e-30 * rng.standard_normal(SIZE),
    "1e-18": lambda rng, step: 1e-18 * rng.standard_normal(SIZE),
    "1e4": lambda rng, step: 1e4 * rng.standard_normal(SIZE),
    "zeros": lambda rng, step: np.zeros(SIZE),
    "sparse rows": seldom(0.05, 64),
    "sparse elements": seldom(0.05, 1),
}
UNEVEN = {
    "outliers": lambda rng, step: np.where(EVERY_32ND, 1e3, 1.0) * rng.standard_normal(SIZE),
    "late outliers": late_outliers,
    "six decades": seldom(0.5, 1, SIZES),
}


def trained(kind, gradients, dtype, state_dtype=None):
    """The weights after the steps, and the largest step of one."""
    weights, rng, largest = np.zeros(SIZE, dtype), np.random.default_rng(0), 0.0
    opt = getattr(gpuopt, kind)([weights], lr=LR, state_dtype=state_dtype, min_8bit_size=1)
    for step in range(STEPS):
        before = weights.copy()
        opt.step([gradients(rng, step).astype(np.float32).astype(dtype)])
        largest = max(largest, float(np.abs(weights - before).max()))
    return weights.astype(np.float64), largest


@pytest.mark.parametrize("kind", ["Adam", "NAdam", "RMSProp"])
@pytest.mark.parametrize("case", [*EVEN, *UNEVEN])
def test_weights_follow_those_of_float64(kind, case):
    gradients = {**EVEN, **UNEVEN}[case]
    name = f"weights {'by states' if case in EVEN else 'beside an outlier'} in 8 bits"
    expected, largest = trained(kind, gradients, np.float64)
    found, step = trained(kind, gradients, np.float32, "8bit")
    assert np.abs(found - expected).max() <= TOLERANCES[name].relative * STEPS * largest
    assert step <= 3 * largest  # whatever rounding does, no step is out of all proportion


def test_only_zero_is_stored_as_zero():
    """A root of zero under an average that is not would make a step of any size."""
    values = np.array([1.0, 0.0, 1e-30, 1e-6, *[0.0] * 28, 1e-38, 1e38], np.float32)
    again = decoded(*encoded(values, ROOT8), ROOT8)
    assert ((again > 0) == (values > 0)).all()


@pytest.mark.parametrize("rule", ["adam", "adamax", "lion", "rmsprop", "nadam", "sgd_momentum"])
def test_averages_over_ten_thousand_steps(rule):
    """Rounded to nearest they would stand still: a step changes them by 0.01%."""
    found, expected = (means(rule, 0.9999, dtype, 4000) for dtype in ("8bit", None))
    for name, off in differences(found, expected).items():
        assert off <= TOLERANCES["mean of a narrow state"].relative, name


WIDER = {
    "adadelta": {"acc_delta", "square_avg"},
    "amsgrad": {"exp_avg_sq"},
    "adamw_amsgrad": {"exp_avg_sq"},
    "asgd": {"ax"},
    "rmsprop_centered": {"square_avg", "grad_avg"},
    "rmsprop_centered_momentum": {"square_avg", "grad_avg"},
    "rprop": {"prev", "step_size"},
    "sgd_schedule_free": {"z"},
    "adamw_schedule_free": {"z"},
    "radam_schedule_free": {"z"},
    "sophiag": {"hessian"},
    "dadapt_adam": {"s"},
    "dadapt_adamw": {"s"},
    "prodigy": {"p0", "s"},
    "prodigy_l2": {"p0", "s"},
    "prodigy_one_pass": {"p0", "s"},
    "prodigy_l2_one_pass": {"p0", "s"},
}


@pytest.mark.parametrize("rule", [name for name, rule in RULES.items() if rule.states])
@pytest.mark.parametrize("wanted", ["8bit", "softsign8"])
def test_what_8_bits_do_not_hold_stays_wider(rule, wanted):
    stored = compose(RULES[rule]).stored_states("float32", wanted)
    wider = {name for name, dtype in stored.items() if dtype == "float32"}
    assert wider == WIDER.get(rule, set())
    formats = {"softsign8", "root8"} if wanted == "8bit" else {wanted}
    assert {dtype for name, dtype in stored.items() if name not in wider} <= formats

"""The rules against their formulas, written out in oracles.py, and against published values."""

from decimal import Decimal, localcontext

import numpy as np
import pytest

import gpuopt
from gpuopt import RULES, Adagrad, Adam, AdamW, Momentum, RMSProp
from gpuopt.rules.adagrad import adagrad_coefficients
from gpuopt.rules.adam import adam_coefficients
from tests.helpers.bits import assert_same_bits
from tests.rules.oracles import (
    NEUTRAL,
    by_rule,
    called,
    coefficients_of,
    optimizers,
    run_of_formula,
    training,
    values_of,
)
from tests.tolerances import assert_close

DECAY = {"weight_decay": 0.05}
STAGES = {
    "plain": {},
    "decay": DECAY,
    "maximize": {"maximize": 1.0},
    "scaled": {"grad_factor": 0.375},
    "all": {**DECAY, "maximize": 1.0, "grad_factor": 0.375},
}


def problem(dtype, steps=10, shape=(50,)):
    rng = np.random.default_rng(11)
    p = rng.uniform(1, 3, shape) * rng.choice([-1.0, 1.0], shape)
    return p.astype(dtype), [rng.standard_normal(shape).astype(dtype) for _ in range(steps)]


def adapting(rule):
    """Options of a rule that estimates its lr: in float32, a way of 1e-6 would be lost beside p."""
    return {"lr": 0.5, "d0": 0.125} if rule.shared else {}


# --- every rule, every stage --------------------------------------------------------------------


@pytest.mark.parametrize("stages", STAGES)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", RULES)
def test_a_run_of_the_rule_is_a_run_of_its_formula(name, dtype, stages):
    rule = RULES[name]
    options = {**NEUTRAL, **rule.hyperparameters, **STAGES[stages], **adapting(rule)}
    p, gradients = problem(dtype, shape=(5, 10))
    ours, states = by_rule(rule, p, gradients, options)
    expected, wanted = run_of_formula(name, p, gradients, options)
    assert_close(ours, expected, f"formula {dtype}")
    for state in wanted:
        assert_close(states[state], wanted[state], f"formula {dtype}")


BESIDE = {"weight_lr_power": {"warmup_steps": 3.0}}
"""What some options change nothing without."""

WITHOUT_PASSES = [("sophiag", option) for option in ("beta2", "rho", "bs")]
"""What changes nothing before a pass has run: tests/optimizers/test_passes.py has it."""


@pytest.mark.parametrize(
    ("name", "option"), [(name, option) for name in RULES for option in RULES[name].hyperparameters]
)
def test_every_hyperparameter_of_the_rule_is_the_one_of_the_formula(name, option):
    rule = RULES[name]
    p, gradients = problem("float64", shape=(5,) if "1d" in option else (5, 1))
    if rule.shared:  # of one sign, so that the estimate grows
        gradients = list(map(np.abs, gradients))
    results = []
    for value in values_of(option):
        beside = {**adapting(rule), **BESIDE.get(option, {})}
        options = {**rule.hyperparameters, **beside, option: value}
        ours, states = by_rule(rule, p, gradients, options)
        by_hand, _ = run_of_formula(name, p, gradients, {**NEUTRAL, **options})
        assert_close(ours, by_hand, "formula float64")
        results.append(ours.tobytes() + b"".join(s.tobytes() for s in states.values()))
    unchanged = len(set(results)) < len(results)
    assert unchanged == ((name, option) in WITHOUT_PASSES), f"{option} changes nothing"


@pytest.mark.parametrize("name", RULES)
def test_one_element_is_computed_as_an_array_is(name):
    rule = RULES[name]
    rng = np.random.default_rng(3)
    values = rng.uniform(0.5, 2, (2 + len(rule.states), 20))
    if "square_avg" in rule.states:  # a mean of squares is above the square of a mean
        values[2] += 4
    coefficients = coefficients_of(rule, 3)
    whole = np.array(called(rule, values, coefficients)).reshape(len(rule.results), -1)
    for i in range(values.shape[1]):
        one = called(rule, values[:, i], coefficients)
        assert_same_bits(np.ravel(one), whole[:, i])


# --- published values ---------------------------------------------------------------------------

# optax's documentation runs each of its optimizers on f(x) = sum(x**2) from (1, 2, 3) and prints
# f after each of five steps. (Its eps stands elsewhere, which three digits do not show.)
OPTAX = {
    "sgd": (gpuopt.SGD, {"lr": 0.003}, "1.38E+01 1.37E+01 1.35E+01 1.33E+01 1.32E+01"),
    "rmsprop": (RMSProp, {"lr": 0.003}, "1.39E+01 1.38E+01 1.37E+01 1.37E+01 1.36E+01"),
    "adam": (Adam, {"lr": 0.003}, "1.40E+01 1.39E+01 1.39E+01 1.39E+01 1.38E+01"),
    "amsgrad": (
        Adam,
        {"lr": 0.003, "amsgrad": True},
        "1.40E+01 1.39E+01 1.39E+01 1.39E+01 1.38E+01",
    ),
    "adamw": (
        AdamW,
        {"lr": 0.003, "weight_decay": 1e-4},
        "1.40E+01 1.39E+01 1.39E+01 1.39E+01 1.38E+01",
    ),
    "adagrad": (
        Adagrad,
        {"lr": 1.0, "initial_accumulator_value": 0.1},
        "5.01E+00 2.40E+00 1.25E+00 6.86E-01 3.85E-01",
    ),
}


@pytest.mark.parametrize("name", OPTAX)
def test_the_values_that_optax_publishes(name):
    optimizer, options, published = OPTAX[name]
    x = np.array([1, 2, 3], np.float32)
    opt = optimizer([x], **options)
    printed = []
    for _ in range(5):
        opt.step([2 * x])
        printed.append(f"{np.sum(x**2):.2E}")
    assert printed == published.split()


# Keras's documentation minimizes x**2 / 2.
KERAS = {
    "SGD": (gpuopt.SGD, {"lr": 0.1}, 1.0, [0.9]),
    "SGD with momentum": (Momentum, {"lr": 0.1, "beta": 0.9}, 1.0, [0.9, 0.9 - 0.18]),
    "RMSprop": (RMSProp, {"lr": 0.1, "eps": 1e-7}, 10.0, [9.683772]),
    "Adam": (Adam, {"lr": 0.1, "eps": 1e-7}, 10.0, [9.9]),
}


@pytest.mark.parametrize("name", KERAS)
def test_the_values_that_keras_publishes(name):
    optimizer, options, start, published = KERAS[name]
    x = np.array([start], np.float32)
    opt = optimizer([x], **options)
    for value in published:
        opt.step([x.copy()])
        assert_close(x, [value], "seven digits")


@pytest.mark.parametrize("g", [5.0, -0.25, 1e-3])
@pytest.mark.parametrize("steps", [1, 2, 50])
def test_adam_under_a_constant_gradient_steps_by_lr(g, steps):
    """Kingma and Ba, section 3: the corrected moments of a constant are that constant."""
    p = np.zeros(1)
    opt = Adam([p], lr=0.125, eps=0.0)
    for _ in range(steps):
        opt.step([np.array([g])])
    assert_close(p, [-0.125 * steps * np.sign(g)], "worked value")


def test_adagrad_under_a_constant_gradient_steps_by_lr_over_root_t():
    p = np.zeros(1)
    opt = Adagrad([p], lr=0.5, eps=0.0)
    for _ in range(9):
        opt.step([np.array([3.0])])
    assert_close(p, [-0.5 * sum(1 / np.sqrt(t) for t in range(1, 10))], "worked value")


def test_momentum_reaches_its_terminal_velocity():
    """Goodfellow, Bengio and Courville, Deep Learning, 8.3.2: lr*g / (1 - beta)."""
    p = np.zeros(1)
    opt = Momentum([p], lr=0.1, beta=0.9)
    for _ in range(400):
        opt.step([np.array([2.0])])
    assert_close(opt.state[0]["momentum_buffer"], [0.1 * 2.0 / (1 - 0.9)], "worked value")


def test_rmsprop_averages_a_constant_to_its_square():
    p = np.zeros(1)
    opt = RMSProp([p], lr=0.1, beta=0.75)
    for t in range(1, 20):
        opt.step([np.array([3.0])])
        assert_close(opt.state[0]["square_avg"], [9.0 * (1 - 0.75**t)], "worked value")


# --- lr -----------------------------------------------------------------------------------------


def test_a_velocity_keeps_the_steps_that_it_was_built_from():
    p = np.zeros(1)
    opt = Momentum([p], lr=1.0, beta=0.5)
    opt.step([np.ones(1)])
    opt.lr = 0.0
    opt.step([np.ones(1)])
    opt.step([np.ones(1)])
    assert p.tolist() == [-(1 + 0.5 + 0.25)]


def test_the_buffer_of_rmsprop_does_not_hold_lr():
    p = np.zeros(1)
    opt = RMSProp([p], lr=1.0, beta=0.75, eps=0.0, momentum=0.5)
    opt.step([np.ones(1)])
    before, opt.lr = p.copy(), 0.0
    opt.step([np.ones(1)])
    assert p == before


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
@pytest.mark.parametrize("name", RULES)
def test_no_learning_rate_no_change_and_no_nan(name, dtype):
    p, gradients = problem(dtype)
    gradients[3][:] = 0
    options = {**RULES[name].hyperparameters, **DECAY, "lr": 0.0, "step_size_min": 0.0}
    after, states = by_rule(RULES[name], p, gradients, options)
    assert (after == p).all()
    assert all(np.isfinite(s).all() for s in states.values())


# --- steps and bias corrections -----------------------------------------------------------------

BETAS = (0.0, 0.5, 0.9, 0.99, 0.999, 0.9999, 0.99999, 1 - 2.0**-20)


def corrections(beta, t):
    """1 - beta^t and its inverse root, as coefficients of Adam with lr = 1."""
    values = adam_coefficients(t, lr=1.0, beta1=beta, beta2=beta, eps=0.0)
    step_size, inverse_root = values[4:6]
    return np.float32(step_size), np.float32(inverse_root)


@pytest.mark.parametrize("beta", BETAS)
def test_the_first_bias_correction_is_the_float64_one_rounded(beta):
    step_size, inverse_root = corrections(beta, 1)
    assert step_size == np.float32(1.0 / (1.0 - beta))
    assert inverse_root == np.float32(1.0 / np.sqrt(1.0 - beta))


@pytest.mark.parametrize("t", [2, 3, 10, 1000, 99_999, 2**24, 2**24 + 1, 2**31 + 7, 2**40])
@pytest.mark.parametrize("beta", BETAS)
def test_every_bias_correction_is_good_to_float32(beta, t):
    with localcontext() as context:
        context.prec = 60
        exact = 1 - Decimal(beta) ** t
        expected = float(1 / exact), float(1 / exact.sqrt())
    assert_close(corrections(beta, t), expected, "float32 coefficient")


def test_complements_are_rounded_once():
    """In float32 itself, 1 - 0.99999 is off in its fourth digit."""
    _, one_minus_beta1, _, one_minus_beta2, *_ = adam_coefficients(1, 1.0, 0.99999, 0.999, 0.0)
    assert np.float32(one_minus_beta1) == np.float32(1e-5)
    assert np.float32(one_minus_beta2) == np.float32(1e-3)


@pytest.mark.parametrize("step", [2**24 - 1, 2**24, 2**31 - 1, 2**31, 2**53])
def test_steps_count_on_where_float32_and_int32_stop(step):
    p = np.zeros(1, np.float32)
    opt = Adam([p])
    opt.step([np.ones(1, np.float32)])
    saved = opt.state_dict()
    saved["state"][0]["step"] = step
    opt.load_state_dict(saved)
    for _ in range(3):
        opt.step([np.ones(1, np.float32)])
    assert opt.state[0]["step"] == step + 3


def test_bias_corrections_still_change_beyond_two_to_the_24():
    beta = 1 - 2.0**-26
    seen = [adam_coefficients(2**24 + i, 1.0, 0.9, beta, 0.0)[5] for i in range(3)]
    assert seen[0] > seen[1] > seen[2]


def test_lr_decay_still_counts_beyond_two_to_the_24():
    p = np.zeros(1)
    opt = Adagrad([p], lr=1.0, lr_decay=1.0, eps=0.0)
    opt.step([np.ones(1)])
    saved = opt.state_dict()
    saved["state"][0].update(step=2**24, sum=np.zeros(1))
    opt.load_state_dict(saved)
    p[:] = 0
    opt.step([np.ones(1)])
    assert_close(p, [-1 / (1 + 2**24)], "worked value")
    assert adagrad_coefficients(2**24 + 2, 1.0, 1.0, 0.0)[0] == 1 / (2 + 2**24)


@pytest.mark.parametrize("name", optimizers())
def test_an_array_without_a_gradient_does_not_age(name):
    (p, q), g = np.ones((2, 3)), np.full(3, 0.5)
    late, fresh = (optimizers()[name]([x], lr=0.1, **training(name)) for x in (p, q))
    for _ in range(3):
        late.step([None])
    late.step([g])
    fresh.step([g])
    assert_same_bits(p, q)
    assert late.state[0]["step"] == 1


# --- eps ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("amsgrad", [False, True])
@pytest.mark.parametrize("optimizer", [Adam, AdamW])
def test_adams_eps_is_outside_the_root_and_after_the_correction(optimizer, amsgrad):
    p, g = np.zeros(1), np.array([3.0])
    optimizer([p], lr=1.0, eps=1.0, amsgrad=amsgrad).step([g])
    assert_close(p, [-3 / (3 + 1)], "worked value")


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_rmsprops_eps_is_outside_the_root(momentum):
    p, g = np.zeros(1), np.array([3.0])
    RMSProp([p], lr=1.0, beta=0.75, eps=1.0, momentum=momentum).step([g])
    assert_close(p, [-3 / (3 / 2 + 1)], "worked value")


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_centered_rmsprops_eps_is_outside_the_root(momentum):
    p, g = np.zeros(1), np.array([4.0])
    RMSProp([p], lr=1.0, beta=0.5, eps=1.0, centered=True, momentum=momentum).step([g])
    assert_close(p, [-4 / (np.sqrt(8 - 2**2) + 1)], "worked value")


def test_adagrads_eps_is_outside_the_root():
    p, g = np.zeros(1), np.array([3.0])
    Adagrad([p], lr=1.0, eps=1.0).step([g])
    assert_close(p, [-3 / (3 + 1)], "worked value")


# --- small, large and constant gradients --------------------------------------------------------


@pytest.mark.parametrize("g", [1e-30, 1e-38, 1e-42, 1e-45])
def test_adam_moves_by_lr_g_over_eps_where_the_square_underflows(g):
    p, g = np.zeros(1, np.float32), np.array([g], np.float32)
    Adam([p], lr=1.0, betas=(0.5, 0.5), eps=1e-8).step([g])
    m = np.float32(0.5) * g  # half of the smallest denormal is zero: ties go to even
    assert p == -2 * (m / np.float32(1e-8))
    assert (p != 0) == (m != 0)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("name", RULES)
def test_no_gradient_and_no_state_is_no_nan(name, dtype):
    """eps = 1e-8 is zero in float16: it must stand beside the root in float32."""
    p = np.ones(4, dtype)
    no_decay = dict.fromkeys(("lambd", "weight_decay", "weight_decay_1d"), 0.0)
    after, _ = by_rule(RULES[name], p, [np.zeros(4, dtype)] * 3, no_decay)
    assert (after == 1).all()


@pytest.mark.parametrize("momentum", [0.0, 0.5])
def test_centered_rmsprop_survives_a_constant_gradient(momentum):
    """s - a^2 tends to zero there, and rounding takes it below for some gradients."""
    p, g = np.zeros(1000, np.float32), np.linspace(0.1, 3, 1000, dtype=np.float32)
    opt = RMSProp([p], centered=True, momentum=momentum)
    for _ in range(300):
        opt.step([g])
    assert np.isfinite(p).all()


# --- weight decay -------------------------------------------------------------------------------


def test_adams_decay_goes_through_the_moments():
    """The first step is lr whatever the size of the gradient, decay included."""
    p = np.array([10.0, -10.0])
    opt = Adam([p], lr=0.5, eps=0.0, weight_decay=0.1)
    opt.step([np.array([0.0, 0.0])])
    assert_close(p, [9.5, -9.5], "worked value")
    assert_close(opt.state[0]["exp_avg"], [0.1, -0.1], "worked value")


def test_adamws_decay_stays_out_of_the_moments():
    p = np.array([10.0, -10.0])
    opt = AdamW([p], lr=0.5, eps=0.0, weight_decay=0.1)
    opt.step([np.array([2.0, 2.0])])
    assert_close(p, [10 * (1 - 0.5 * 0.1) - 0.5, -10 * (1 - 0.5 * 0.1) - 0.5], "worked value")
    assert_close(opt.state[0]["exp_avg"], [0.2, 0.2], "worked value")


def test_without_decay_adamw_is_adam():
    (p, gradients), (q, _) = problem("float32"), problem("float32")
    ours, theirs = AdamW([p], weight_decay=0.0), Adam([q])
    for g in gradients:
        ours.step([g])
        theirs.step([g])
    assert_same_bits(p, q)


# --- AMSGrad ------------------------------------------------------------------------------------


def test_amsgrad_keeps_the_largest_mean_square():
    p = np.zeros(1)
    opt = Adam([p], lr=1.0, betas=(0.0, 0.5), eps=0.0, amsgrad=True)
    opt.step([np.array([8.0])])
    for t in range(2, 6):
        before = p.copy()
        opt.step([np.array([1.0])])
        assert opt.state[0]["max_exp_avg_sq"].tolist() == [32.0]
        assert_close(before - p, [1 / np.sqrt(32 / (1 - 0.5**t))], "worked value")
    assert opt.state[0]["exp_avg_sq"] < 5


# --- maximize and scale -------------------------------------------------------------------------


@pytest.mark.parametrize("name", RULES)
def test_maximize_is_the_negated_gradient(name):
    p, gradients = problem("float32")
    up, _ = by_rule(RULES[name], p, gradients, {"maximize": 1.0, **DECAY})
    down, _ = by_rule(RULES[name], p, [-g for g in gradients], DECAY)
    assert_same_bits(up, down)


@pytest.mark.parametrize("name", optimizers())
def test_scaled_gradients_are_unscaled(name):
    (p, q), gradients = np.ones((2, 50), np.float32), problem("float32")[1]
    scaled, plain = (optimizers()[name]([x], lr=0.1, **training(name)) for x in (p, q))
    for g in gradients:
        scaled.step([g * 1024], scale=1024.0)
        plain.step([g])
    assert_same_bits(p, q)

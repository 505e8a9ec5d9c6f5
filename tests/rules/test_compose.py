"""A rule and the stages in front of it, as one function: the bits of both, one after the other."""

import inspect
from itertools import product

import numpy as np
import pytest

import gpuopt
from gpuopt import RULES
from gpuopt.engine.compose import compose, stages_for
from gpuopt.engine.step import FusedStep, Group
from gpuopt.rules.adan import PROXIMAL_DECAY
from gpuopt.rules.adopt import LATER_DECAY
from gpuopt.rules.stages import (
    DECOUPLED_DECAY,
    L2_DECAY,
    SCALE_GRADIENT,
    decoupled_decay,
    l2_decay,
    scale_gradient,
)
from tests.helpers.backends import on_cpu
from tests.helpers.bits import assert_same_bits
from tests.helpers.values import values
from tests.rules.oracles import NEUTRAL, by_rule, called, coefficients_of

F = np.float32
ORDERS = {
    "none": (),
    "scale": (SCALE_GRADIENT,),
    "L2": (L2_DECAY,),
    "decoupled": (DECOUPLED_DECAY,),
    "scale, L2": (SCALE_GRADIENT, L2_DECAY),
    "scale, decoupled": (SCALE_GRADIENT, DECOUPLED_DECAY),
}


def by_hand(stages, p, g, factor, weight_decay, shrink):
    """The parameter and the gradient that the rule sees."""
    if SCALE_GRADIENT in stages:
        g = factor * g
    if L2_DECAY in stages:
        g = g + weight_decay * p
    if DECOUPLED_DECAY in stages:
        p = shrink * p
    return p, g


DECAYS = (L2_DECAY, DECOUPLED_DECAY)
WITH_STAGES = [
    pytest.param(name, stages, id=f"{name}-{order}")
    for name, rule in RULES.items()
    for order, stages in ORDERS.items()
    if not (rule.decays and set(DECAYS) & set(stages))
]


@pytest.mark.parametrize(("name", "stages"), WITH_STAGES)
def test_a_composed_update_is_its_stages_and_its_rule_one_after_the_other(name, stages):
    rule = RULES[name]
    update = compose(rule, stages)
    p, g, *states = (values("mixed", (999,), "float32", i) for i in range(2 + len(rule.states)))
    factor, weight_decay, shrink = F(-0.3), F(0.05), F(0.97)
    numbers = {"factor": factor, "weight_decay": weight_decay, "shrink": shrink}
    rng = np.random.default_rng(1)
    numbers.update({c: F(rng.uniform(0.1, 0.9)) for c in rule.coefficient_names})
    given = [numbers[c] for c in update.coefficient_names]
    with np.errstate(all="ignore"):
        read = [(p, g, *states)[i] for i in update.read]
        actual = update.function(*read, *given)
        seen = by_hand(stages, p, g, factor, weight_decay, shrink)
        own = given[len(given) - len(rule.coefficient_names) :]
        expected = called(rule, (*seen, *states), own)
        if update.n_plain:
            values_by_name = {**dict(zip(("p", "g", *rule.states), (*seen, *states))), **numbers}
            takes = inspect.signature(rule.totalled).parameters
            expected += rule.totalled(**{name: values_by_name[name] for name in takes})
    expected = expected if isinstance(expected, tuple) else (expected,)
    assert len(actual) == len(expected) == len(rule.results) + update.n_plain
    for one, other in zip(actual, expected):
        assert_same_bits(one, other)


@pytest.mark.parametrize(("name", "stages"), WITH_STAGES)
def test_coefficients_stand_in_the_order_of_the_functions_parameters(name, stages):
    rule = RULES[name]
    update = compose(rule, stages)
    options = {"weight_decay": 0.25, "maximize": 1.0, "grad_factor": 0.5, **rule.hyperparameters}
    options |= dict.fromkeys(rule.shared_names, 0.5)
    by_name = dict(zip(update.coefficient_names, update.coefficients(3, options)))
    own = coefficients_of(rule, 3, options)
    parameters = tuple(inspect.signature(update.function).parameters)
    values_read = [update.values[i] for i in update.read]
    assert parameters == (*values_read, *update.coefficient_names)
    assert update.lists == ("params", "grads", *rule.states)
    assert [update.lists[i] for i in update.written] == ["params", *rule.results[1:]]
    decay = options["weight_decay"]
    expected = {"factor": -0.5, "weight_decay": decay, "shrink": 1.0 - options["lr"] * decay}
    expected = {c: expected[c] for s in stages for c in s.coefficient_names}
    assert by_name == {**expected, **dict(zip(rule.coefficient_names, map(float, own)))}
    assert all(type(value) is float for value in by_name.values())


# --- which stages -------------------------------------------------------------------------------


def options(**changes):
    return {**NEUTRAL, **changes}


@pytest.mark.parametrize("name", RULES)
def test_what_changes_nothing_is_left_out(name):
    assert stages_for(RULES[name], [options(), options()]) == ()


@pytest.mark.parametrize("change", [{"maximize": 1.0}, {"grad_factor": 0.5}], ids=str)
def test_maximize_and_a_factor_scale_the_gradient(change):
    assert stages_for(RULES["adam"], [options(), options(**change)]) == (SCALE_GRADIENT,)


@pytest.mark.parametrize("name", RULES)
def test_each_rule_has_one_kind_of_decay(name):
    rule = RULES[name]
    decay = DECOUPLED_DECAY if rule.decoupled else L2_DECAY
    decay = {"adan": PROXIMAL_DECAY, "adopt_decoupled": LATER_DECAY}.get(name, decay)
    expected = () if "weight_decay" in rule.hyperparameters else (decay,)
    assert stages_for(rule, [options(weight_decay=0.1), options()]) == expected


def test_the_gradient_is_scaled_before_it_decays():
    everything = options(weight_decay=0.1, maximize=1.0)
    assert stages_for(RULES["adam"], [everything]) == (SCALE_GRADIENT, L2_DECAY)
    assert stages_for(RULES["adamw"], [everything]) == (SCALE_GRADIENT, DECOUPLED_DECAY)


def test_the_same_parts_are_the_same_update():
    """Kernels are compiled once for each update: it must be one object."""
    assert compose(RULES["adam"], (L2_DECAY,)) is compose(RULES["adam"], (L2_DECAY,))
    assert compose(RULES["adam"], (L2_DECAY,)) is not compose(RULES["adam"], ())
    assert compose(RULES["adam"], ()) is not compose(RULES["adamw"], ())


def test_changed_numbers_ask_for_no_other_update():
    """A scheduler never recompiles."""
    opt = gpuopt.AdamW([np.ones(3)], lr=0.1)
    updates = set()
    for lr, decay, betas in product((0.1, 0.0), (0.1, 0.2), ((0.9, 0.99), (0.0, 0.5))):
        opt.lr, opt.weight_decay, opt.betas = lr, decay, betas
        updates.update(group.update for group in opt._groups(1.0))
    assert len(updates) == 1


def test_the_source_can_be_read():
    """Compilers ask for it, and so does whoever debugs."""
    update = compose(RULES["adam"], (SCALE_GRADIENT, L2_DECAY))
    assert inspect.getsource(update.function) == update.source
    assert update.source.startswith(f"def {update.function.__name__}(p, g, exp_avg, exp_avg_sq, ")


# --- neutral numbers ----------------------------------------------------------------------------

ODD = np.array([np.inf, -np.inf, np.nan, 0.0, -0.0, 1.0, -3e38, 1e-45], F)


def test_no_l2_decay_leaves_a_gradient_beside_infinity_alone():
    g = np.arange(8, dtype=F)
    with np.errstate(invalid="ignore"):  # 0 * inf is computed, and not taken
        assert_same_bits(l2_decay(ODD, g, F(0)), g)


def test_a_factor_of_one_changes_no_bit():
    assert_same_bits(scale_gradient(ODD, F(1)), ODD)
    assert_same_bits(decoupled_decay(ODD, F(1)), ODD)


@pytest.mark.parametrize("backend", on_cpu())
@pytest.mark.parametrize("name", ["gradient_descent", "adam", "adamw"])
def test_a_group_without_decay_is_as_if_no_group_had_any(name, backend):
    """Both groups run the same kernel; 0 * inf in it would be NaN."""
    rule, g = RULES[name], np.linspace(-2, 2, len(ODD), dtype=F)
    plain = {**NEUTRAL, **rule.hyperparameters}
    decaying = {**plain, "weight_decay": 0.1, "maximize": 1.0}
    update = compose(rule, stages_for(rule, [plain, decaying]))
    p, q = ODD.copy(), ODD.copy()
    step = FusedStep([p, q], ["p", "q"], [0, 1])
    with gpuopt.use_backend(backend):
        step.run([g, g], [Group(update, plain), Group(update, decaying)])
    alone, states = by_rule(rule, ODD, [g], {}, backend)
    assert_same_bits(p, alone, "without decay")
    for state in rule.states:
        assert_same_bits(step.states[0][state], states[state], state)
    decayed, _ = by_rule(rule, ODD, [g], decaying, backend)
    assert_same_bits(q, decayed, "with decay")
    assert np.isinf(p[:2]).all()

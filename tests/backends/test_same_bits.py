"""Every rule on every backend, on hostile values: the bits of the rule on whole arrays."""

from inspect import signature

import pytest
from gpuopt.kernels.trace.operations import trace

from gpuopt import RULES
from tests.helpers.stepping import ALL_STAGES, Problem, check, groups
from tests.helpers.values import KINDS, values

# A kind of value at a time in the parameter, in the gradient, and in all the states, the others
# being of every kind; then each kind alone. All are tensors of one step: one compilation a rule.
PLACES = ("param", "grad", "state", "all")
CASES = [(kind, place) for kind in KINDS for place in PLACES]
SHAPE = (257,)


def hostile_problem(rule, *changes, dtype="float32"):
    def drawn(role, seed):
        return [
            values(kind if place in (role, "all") else "mixed", SHAPE, dtype, seed)
            for kind, place in CASES
        ]

    states = {name: drawn("state", 10 + i) for i, name in enumerate(RULES[rule].states)}
    if {o.name for o in traced(rule).operations} & {"maximum", "minimum"}:
        # Which zero np.maximum(0.0, -0.0) gives depends on the processor, in NumPy itself.
        states = {name: [s + s.dtype.type(0) for s in held] for name, held in states.items()}
    return Problem(
        params=drawn("param", 0),
        grads=[drawn("grad", 1), drawn("grad", 2), drawn("param", 3)],
        groups=groups(rule, *changes),
        group_of=[i % max(len(changes), 1) for i in range(len(CASES))],
        states=[{name: arrays[i] for name, arrays in states.items()} for i in range(len(CASES))],
        steps=[(0, 1, 1000)[i % 3] for i in range(len(CASES))],
    )


def traced(rule):
    return trace(RULES[rule].update, tuple(signature(RULES[rule].update).parameters))


pytestmark = pytest.mark.every_arch

LABELS = [f"{kind} values in {place}" for kind, place in CASES]


@pytest.mark.parametrize("rule", RULES)
def test_hostile_values(backend, rule):
    check(backend, hostile_problem(rule), labels=LABELS)


@pytest.mark.parametrize("rule", RULES)
def test_hostile_values_behind_every_stage(backend, rule):
    # The second group asks for none of the stages that the first one brings in.
    check(backend, hostile_problem(rule, ALL_STAGES, {}), labels=LABELS)


@pytest.mark.parametrize("rule", ["amsgrad", "rmsprop_centered_momentum"])
def test_hostile_values_in_float64(backend, rule):
    check(backend, hostile_problem(rule, ALL_STAGES, {}, dtype="float64"), labels=LABELS)


@pytest.mark.parametrize("rule", RULES)
def test_extreme_options(backend, rule):
    zeros = {name: 0.0 for name in RULES[rule].hyperparameters}
    check(backend, hostile_problem(rule, zeros, {"lr": 1e30}, {"lr": 1e-42}), labels=LABELS)

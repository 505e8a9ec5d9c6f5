"""Which states are never negative: 8 bits hold the square roots of those that say so."""

import numpy as np
import pytest

import gpuopt
from gpuopt import RULES
from gpuopt.engine.step import FusedStep
from tests.helpers.stepping import groups
from tests.helpers.values import values

KINDS = ("ordinary", "denormal", "huge", "tiny", "zero", "mixed")


@pytest.mark.parametrize("rule", [name for name, rule in RULES.items() if rule.states])
def test_the_states_that_are_never_negative_are_those_that_say_so(rule):
    lowest = dict.fromkeys(RULES[rule].states, 0.0)
    for kind in KINDS:
        with gpuopt.use_backend("numpy"):
            fused = FusedStep([values(kind, (256,), "float32")], ["p"], [0])
            for step in range(20):
                grad = values(kind, (256,), "float32", step + 1)
                fused.run([grad], groups(rule, {"lr": 1e-2}))
                for name, state in fused.states[0].items():
                    lowest[name] = min(lowest[name], np.nanmin(state, initial=0.0))
    assert {name for name, low in lowest.items() if low == 0} == {*RULES[rule].nonnegative}

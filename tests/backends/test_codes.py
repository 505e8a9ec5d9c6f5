"""States in 8 bits: the bits of the reference on every backend."""

import pytest

import gpuopt
from gpuopt import RULES
from gpuopt.engine.compose import within
from gpuopt.engine.step import FusedStep, Group
from gpuopt.engine.tail import Tail
from tests.helpers.exact import assert_same_bits
from tests.helpers.stepping import NEUTRAL, REFERENCE, groups
from tests.helpers.values import values

SIZES = (4096, 4097, 5000, 8192 + 31, 16384 + 4096 + 7)


def run(backend, rule, kind="ordinary", steps=3, **changes):
    params = [values(kind, (size,), "float32", i) for i, size in enumerate(SIZES)]
    with gpuopt.use_backend(backend):
        fused = FusedStep(params, [f"p{i}" for i in range(len(SIZES))], [0] * len(SIZES))
        for step in range(1, steps + 1):
            grads = [values(kind, (s,), "float32", 10 * step + i) for i, s in enumerate(SIZES)]
            fused.run(grads, groups(rule, changes, state_dtype="8bit"))
    return params, fused.states


@pytest.mark.parametrize("masters", ["split16", "split8"])
@pytest.mark.parametrize("state_dtype", [None, "8bit"])
def test_split_weights(backend, masters, state_dtype):
    def of(name):
        rule, size = RULES["adamw"], SIZES[2]
        options = {**NEUTRAL, **rule.hyperparameters}
        update = within(rule, Tail(master_weights=masters, ema_decay=0.5))
        options["ema_decay"] = 0.5
        params = [values(kind, (size,), "bfloat16", 1) for kind in ("ordinary", "mixed")]
        with gpuopt.use_backend(name):
            fused = FusedStep(params, ["a", "b"], [0, 0])
            for step in (1, 2, 3):
                grads = [values("ordinary", (size,), "bfloat16", step)] * 2
                fused.run(grads, [Group(update, options, state_dtype)])
        return params, fused.states

    expected, actual = of(REFERENCE), of(backend)
    for i, what in enumerate(("ordinary", "mixed")):
        assert_same_bits(actual[0][i], expected[0][i], f"{what} parameter")
        assert "param_remainder" in expected[1][i]
        for name, state in expected[1][i].items():
            assert_same_bits(actual[1][i][name], state, f"{what}, {name}")


@pytest.mark.parametrize("rule", [name for name, rule in RULES.items() if rule.states])
@pytest.mark.parametrize("kind", ["ordinary", "mixed"])
def test_every_rule(backend, rule, kind):
    expected, actual = run(REFERENCE, rule, kind), run(backend, rule, kind)
    for i, size in enumerate(SIZES):
        assert_same_bits(actual[0][i], expected[0][i], f"{size} elements, the parameter")
        for name, state in expected[1][i].items():
            assert_same_bits(actual[1][i][name], state, f"{size} elements, {name}")

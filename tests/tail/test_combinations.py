"""Every combination against a plain NumPy statement of the same training step, bit for bit."""

import numpy as np
import pytest

import gpuopt
from gpuopt import Adam
from tests.helpers.bits import assert_same_bits
from tests.tail.cases import COMBINATIONS, label, new_grads, new_params
from tests.tail.statement import Statement
from tests.tolerances import assert_close

BACKENDS = ("numpy", "llvm")


def assert_near(actual, expected, what):
    assert actual.dtype == expected.dtype, what
    wide = (np.asarray(array).astype(np.float64) for array in (actual, expected))  # for NumPy 1
    assert_close(*wide, "sum in another order")


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16", "float64"])
@pytest.mark.parametrize("case", COMBINATIONS, ids=label)
def test_a_training_step_is_what_the_statement_says(case, dtype, backend):
    params = new_params(dtype)
    theirs = Statement(params, 0.125, **case)
    with gpuopt.use_backend(backend):
        ours = Adam(params, lr=0.125, **case)
        for step in range(4):
            grads = new_grads(dtype, step, bad=step == 1 and "skip_nonfinite" in case)
            scale = 2.0 if step == 2 else 1.0
            expected = theirs.step([g.copy() for g in grads], scale)
            ours.step(grads, scale=scale)
            for mine, after in zip(grads, expected):
                assert_same_bits(mine, after, f"gradient, step {step}")
            if ours.tail.measures:
                assert_close(ours.grad_norm, theirs.norm, "sum in another order")
    # In float64 the factor shows the order of the sum.
    compare = assert_near if dtype == "float64" and "clip_norm" in case else assert_same_bits
    for i, (mine, their) in enumerate(zip(params, theirs.params)):
        compare(mine, their, f"parameter {i}")
        held = {k: v for k, v in ours.state[i].items() if k != "step"}
        assert held.keys() == theirs.states[i].keys()
        assert held.pop("rounding_seed", None) == theirs.states[i].pop("rounding_seed", None)
        for name, state in held.items():
            compare(state, theirs.states[i][name], f"{name} of {i}")
        assert ours.state[i]["step"] == theirs.t
    if "skip_nonfinite" in case:
        assert ours.skipped_steps == theirs.skipped == 1


@pytest.mark.parametrize("case", COMBINATIONS, ids=label)
def test_strided_arrays_get_the_same_bits(case):
    """They are updated one at a time by the reference, whatever the backend."""
    flat, wide = new_params("bfloat16", [(64, 6)]), new_params("bfloat16", [(64, 12)])
    strided = [wide[0][:, ::2]]
    strided[0][...] = flat[0]
    first, second = (Adam(p, lr=0.125, **case) for p in (flat, strided))
    for step in range(3):
        first.step(new_grads("bfloat16", step, [(64, 6)]))
        second.step(new_grads("bfloat16", step, [(64, 6)]))
    assert_same_bits(strided[0], flat[0])
    for name, state in first.state[0].items():
        assert_same_bits(np.asarray(second.state[0][name]), np.asarray(state), name)


def test_a_mixed_model_has_masters_where_they_are_needed():
    params = [*new_params("bfloat16", [(40,)]), *new_params("float32", [(40,)])]
    opt = Adam(params, lr=0.125, master_weights=True)
    opt.step([*new_grads("bfloat16", 0, [(40,)]), *new_grads("float32", 0, [(40,)])])
    assert "master" in opt.state[0]
    assert "master" not in opt.state[1]
    assert opt.state[0]["master"].dtype == np.float32

"""Passes of rules outside of steps: the same bits on every backend as NumPy has."""

import numpy as np
import pytest

import gpuopt
from tests.helpers.exact import assert_same_bits
from tests.helpers.values import values

SHAPES = ((3, 50), (700,), ())
OPTIMIZERS = ("SGDScheduleFree", "AdamWScheduleFree", "RAdamScheduleFree", "SophiaG")
TAILS = {
    "plain": {},
    "masters": {"master_weights": True},
    "split16": {"master_weights": "split16"},
    "split8": {"master_weights": "split8"},
    "kahan": {"kahan_sum": True},
    "stochastic": {"stochastic_rounding": True, "seed": 3},
    "states in 16 bits": {"state_dtype": "bfloat16"},
    "states in 8 bits": {"state_dtype": "8bit", "min_8bit_size": 1},
    "both in 8 bits": {"master_weights": "split8", "state_dtype": "8bit", "min_8bit_size": 1},
    "tail": {
        "clip_value": 0.5,
        "ema_decay": 0.5,
        "zero_grads": True,
        "stats": True,
        "skip_nonfinite": True,
    },
}


def drawn(seed, dtype, layout="C", shapes=SHAPES):
    """Arrays of which no two are alike, in a memory layout."""
    found = []
    for i, shape in enumerate(shapes):
        array = values("ordinary", shape, dtype, 10 * seed + i)
        if layout != "C" and array.ndim:
            wide = np.zeros((*shape[:-1], 2 * shape[-1]), array.dtype)
            wide[..., ::2] = array
            array = wide[..., ::2]
        found.append(array)
    return found


def trained(backend, name, dtype, layout="C", shapes=SHAPES, **options):
    """All that some steps and passes leave; one array has a gradient in none of them."""
    options = {"betas": (0.5, 0.75)} | options if name != "SGDScheduleFree" else options
    params = drawn(0, dtype, layout, shapes)
    groups = [{"params": params[:1], "lr": 0.25}, {"params": params[1:]}]
    with gpuopt.use_backend(backend):
        optimizer = getattr(gpuopt, name)(groups, lr=0.5, **options)
        seen = []
        for step in range(1, 7):
            first, *rest = drawn(step, dtype, layout, shapes)
            grads = [[first], [*rest[:-1], None]]
            if name == "SophiaG":
                if step % 2:
                    optimizer.update_hessian(grads, scale=2.0)
                optimizer.step(grads)
            else:
                optimizer.train()
                optimizer.step(grads)
                if step % 2:
                    optimizer.eval()
            seen += [np.array(param) for param in params]
        states = optimizer.state_dict()["state"]
    return seen, states


def assert_same(mine, theirs):
    for one, other in zip(mine[0], theirs[0], strict=True):
        assert_same_bits(one, other)
    assert mine[1].keys() == theirs[1].keys()
    for key, held in theirs[1].items():
        assert mine[1][key].keys() == held.keys()
        for state, value in held.items():
            assert_same_bits(np.asarray(mine[1][key][state]), np.asarray(value))


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16", "float16"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_steps_and_passes(backend, name, dtype):
    assert_same(trained(backend, name, dtype), trained("numpy", name, dtype))


@pytest.mark.parametrize("tail", TAILS)
@pytest.mark.parametrize("name", ["AdamWScheduleFree", "SophiaG"])
def test_beside_a_tail(backend, name, tail):
    options = TAILS[tail]
    mine = trained(backend, name, "bfloat16", **options)
    assert_same(mine, trained("numpy", name, "bfloat16", **options))


@pytest.mark.parametrize("tail", ["masters", "kahan", "states in 8 bits"])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_of_other_dtypes_beside_a_tail(backend, dtype, tail):
    """Masters of float16, and states in 8 bits beside whole weights."""
    options = TAILS[tail]
    mine = trained(backend, "AdamWScheduleFree", dtype, **options)
    assert_same(mine, trained("numpy", "AdamWScheduleFree", dtype, **options))


@pytest.mark.parametrize("tail", ["plain", "both in 8 bits"])
@pytest.mark.parametrize("name", ["AdamWScheduleFree", "SophiaG"])
def test_arrays_of_several_chunks(backend, name, tail):
    """Whole ones, and a last one that is not."""
    options = {"shapes": ((3, 5500), (8192,), (1,)), **TAILS[tail]}
    mine = trained(backend, name, "bfloat16", **options)
    assert_same(mine, trained("numpy", name, "bfloat16", **options))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_arrays_with_gaps(backend, name):
    mine = trained(backend, name, "float32", "gaps")
    assert_same(mine, trained("numpy", name, "float32"))

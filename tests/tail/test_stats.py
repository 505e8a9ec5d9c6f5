"""Statistics are of what is stored, and of the last step; more of them in test_skip.py."""

import numpy as np
import pytest

import gpuopt
from gpuopt import SGD
from tests.tail.cases import STORED, label, new_grads, new_params
from tests.tolerances import assert_close

SHAPES = ((300,), (17, 5), (), (0,))
NOTHING = (0,) * 9


@pytest.mark.parametrize("backend", ["numpy", "llvm"])
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("around", [{}, {"ema_decay": 0.5}], ids=label)
@pytest.mark.parametrize("stored", STORED, ids=label)
def test_an_update_is_what_the_stored_weights_differ_by(stored, around, dtype, backend):
    """Also where most updates are too small for 16 bits."""
    params = new_params(dtype, SHAPES)
    master = [p.astype(np.float32) for p in params] if "master_weights" in stored else params
    with gpuopt.use_backend(backend):
        opt = SGD(params, lr=1e-3, stats=True, **stored, **around)
        for step in range(4):
            before = [np.asarray(p, np.float64) for p in master]
            opt.step(new_grads(dtype, step, SHAPES))
            held = (opt.state[i].get("master", p) for i, p in enumerate(params))
            master = [np.array(p) for p in held]
            for i, (old, now) in enumerate(zip(before, (m.astype(np.float64) for m in master))):
                stats = opt.stats()[i]
                assert_close(stats.update_norm, np.linalg.norm(now - old), "formula float32")
                assert_close(stats.update_max, np.abs(now - old).max(initial=0), "formula float32")
                assert_close(stats.param_norm, np.linalg.norm(now), "sum in another order")


@pytest.mark.parametrize("backend", ["numpy", "llvm"])
@pytest.mark.parametrize("around", [{}, {"clip_norm": 1.0}], ids=label)
@pytest.mark.parametrize("strided", [False, True])
def test_a_tensor_that_rests_has_none(around, strided, backend):
    """On every backend, in the table or not; and after a state dict was loaded nobody has."""
    second = np.ones(8, np.float32)[::2] if strided else np.ones(4, np.float32)
    with gpuopt.use_backend(backend):
        opt = SGD([np.ones(4, np.float32), second], lr=0.1, stats=True, **around)
        grads = [np.ones(4, np.float32), np.ones(4, np.float32)]
        opt.step(grads)
        assert opt.stats()[0] == opt.stats()[1] != NOTHING
        opt.step([grads[0], None])
        assert opt.stats()[0] != NOTHING == opt.stats()[1]
        opt.step([None, grads[1]])
        assert opt.stats()[1] != NOTHING == opt.stats()[0]
        opt.load_state_dict(opt.state_dict())
        assert opt.stats() == {0: NOTHING, 1: NOTHING}


@pytest.mark.parametrize("backend", ["numpy", "llvm"])
def test_a_gradient_in_another_memory_order_leaves_nothing_behind(backend):
    """It is measured on its own, and the next one in the table."""
    with gpuopt.use_backend(backend):
        opt = SGD([np.ones((4, 6), np.float32)], lr=0.1, stats=True, clip_norm=1e9)
        opt.step([np.full((6, 4), 3.0, np.float32).T])
        opt.step([np.ones((4, 6), np.float32)])
    assert opt.stats()[0].grad_norm == opt.grad_norm == 24**0.5

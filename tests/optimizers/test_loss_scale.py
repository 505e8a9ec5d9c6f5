"""`step(..., scale=...)`: the gradients of a loss that was multiplied are divided again."""

import ml_dtypes
import numpy as np
import pytest

import gpuopt
from tests.helpers.optimizers import VARIANTS, arrays, everything, frozen, gradients, make


def scaled(step, scale, dtype=np.float32):
    return [np.asarray(g * np.asarray(scale, g.dtype)) for g in gradients(step, dtype=dtype)]


@pytest.mark.parametrize(("name", "options"), VARIANTS)
@pytest.mark.parametrize("scale", [65536.0, 2.0**-10])
def test_powers_of_two_equal_a_division_by_hand(numpy_backend, name, options, scale):
    params, expected = arrays(0), arrays(0)
    optimizer, reference = make(name, params, **options), make(name, expected, **options)
    for step in range(3):
        optimizer.step(scaled(step, scale), scale=scale)
        reference.step(gradients(step))
        assert everything(optimizer, params) == everything(reference, expected)


def test_every_step_may_have_a_scale_of_its_own(backend):
    params, expected = arrays(0), arrays(0)
    optimizer, reference = gpuopt.Adam(params), gpuopt.Adam(expected)
    for step, scale in enumerate([1.0, 2.0, 1024.0, 0.5, 1.0, 2, np.float32(4), np.float16(8)]):
        optimizer.step(scaled(step, scale), scale=scale)
        reference.step(gradients(step))
        assert everything(optimizer, params) == everything(reference, expected)


def test_the_gradient_is_divided_not_multiplied(backend):
    """Gradient multiplied by the scale instead of divided (FlagGems)."""
    param = np.zeros(3, np.float32)
    gpuopt.SGD([param], lr=1.0).step([np.full(3, 8, np.float32)], scale=4.0)
    assert param.tolist() == [-2] * 3


def test_a_scale_of_one_changes_no_bit(backend):
    params, expected = arrays(0), arrays(0)
    gpuopt.Adam(params).step(gradients(0), scale=1.0)
    gpuopt.Adam(expected).step(gradients(0))
    assert [frozen(p) for p in params] == [frozen(p) for p in expected]


@pytest.mark.parametrize("kind", [float, np.float16, np.float32, np.float64, int, np.array])
def test_the_reciprocal_is_as_exact_as_float64(backend, kind):
    """Whatever kind of number the scale is: 1/3 of a float16 would be wrong in its 4th digit."""
    param = np.zeros(3, np.float32)
    gpuopt.SGD([param], lr=1.0).step([np.ones(3, np.float32)], scale=kind(3))
    assert param.tolist() == [-np.float32(1 / 3)] * 3


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16], ids=["float16", "bfloat16"])
def test_gradients_that_have_no_room_unscaled(backend, dtype):
    """The division is in float32: what underflows in 16 bits is not lost."""
    param = np.zeros(2, np.float32)
    grad = np.array([2.0**-14, 1.5 * 2.0**-14], dtype)
    gpuopt.SGD([param], lr=1.0).step([grad], scale=2.0**40)
    assert param.tolist() == [-(2.0**-54), -1.5 * 2.0**-54]


def test_scale_and_maximize_together(backend):
    param = np.zeros(3, np.float32)
    gpuopt.SGD([param], lr=1.0, maximize=True).step([np.full(3, 8, np.float32)], scale=4.0)
    assert param.tolist() == [2] * 3


def test_weight_decay_is_not_scaled(backend):
    """The gradient is unscaled first, the decay added then."""
    param = np.full(3, 4, np.float32)
    optimizer = gpuopt.SGD([param], lr=0.5, weight_decay=0.25)
    optimizer.step([np.full(3, 16, np.float32)], scale=8.0)
    assert param.tolist() == [4 - 0.5 * (2 + 1)] * 3


def test_the_scale_is_the_same_for_every_group_and_not_remembered(backend):
    params = [np.zeros(3, np.float32), np.zeros(3, np.float32)]
    optimizer = gpuopt.SGD([{"params": params[:1]}, {"params": params[1:], "lr": 2.0}], lr=1.0)
    grads = [[np.full(3, 4, np.float32)], [np.full(3, 4, np.float32)]]
    optimizer.step(grads, scale=4.0)
    assert [p.tolist() for p in params] == [[-1] * 3, [-2] * 3]
    optimizer.step(grads)
    assert [p.tolist() for p in params] == [[-5] * 3, [-10] * 3]
    assert "scale" not in optimizer.state_dict()["param_groups"][0]

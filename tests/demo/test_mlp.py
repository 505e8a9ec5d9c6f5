from math import log, sqrt

import numpy as np
import pytest

from gpuopt.demo import mlp
from tests.tolerances import assert_close

SIZES = (5, 7, 4, 3)


@pytest.fixture
def problem():
    """A network in float64, images and labels."""
    rng = np.random.default_rng(1)
    params = [param.astype(np.float64) for param in mlp.initialise(SIZES, seed=2)]
    params[1::2] = [rng.standard_normal(bias.shape) for bias in params[1::2]]
    return params, rng.random((6, SIZES[0])), rng.integers(0, SIZES[-1], 6)


def loss(params, images, labels):
    return mlp.cross_entropy(mlp.forward(params, images)[-1], labels)


def slope(problem, param, index, step=1e-6):
    """What the loss does when one number of a parameter moves."""
    params, images, labels = problem
    centre = params[param][index]
    sides = []
    for moved in (centre + step, centre - step):
        params[param][index] = moved
        sides.append(loss(params, images, labels))
    params[param][index] = centre
    return (sides[0] - sides[1]) / (2 * step)


@pytest.mark.parametrize("param", range(2 * (len(SIZES) - 1)))
def test_gradients_are_the_slopes_of_the_loss(problem, param):
    params, images, labels = problem
    grad = mlp.backward(params, mlp.forward(params, images), labels)[param]
    slopes = [slope(problem, param, index) for index in np.ndindex(grad.shape)]
    assert_close(grad.ravel(), slopes, "slope")


def test_a_gain_makes_all_weights_larger_and_leaves_the_biases_zero():
    ones, twice = mlp.initialise(SIZES, seed=0), mlp.initialise(SIZES, seed=0, gain=2.0)
    assert all((2 * one == two).all() for one, two in zip(ones, twice, strict=True))
    assert not any(bias.any() for bias in twice[1::2])


def test_gradients_match_the_parameters_one_by_one():
    params = mlp.initialise(SIZES, seed=0)
    images = np.ones((2, SIZES[0]), np.float32)
    grads = mlp.backward(params, mlp.forward(params, images), np.array([0, 1]))
    assert [g.shape for g in grads] == [p.shape for p in params]
    assert {array.dtype for array in params + grads} == {np.dtype(np.float32)}


def test_weights_are_as_wide_as_their_inputs_allow_and_biases_are_zero():
    params = mlp.initialise((400, 100, 10), seed=0)
    for weight, fan_in in ((params[0], 400), (params[2], 100)):
        error = 1 / sqrt(2 * weight.size)  # of a standard deviation that so many numbers give
        assert abs(weight.std() / sqrt(2 / fan_in) - 1) < 4 * error
    assert not params[1].any() and not params[3].any()


def test_the_seed_decides_the_weights():
    first, same, other = (mlp.initialise(SIZES, seed) for seed in (3, 3, 4))
    assert all((a == b).all() for a, b in zip(first, same, strict=True))
    assert (first[0] != other[0]).any()


def test_hidden_layers_are_rectified_and_the_logits_are_not():
    identity = np.eye(2, dtype=np.float32)
    zero = np.zeros(2, np.float32)
    images = np.array([[1.0, -2.0]], np.float32)
    values = mlp.forward([identity, zero, -identity, zero], images)
    assert [value.tolist() for value in values] == [[[1, -2]], [[1, 0]], [[-1, 0]]]


def test_the_loss_of_equal_logits_is_the_log_of_the_classes():
    logits = np.zeros((3, 8))
    assert mlp.cross_entropy(logits, np.array([0, 5, 7])) == log(8)


def test_huge_logits_do_not_overflow():
    logits = np.array([[1e30, 0.0], [0.0, 1e30]], np.float32)
    assert mlp.cross_entropy(logits, np.array([0, 1])) == 0
    assert mlp.cross_entropy(logits, np.array([1, 0])) == np.float32(1e30)


def test_accuracy_is_the_share_of_right_answers():
    logits = np.array([[2, 1], [0, 1], [3, 4], [5, 0]])
    assert mlp.accuracy(logits, np.array([0, 1, 0, 1])) == 0.5

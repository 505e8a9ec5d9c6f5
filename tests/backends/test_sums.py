"""Rules that need sums over a whole tensor first: the same on every backend, and over shards."""

import numpy as np
import pytest

import gpuopt
from gpuopt import RULES
from gpuopt.engine.step import FusedStep
from tests.helpers.exact import assert_same_bits
from tests.helpers.stepping import Problem, check, groups
from tests.helpers.values import values

SUMMING = [name for name, rule in RULES.items() if rule.sums]
SHAPES = [(5, 20), (7,), (130, 130), (1, 1), (40_000,), (3, 0)]
"""Below a chunk, above one of every backend, and without elements."""

CHANGES = ({"lr": 0.25, "weight_decay": 0.1}, {"lr": 0.5, "momentum": 0.5})


def problem(rule, rests=(), shapes=SHAPES):
    grads = [
        [
            None if (t, i) in rests else values("ordinary", shape, "float32", 100 * t + i)
            for i, shape in enumerate(shapes)
        ]
        for t in range(1, 4)
    ]
    params = [values("ordinary", shape, "float32", i) for i, shape in enumerate(shapes)]
    found = groups(rule, *CHANGES)
    return Problem(params, grads, found, [i % 2 for i in range(len(shapes))])


@pytest.mark.parametrize("rule", SUMMING)
def test_each_tensor_has_sums_of_its_own(backend, rule):
    check(backend, problem(rule, {(1, 0), (2, 4), (3, 1)}))


def gapped(array):
    wide = np.zeros((*array.shape[:-1], 2 * array.shape[-1]), array.dtype)
    wide[..., ::2] = array
    return wide[..., ::2]


@pytest.mark.parametrize("rule", SUMMING)
def test_an_array_with_gaps_has_the_sums_of_a_dense_one(backend, rule):
    check(backend, problem(rule, shapes=[(5, 20), (7,)]), lambda array, role: gapped(array))


@pytest.fixture
def counting():
    """A rule of lambdas that subtracts the number of a tensor's elements: a sum of ones."""
    name = "counting"
    gpuopt.register(
        name,
        lambda p, g, count: p - count,
        lambda step, of_ones, lr: (lr * of_ones,),
        hyperparameters={"lr": 1.0},
        sums=("of_ones",),
        summed=lambda g: (g - g + 1.0,),
    )
    yield name
    del RULES[name]


def test_elements_beyond_the_end_have_no_part(any_backend, counting):
    """A kernel computes them beside the others: of zeros, which is 1 here."""
    sizes = (1, 7, 31, 33, 130 * 130, 40_001)
    params = [np.zeros(size, np.float32) for size in sizes]
    with gpuopt.use_backend(any_backend):
        gpuopt.Optimizer(params, rule=counting).step([np.ones_like(p) for p in params])
    assert [np.unique(p).tolist() for p in params] == [[-float(size)] for size in sizes]


class TwoShards:
    """This process's shard, and one like it in another process."""

    whole = False

    def combine(self, partials):
        self.calls = getattr(self, "calls", 0) + 1
        return np.concatenate([2 * partials[..., :1], partials[..., 1:]], axis=-1)


@pytest.mark.parametrize("rule", SUMMING)
def test_sums_are_those_of_all_shards(any_backend, rule):
    """Two shards of the same values step as a tensor that has all of them twice."""
    half = [values("ordinary", (4, 30), "float32", i) for i in range(4)]
    params, whole = half[0].copy(), np.concatenate([half[0], half[0]])
    shards = TwoShards()
    one, all_ = (
        FusedStep([params], ["p"], [0], process_groups=[shards]),
        FusedStep([whole], ["p"], [0]),
    )
    (group,) = groups(rule, {"lr": 0.25, "weight_decay": 0.1})
    with gpuopt.use_backend(any_backend):
        for grad in half[1:]:
            one.run([grad], [group])
            all_.run([np.concatenate([grad, grad])], [group])
    assert shards.calls == 3
    assert_same_bits(params, whole[:4])
    assert_same_bits(params, whole[4:])


@pytest.mark.parametrize("rule", SUMMING)
def test_sums_are_no_part_of_a_checkpoint(rule):
    step = FusedStep([np.ones((2, 2), np.float32)], ["p"], [0])
    step.run([np.ones((2, 2), np.float32)], groups(rule))
    assert step.carried == [{}]

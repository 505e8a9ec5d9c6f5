"""Sizes around every boundary, empty tensors anywhere, many tensors, and tensors that rest."""

import importlib
import itertools

import numpy as np
import pytest
from gpuopt.kernels.numpy import blocks as numpy_blocked

from gpuopt import RULES
from gpuopt.engine.dispatch import BACKENDS
from tests.helpers.stepping import ALL_STAGES, Problem, check, groups, on_backend, random_problem

GROUPS = [ALL_STAGES, {"lr": 0.25, "weight_decay": 0.1}, {"lr": 0.0}]
EMPTY = [(0,), (0, 3), (2, 0, 5)]


def boundaries(backend):
    """Sizes one below, at and one above multiples of what the backend and NumPy take at once."""
    module = importlib.import_module(BACKENDS[backend].module)
    grains = {16, 64, 512, 1024, numpy_blocked.BLOCK, getattr(module, "CHUNK", 1)}
    around = {k * grain + d for grain in grains for k in (1, 2, 3) for d in (-1, 0, 1)}
    return sorted({0, 1, 2, 3, 5, 7, 8, 9, *around})


@pytest.mark.parametrize("dtypes", [("float32", "float32"), ("bfloat16", "float16")])
def test_boundaries(backend, dtypes):
    sizes = boundaries(backend)
    problem = random_problem("adam", [(n,) for n in sizes], dtypes=dtypes)
    check(backend, problem, labels=[f"{n} elements" for n in sizes])


def test_each_boundary_alone(backend):
    for n in boundaries(backend):
        check(backend, random_problem("momentum", [(n,)]), labels=[f"{n} elements"])


@pytest.mark.parametrize("shape", [(), (1,), (1, 1, 1), (2,), (1, 5, 1)])
def test_small_shapes(backend, shape):
    check(backend, random_problem("adam", [shape], steps=3))


@pytest.mark.parametrize("shapes", [[e] for e in EMPTY] + [EMPTY])
def test_nothing_but_empty_tensors(backend, shapes):
    check(backend, random_problem("adam", shapes))


@pytest.mark.parametrize("place", range(4))
@pytest.mark.parametrize("empty", EMPTY)
def test_an_empty_tensor_among_others(backend, place, empty):
    shapes = [(5,), (20_000,), (3, 7)]
    shapes.insert(place, empty)
    check(backend, random_problem("adam", shapes))


def test_empty_tensors_first_middle_and_last(backend):
    check(backend, random_problem("adam", [(0,), (0,), (9,), (0,), (40_000,), (4, 0)]))


def test_hundreds_of_tensors_in_several_groups(backend):
    rng = np.random.default_rng(0)
    shapes = [tuple(rng.integers(0, 12, rng.integers(0, 4)).tolist()) for _ in range(400)]
    shapes += [(33_000,), (16_384,), (70_000,)]
    check(backend, random_problem("adamw", shapes, *GROUPS))


@pytest.mark.parametrize("rule", RULES)
def test_groups_of_different_options(backend, rule):
    check(backend, random_problem(rule, [(40,)] * 7, *GROUPS, steps=3))


# --- tensors that rest -------------------------------------------------------------------------


def with_rests(problem, present):
    """The problem, with gradients only where ``present[step][tensor]``."""
    grads = [
        [g if there else None for g, there in zip(step, row)]
        for step, row in zip(problem.grads, present)
    ]
    return Problem(problem.params, grads, problem.groups, problem.group_of)


@pytest.mark.parametrize("rule", ["momentum", "adam", "adagrad"])
def test_every_pattern_of_rests_over_three_steps(backend, rule):
    patterns = list(itertools.product([True, False], repeat=3))
    problem = random_problem(rule, [(50,)] * len(patterns), *GROUPS, steps=3)
    present = list(zip(*patterns))
    check(backend, with_rests(problem, present), labels=[str(p) for p in patterns])


def test_a_step_without_any_gradient(backend):
    problem = random_problem("adam", [(50,), (0,)], steps=3)
    check(backend, with_rests(problem, [(False, False), (True, True), (False, False)]))


def test_a_tensor_rests_though_its_last_gradient_is_gone(any_backend):
    # The gradients of a step are freed before the next step: nothing may be read from there.
    problem = random_problem("adam", [(1000,), (1000,)], steps=4)
    present = [(True, True), (False, True), (False, False), (True, False)]
    check(any_backend, with_rests(problem, present))


def test_a_tensor_without_a_gradient_has_no_state_and_no_age(any_backend):
    problem = with_rests(random_problem("adam", [(3,), (3,)], steps=2), [(True, False)] * 2)
    outcome = on_backend(any_backend, problem)
    assert outcome.steps == [2, 0]
    assert outcome.states[1] == {}


def test_a_first_gradient_late_is_corrected_as_a_first_one(any_backend):
    # From zero, Adam's first step is lr * sign(g) but for eps, whenever it comes.
    lr = {"lr": 0.5, "eps": 0.0}
    grads = [[np.ones(4, np.float32), None]] * 5 + [[None, np.full(4, -3.0, np.float32)]]
    problem = Problem([np.zeros(4, np.float32)] * 2, grads, groups("adam", lr))
    assert on_backend(any_backend, problem).params[1].tolist() == [0.5] * 4


def test_a_tensor_changes_its_gradients_dtype_and_order(backend):
    shape = (30, 40)
    parts = [random_problem("adam", [shape], dtypes=("float32", d)) for d in ("float32", "float16")]
    grads = [
        parts[0].grads[0],
        parts[1].grads[0],
        [np.asfortranarray(parts[0].grads[1][0])],
        [None],
        parts[0].grads[1],
    ]

    def lay(array, role):
        return array.copy(order="K")

    check(backend, Problem(parts[0].params, grads, parts[0].groups), lay)

"""Steps over one problem: by a backend, by the reference, and by the rule on whole arrays."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import gpuopt
from gpuopt.engine.compose import compose, stages_for
from gpuopt.engine.step import FusedStep, Group
from tests.helpers.exact import assert_same_bits
from tests.helpers.values import DTYPES, values

REFERENCE = "numpy"

NEUTRAL = {"maximize": 0.0, "grad_factor": 1.0, "weight_decay": 0.0, "seed": 0.0}
ALL_STAGES = {"maximize": 1.0, "grad_factor": 0.375, "weight_decay": 0.03}


def groups(rule: str, *changes: dict[str, float], state_dtype: str | None = None) -> list[Group]:
    """One group for each dict of options (one with the defaults if there is none)."""
    found = gpuopt.RULES[rule]
    starts = dict.fromkeys(found.initial.values(), 0.0)
    options = [{**NEUTRAL, **starts, **found.hyperparameters, **c} for c in changes or ({},)]
    update = compose(found, stages_for(found, options))
    return [Group(update, o, state_dtype) for o in options]


@dataclass
class Problem:
    """Tensors and the gradients of some steps, as plain NumPy arrays.

    Attributes:
        params: where each tensor starts.
        grads: for each step, an array or None for each tensor.
        groups: what each group wants.
        group_of: the group of each tensor; without it all are in the first.
        states: where each tensor's states start; without it they are the optimizer's to make.
        steps: how many updates each tensor has had.
        carried: what each tensor carries to its first step here; without it where that starts.
        first: where the first element of each stands in the tensor that it is a part of.
    """

    params: Sequence[Any]
    grads: Sequence[Sequence[Any]]
    groups: Sequence[Group]
    group_of: Sequence[int] = ()
    states: Sequence[dict[str, Any]] = ()
    steps: Sequence[int] = ()
    carried: Sequence[dict[str, float]] = ()
    first: Sequence[int] = ()

    def __post_init__(self):
        n = len(self.params)
        self.group_of = self.group_of or [0] * n
        self.states = self.states or [{} for _ in range(n)]
        self.steps = self.steps or [0] * n
        self.carried = self.carried or [{} for _ in range(n)]
        self.first = self.first or [0] * n


@dataclass
class Outcome:
    """What the tensors have become.

    Attributes:
        params: each parameter.
        states: the states of each by name.
        steps: how many updates each has had.
        carried: what each carries to its next step.
        fused: what ran them, if anything did.
    """

    params: list[Any]
    states: list[dict[str, Any]]
    steps: list[int]
    carried: list[dict[str, float]]
    fused: FusedStep | None = field(default=None)


def on_backend(
    name: str, problem: Problem, lay: Callable[[Any, str], Any] = lambda array, role: array.copy()
) -> Outcome:
    """Run the steps on a backend.

    Args:
        name: of the backend.
        problem: stays as it is.
        lay: makes the array that gpuopt gets from a plain one and its role, "param", "grad" or
            "state".
    """
    params = [lay(p, "param") for p in problem.params]
    names = [f"params[{i}]" for i in range(len(params))]
    with gpuopt.use_backend(name):
        fused = FusedStep(params, names, problem.group_of)
        states = [{k: lay(s, "state") for k, s in held.items()} for held in problem.states]
        fused.load(problem.steps, states, problem.carried)
        for grads in problem.grads:
            given = [None if g is None else lay(g, "grad") for g in grads]
            fused.run(given, problem.groups)
            for grad, before in zip(given, grads):
                if grad is not None:
                    assert_same_bits(grad, before, "a gradient after the step")
        return Outcome(params, fused.states, fused.steps.tolist(), fused.carried, fused)


def on_whole_arrays(problem: Problem) -> Outcome:
    """Run the steps by calling the composed rule on whole arrays: nothing of a backend."""
    params = [p.copy() for p in problem.params]
    states = [{k: s.copy() for k, s in held.items()} for held in problem.states]
    steps = list(problem.steps)
    carried = [dict(numbers) for numbers in problem.carried]
    for grads in problem.grads:
        for i, grad in enumerate(grads):
            if grad is not None:
                steps[i] += 1
                group = problem.groups[problem.group_of[i]]
                update = _start(states[i], carried[i], params[i], group, i)
                own = (params[i], grad, states[i], steps[i], carried[i])
                params[i], states[i], carried[i] = _one(
                    update, group.options, *own, problem.first[i]
                )
    return Outcome(params, states, steps, carried)


def _start(states, carried, param, group, tensor):
    """Make the states and numbers that are missing, of the documented dtype and value."""
    rule = group.update.rule
    computed = "float64" if param.dtype == np.float64 else "float32"
    for name in rule.states:
        start = group.options.get(rule.initial.get(name), 0.0)
        dtype = DTYPES[computed if name in rule.wide else group.state_dtype or computed]
        states.setdefault(name, np.full(param.shape, start, dtype))
    update = group.update.for_states({name: states[name].dtype.name for name in rule.states})
    for name, number in zip(update.carried_names, update.carried_at_first(group.options, tensor)):
        carried.setdefault(name, number)
    return update


def _one(update, options, param, grad, states, step, carried, first):
    compute = np.float64 if param.dtype == np.float64 else np.float32
    names = update.rule.states
    with np.errstate(all="ignore"):
        given = [a.astype(compute) for a in (param, grad, *(states[n] for n in names))]
        element = first + np.arange(param.size).reshape(param.shape)
        given += [element] * len(update.random_streams)
        numbers = update.coefficients(step, options, [carried[n] for n in update.carried_names])
        n = len(numbers) - len(carried)
        coefficients = np.array(numbers[:n]).astype(compute)
        param_, *states_ = update.function(*given, *coefficients)
        return (
            _stored(param_, param.dtype),
            {n: _stored(s, states[n].dtype) for n, s in zip(names, states_)},
            dict(zip(carried, numbers[n:])),
        )


def _stored(result, dtype):
    """Round as the documentation says: float64 goes to the 16-bit types by way of float32."""
    narrow = np.asarray(result).astype(np.float32) if dtype.itemsize == 2 else np.asarray(result)
    return narrow.astype(dtype)


def assert_same_outcome(actual: Outcome, expected: Outcome, labels: Sequence[str] = ()):
    """Fail at the first parameter, state or step count that differs; ``labels`` name tensors."""
    for i, before in enumerate(expected.params):
        label = labels[i] if labels else f"tensor {i}"
        assert_same_bits(actual.params[i], before, f"{label}, the parameter")
        assert set(actual.states[i]) == set(expected.states[i]), label
        for name, state in expected.states[i].items():
            assert_same_bits(actual.states[i][name], state, f"{label}, {name}")
    assert actual.steps == expected.steps
    for i, numbers in enumerate(expected.carried):
        assert list(actual.carried[i]) == list(numbers)
        assert_same_bits(np.array([*actual.carried[i].values()]), np.array([*numbers.values()]))


def check(
    backend: str,
    problem: Problem,
    lay: Callable[[Any, str], Any] = lambda array, role: array.copy(),
    labels: Sequence[str] = (),
) -> None:
    """Fail unless the backend, the reference and the rule on whole arrays agree in every bit."""
    expected = on_whole_arrays(problem)
    for name in dict.fromkeys((REFERENCE, backend)):
        try:
            assert_same_outcome(on_backend(name, problem, lay), expected, labels)
        except AssertionError as error:
            raise AssertionError(f"backend {name}: {error}") from error


def random_problem(
    rule: str,
    shapes: Sequence[tuple[int, ...]],
    *changes: dict[str, float],
    dtypes: tuple[str, str] = ("float32", "float32"),
    state_dtype: str | None = None,
    kind: str = "ordinary",
    steps: int = 2,
) -> Problem:
    """A problem over tensors of the shapes, the groups taking turns."""
    param, grad = dtypes
    return Problem(
        [values(kind, shape, param, i) for i, shape in enumerate(shapes)],
        [
            [values(kind, shape, grad, 1000 * t + i) for i, shape in enumerate(shapes)]
            for t in range(1, steps + 1)
        ],
        groups(rule, *changes, state_dtype=state_dtype),
        [i % max(len(changes), 1) for i in range(len(shapes))],
    )

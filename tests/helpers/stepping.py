"""Steps over a problem by a backend, by the reference, and by the rule on whole arrays."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from gpuopt.kernels.roundings import STREAM

import gpuopt
from gpuopt.engine.compose import compose, stages_for
from gpuopt.engine.step import FusedStep, Group
from gpuopt.rules.rule import next_name
from tests.helpers.exact import assert_same_bits
from tests.helpers.literals import as_written
from tests.helpers.values import DTYPES, values

REFERENCE = "numpy"

NEUTRAL = {"maximize": 0.0, "grad_factor": 1.0, "weight_decay": 0.0, "seed": 0.0}
ALL_STAGES = {"maximize": 1.0, "grad_factor": 0.375, "weight_decay": 0.03}


def groups(rule: str, *changes: dict[str, float], state_dtype: str | None = None) -> list[Group]:
    """Return a group for each dict of options; a default group if there is none."""
    found = gpuopt.RULES[rule]
    starts = dict.fromkeys(found.initial.values(), 0.0)
    options = [{**NEUTRAL, **starts, **found.hyperparameters, **c} for c in changes or ({},)]
    update = compose(found, stages_for(found, options))
    return [Group(update, o, state_dtype) for o in options]


@dataclass
class Problem:
    """Tensors and the gradients of some steps, as NumPy arrays.

    Attributes:
        params: the initial values of each tensor.
        grads: for each step, an array or None for each tensor.
        groups: update and options of each group.
        group_of: the group of each tensor; the first by default.
        states: the initial states of each tensor; by default, the optimizer creates them.
        steps: the initial step count of each tensor.
        carried: the initial carried numbers of each tensor; by default those of the rule.
        first: the index of each shard's first element in its tensor.
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
    """The result of the steps.

    Attributes:
        params: each parameter.
        states: the states of each, by name.
        steps: the step count of each.
        carried: the carried numbers of each.
        fused: the step that ran, on a backend.
        shared: what all tensors shared after each step.
    """

    params: list[Any]
    states: list[dict[str, Any]]
    steps: list[int]
    carried: list[dict[str, float]]
    fused: FusedStep | None = field(default=None)
    shared: Sequence[dict[str, float]] = ()


def on_backend(
    name: str, problem: Problem, lay: Callable[[Any, str], Any] = lambda array, role: array.copy()
) -> Outcome:
    """Run the steps on a backend.

    Args:
        name: of the backend.
        problem: is not changed.
        lay: converts a plain array and its role, "param", "grad" or "state", to the array that
            gpuopt gets.
    """
    params = [lay(p, "param") for p in problem.params]
    names = [f"params[{i}]" for i in range(len(params))]
    with gpuopt.use_backend(name):
        fused = FusedStep(params, names, problem.group_of)
        states = [{k: lay(s, "state") for k, s in held.items()} for held in problem.states]
        fused.load(problem.steps, states, problem.carried)
        shared = []
        for grads in problem.grads:
            given = [None if g is None else lay(g, "grad") for g in grads]
            fused.run(given, problem.groups)
            for grad, before in zip(given, grads):
                if grad is not None:
                    assert_same_bits(grad, before, "a gradient after the step")
            shared.append(fused.shared)
        return Outcome(params, fused.states, fused.steps.tolist(), fused.carried, fused, shared)


def on_whole_arrays(problem: Problem, shared: Sequence[dict[str, float]] = ()) -> Outcome:
    """Run the steps by calling the composed rule on whole arrays, without a backend.

    Args:
        problem: is not changed.
        shared: what all tensors share after each step. It comes from sums over all tensors, whose
            order is a backend's own: test_totals.py compares these.
    """
    params = [p.copy() for p in problem.params]
    states = [{k: s.copy() for k, s in held.items()} for held in problem.states]
    steps = list(problem.steps)
    carried = [dict(numbers) for numbers in problem.carried]
    for step, grads in enumerate(problem.grads):
        for i, grad in enumerate(grads):
            if grad is not None:
                steps[i] += 1
                group = problem.groups[problem.group_of[i]]
                update = _start(states[i], carried[i], params[i], group, i)
                own = (params[i], grad, states[i], steps[i], carried[i])
                options = {**group.options, **_shared_in(step, problem, shared)}
                params[i], states[i], carried[i] = _one(update, options, *own, problem.first[i])
    for i, numbers in enumerate(carried):
        numbers.update({n: shared[-1][n] for n in _rule_of(problem).shared if steps[i]})
    return Outcome(params, states, steps, carried)


def _rule_of(problem):
    return problem.groups[0].update.rule


def _shared_in(step, problem, shared):
    """The shared numbers before a step, and behind it under names of their own."""
    rule, options = _rule_of(problem), problem.groups[0].options
    if not rule.shared:
        return {}
    first = {name: options.get(start, start) for name, start in rule.shared.items()}
    before = shared[step - 1] if step else first
    return {n: before[n] for n in first} | {next_name(n): shared[step][n] for n in first}


def _start(states, carried, param, group, tensor):
    """Create missing states and carried numbers with the documented dtypes and values."""
    rule = group.update.rule
    computed = "float64" if param.dtype == np.float64 else "float32"
    small = rule.not_in_float16 if group.state_dtype == "float16" else ()
    for name in rule.states:
        start = group.options.get(rule.initial.get(name), 0.0)
        narrow = name not in (*rule.wide, *small)
        dtype = DTYPES[group.state_dtype if narrow and group.state_dtype else computed]
        values = param if name in rule.copies else np.full(param.shape, start)
        states.setdefault(name, values.astype(dtype))
    update = group.update.for_states({name: states[name].dtype.name for name in rule.states})
    for name, number in zip(update.kept_names, update.carried_at_first(group.options, tensor)):
        carried.setdefault(name, number)
    return update


def _one(update, options, param, grad, states, step, carried, first):
    compute = np.float64 if param.dtype == np.float64 else np.float32
    names = update.rule.states
    with np.errstate(all="ignore"):
        given = [a.astype(compute) for a in (param, grad, *(states[n] for n in names))]
        element = first + np.arange(param.size).reshape(param.shape)
        given += [element + stream * STREAM for stream in update.random_streams]
        own = [carried[n] for n in update.kept_names]
        facts = {"ndim": param.ndim, "size": param.size}
        own += [facts[n] for n in update.rule.facts]
        own += _sums(update, options, given, step, own, compute)
        numbers = update.coefficients(step, options, own)
        n = len(numbers) - len(own)
        coefficients = np.array(numbers[:n]).astype(compute)
        read = [given[i] for i in update.read] + given[2 + len(names) :]
        results = as_written(update.function, compute)(*read, *coefficients)
        changed = dict(zip(update.rule.results, results))
        param_ = changed.pop("p")
        return (
            _stored(param_, param.dtype),
            states | {n: _stored(s, states[n].dtype) for n, s in changed.items()},
            carried | dict(zip(update.kept_names, numbers[n:])),
        )


def _sums(update, options, given, step, own, compute):
    """The sums of squares that the coefficients take."""
    sums = update.sums
    if sums is None:
        return []
    numbers = update.coefficients(step, options, [*own, *(1.0 for _ in sums.watched_names)])
    coefficients = np.array(numbers[: len(update.coefficient_names)]).astype(compute)
    read = [given[row] for row in sums.read]
    found = as_written(sums.function, compute)(*read, *coefficients)
    return [float(np.sum(np.square(x, dtype=np.float64))) for x in found]


def _stored(result, dtype):
    """Round as documented: float64 is rounded to float32 before a 16-bit dtype."""
    narrow = np.asarray(result).astype(np.float32) if dtype.itemsize == 2 else np.asarray(result)
    return narrow.astype(dtype)


def assert_same_outcome(actual: Outcome, expected: Outcome, labels: Sequence[str] = ()):
    """Fail at the first difference of a parameter, state or step count."""
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
    """Fail unless backend, reference and rule on whole arrays give the same bits."""
    for name in dict.fromkeys((REFERENCE, backend)):
        try:
            actual = on_backend(name, problem, lay)
            expected = on_whole_arrays(problem, actual.shared)
            assert_same_outcome(actual, expected, labels)
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
    """Return a random problem; tensors are assigned to the groups in turn."""
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

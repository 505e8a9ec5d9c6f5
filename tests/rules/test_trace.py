"""Tracing and retargeting: what a rule computes, as data, is what the rule computes."""

from inspect import signature

import numpy as np
import pytest
from gpuopt.kernels.trace.coefficients import trace_coefficients
from gpuopt.kernels.trace.operations import (
    COMPARISONS,
    FUNCTIONS,
    OPERATORS,
    Operation,
    RuleError,
    trace,
)
from gpuopt.kernels.trace.retarget import retarget

from gpuopt import RULES
from gpuopt.engine.compose import compose
from gpuopt.rules import power, real_power
from gpuopt.rules.stages import DECOUPLED_DECAY, L2_DECAY, SCALE_GRADIENT
from tests.helpers.bits import assert_same_bits
from tests.helpers.literals import as_written
from tests.helpers.values import values

STAGES = {
    "alone": (),
    "behind L2": (SCALE_GRADIENT, L2_DECAY),
    "behind decoupled decay": (SCALE_GRADIENT, DECOUPLED_DECAY),
}


def traced(function):
    return trace(function, tuple(signature(function).parameters))


def replay(record, arguments, number=np.float32):
    """Run a trace as a C compiler would: one operation after the other."""
    operators = {
        "power": power,
        "real_power": real_power,
        "number": lambda x: x,
        "+": np.add,
        "-": np.subtract,
        "*": np.multiply,
        "-x": np.negative,
        "<": np.less,
        "<=": np.less_equal,
        ">": np.greater,
        ">=": np.greater_equal,
        "==": np.equal,
        "!=": np.not_equal,
    }
    assert set(operators) == {*OPERATORS, "power", "real_power", "number"}
    known = dict(arguments)
    for o in record.operations:
        function = operators.get(o.name) or getattr(np, o.name)
        operands = [known[x] if isinstance(x, str) else number(x) for x in o.operands]
        known[o.result] = function(*operands)
    return [known[name] for name in record.results]


@pytest.mark.parametrize("stages", STAGES)
@pytest.mark.parametrize("name", RULES)
def test_a_replayed_trace_gives_the_bits_of_the_function(name, stages):
    update = compose(RULES[name], STAGES[stages])
    names = tuple(signature(update.function).parameters)
    n_values = len(update.read)
    arguments = dict(zip(names, (values("mixed", (999,), "float32", i) for i in range(n_values))))
    coefficients = np.random.default_rng(1).uniform(0.1, 0.9, len(names) - n_values)
    arguments.update(zip(names[n_values:], coefficients.astype(np.float32)))
    with np.errstate(all="ignore"):
        expected = as_written(update.function, "float32")(*arguments.values())
        actual = replay(trace(update.function, names), arguments)
    assert len(actual) == len(expected) == len(update.written) + update.n_plain
    for one, other in zip(actual, expected):
        assert_same_bits(one, other)


def test_the_values_of_the_replay_are_hostile():
    drawn = values("mixed", (999,), "float32")
    assert np.isnan(drawn).any() and np.isinf(drawn).any() and (drawn == 0).any()
    assert (np.abs(drawn[drawn != 0]) < np.finfo(np.float32).tiny).any()


def test_the_trace_of_gradient_descent():
    assert traced(RULES["gradient_descent"].update).operations == [
        Operation("*", ("lr", "g"), "t0"),
        Operation("-", ("p", "t0"), "t1"),
    ]
    assert traced(RULES["gradient_descent"].update).results == ("t1",)


ROOTS = {"adadelta": 2}  # of a quotient that may leave the range that its root is in


@pytest.mark.parametrize("name", RULES)
def test_an_element_costs_at_most_one_division_and_one_root(name):
    names = [o.name for o in traced(RULES[name].update).operations]
    assert names.count("divide") <= 1
    assert names.count("sqrt") <= ROOTS.get(name, 1)


@pytest.mark.parametrize("name", RULES)
def test_every_coefficient_and_state_is_used(name):
    used = {x for o in traced(RULES[name].update).operations for x in o.operands}
    assert set(signature(RULES[name].update).parameters) <= used


RECORDED = [
    (lambda a, b: a + b, ("+", "a", "b")),
    (lambda a, b: a - b, ("-", "a", "b")),
    (lambda a, b: a * b, ("*", "a", "b")),
    (lambda a, b: -b, ("-x", "b")),
    (lambda a, b: 2.0 + a, ("+", 2.0, "a")),
    (lambda a, b: 1.0 - a, ("-", 1.0, "a")),
    (lambda a, b: a - 1.0, ("-", "a", 1.0)),
    (lambda a, b: -0.5 * a, ("*", -0.5, "a")),
    (lambda a, b: np.divide(a, b), ("divide", "a", "b")),
    (lambda a, b: np.sqrt(b), ("sqrt", "b")),
    (lambda a, b: np.abs(b), ("abs", "b")),
    (lambda a, b: np.maximum(a, 0.0), ("maximum", "a", 0.0)),
    (lambda a, b: np.minimum(0.0, b), ("minimum", 0.0, "b")),
]


@pytest.mark.parametrize(("function", "expected"), RECORDED, ids=[str(e) for _, e in RECORDED])
def test_an_operation_is_recorded_in_its_order(function, expected):
    name, *operands = expected
    assert traced(function).operations == [Operation(name, tuple(operands), "t0")]


CONDITIONS = [
    (lambda a, b: np.where(a < b, a, b), ("<", "a", "b")),
    (lambda a, b: np.where(a <= b, a, b), ("<=", "a", "b")),
    (lambda a, b: np.where(a > b, a, b), (">", "a", "b")),
    (lambda a, b: np.where(a >= b, a, b), (">=", "a", "b")),
    (lambda a, b: np.where(a == b, a, b), ("==", "a", "b")),
    (lambda a, b: np.where(a != b, a, b), ("!=", "a", "b")),
    (lambda a, b: np.where(a > 0.0, a, b), (">", "a", 0.0)),
]


@pytest.mark.parametrize(("function", "expected"), CONDITIONS, ids=[str(e) for _, e in CONDITIONS])
def test_a_condition_is_recorded_before_what_depends_on_it(function, expected):
    name, *operands = expected
    assert traced(function).operations == [
        Operation(name, tuple(operands), "t0"),
        Operation("where", ("t0", "a", "b"), "t1"),
    ]


def test_the_tables_above_know_every_operation():
    seen = {expected[0] for _, expected in (*RECORDED, *CONDITIONS)} | {"where"}
    assert seen == {*OPERATORS, *FUNCTIONS}
    assert {expected[0] for _, expected in CONDITIONS} == set(COMPARISONS)


def test_a_result_may_be_an_argument():
    assert traced(lambda a, b: (b, a)).results == ("b", "a")


def square(x):
    return x * x


def test_a_called_function_is_traced_into():
    assert traced(lambda a: square(a + 1.0)).operations == [
        Operation("+", ("a", 1.0), "t0"),
        Operation("*", ("t0", "t0"), "t1"),
    ]


@pytest.mark.parametrize("exact", [0.0, -0.0, 0.5, -3.0, 1.0 + 2.0**-23, 2.0**127, 2.0**-149])
def test_a_number_that_float32_holds_is_recorded(exact):
    assert trace(times(exact), ("a",)).operations == [Operation("*", ("a", exact), "t0")]


@pytest.mark.parametrize("inexact", [0.1, 1.0 + 2.0**-24, 2.0**128, 2.0**-150])
def test_a_number_that_float32_does_not_hold_is_refused(inexact):
    with pytest.raises(RuleError, match="the constant"):
        trace(times(inexact), ("a",))


def times(number):
    """A rule with a number in its code."""
    names = {}
    exec(f"def times(a):\n    return a * {number!r}", names)
    return names["times"]


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("change", [-1, 1])
def test_a_wrong_number_of_arguments_is_refused(name, change):
    names = {"np": np}
    given = ", ".join("a" * (FUNCTIONS[name] + change))
    exec(f"def wrong(a):\n    return np.{name}({given})", names)
    with pytest.raises(RuleError, match=rf"np\.{name} with {FUNCTIONS[name] + change} arguments"):
        trace(names["wrong"], ("a",))


@pytest.mark.parametrize("thing", [np.add, 3, None, "adam"])
def test_only_a_python_function_can_be_traced(thing):
    with pytest.raises(RuleError, match="expected a Python function"):
        trace(thing, ())


maximum = 0.5


def test_numbers_of_other_names_do_not_matter():
    """A module may have a number called maximum: np.maximum is not it."""
    assert maximum == 0.5
    assert len(traced(lambda a, b: np.maximum(a, b)).operations) == 1


# --- coefficients -----------------------------------------------------------------------------

STEPS = [1, 2, 3, 1000, 2**24 + 1, 2**53 - 1]


@pytest.mark.parametrize("stages", STAGES)
@pytest.mark.parametrize("name", RULES)
def test_replayed_coefficients_are_those_of_the_function(name, stages):
    update = compose(RULES[name], STAGES[stages])
    n = len(update.carried_names)
    names = [f"a{i}" for i in range(1 + n + len(update.option_names))]  # ASGD has a t0 of its own
    traced = trace_coefficients(update.coefficients_function, tuple(names), step="a0")
    drawn = np.random.default_rng(2).uniform(0.1, 1.0, (20, len(names) - 1))
    for step in STEPS:
        for numbers in drawn.tolist():
            arguments = dict(zip(names, (step, *numbers)))
            options = dict(zip(update.option_names, numbers[n:]))
            expected = update.coefficients(step, options, numbers[:n])
            assert tuple(map(float, replay(traced, arguments, np.float64))) == expected


COEFFICIENTS = [
    (lambda step, lr: (lr,), [], ("lr",)),
    (lambda step, lr: (lr * 0.1,), [("*", "lr", 0.1)], ("t0",)),
    (lambda step, lr: (1 - lr,), [("-", 1.0, "lr")], ("t0",)),
    (lambda step, lr: (power(lr, step),), [("power", "lr", "step")], ("t0",)),
    (lambda step, lr: (power(0.9, step),), [("power", 0.9, "step")], ("t0",)),
    (lambda step, lr: (real_power(lr, step),), [("real_power", "lr", "step")], ("t0",)),
    (lambda step, lr: (real_power(0.96, lr),), [("real_power", 0.96, "lr")], ("t0",)),
    (lambda step, lr: (real_power(lr, 0.75),), [("real_power", "lr", 0.75)], ("t0",)),
    (
        lambda step, lr: (power(lr, step + 1),),
        [("+", "step", 1.0), ("power", "lr", "t0")],
        ("t1",),
    ),
    (
        lambda step, lr: (np.where(step == 1, 0.1, 0.2),),
        [("==", "step", 1.0), ("where", "t0", 0.1, 0.2)],
        ("t1",),
    ),
    (lambda step, lr: (0.3, lr, 2), [("number", 0.3), ("number", 2.0)], ("t0", "lr", "t1")),
]
"""Functions of coefficients, what is recorded of them, and their results."""


@pytest.mark.parametrize(("function", "operations", "results"), COEFFICIENTS)
def test_what_coefficients_may_be(function, operations, results):
    traced = trace_coefficients(function, ("step", "lr"))
    assert [(o.name, *o.operands) for o in traced.operations] == operations
    assert traced.results == results
    assert traced.packed


@pytest.mark.parametrize("thing", [np.add, 3, None])
def test_coefficients_must_be_a_python_function(thing):
    with pytest.raises(RuleError, match="expected a Python function"):
        trace_coefficients(thing, ())


# --- retarget ---------------------------------------------------------------------------------


class Doubling:
    """A library whose root is twice its argument."""

    @staticmethod
    def sqrt(x):
        return 2 * x


def rooted(x):
    return np.sqrt(x) + np.sqrt(4.0)


def calling(x):
    return rooted(x) * 0.5


def test_np_is_another_library_in_the_copy_and_in_what_it_calls():
    assert retarget(rooted, Doubling)(3.0) == 6.0 + 8.0
    assert retarget(calling, Doubling)(3.0) == (6.0 + 8.0) * 0.5


def test_the_original_stays_what_it_is():
    retarget(calling, Doubling, literal=lambda value: value + 1)
    assert calling(9.0) == 2.5


def test_literals_are_converted_in_the_code_and_in_callees():
    seen = []
    retarget(calling, np, literal=lambda value: seen.append(value) or value)
    assert sorted(seen) == [0.5, 4.0]
    assert type(retarget(calling, np, literal=np.float32)(np.float32(9))) is np.float32


def test_copies_are_wrapped_the_innermost_first():
    wrapped = []
    retarget(calling, np, wrap=lambda function: wrapped.append(function.__name__) or function)
    assert wrapped == ["rooted", "calling"]


def test_further_names_are_seen():
    assert retarget(calling, np, extra_globals={"rooted": abs})(-3.0) == 1.5

import numpy as np
import pytest
from gpuopt.kernels.numpy import blocks as numpy_blocked
from gpuopt.kernels.trace.numpy_calls import CALLS, program
from gpuopt.kernels.trace.operations import FUNCTIONS, OPERATORS, ROUNDINGS

from gpuopt.engine.compose import compose, stages_for
from gpuopt.rules.registry import RULES, Rule
from tests.helpers.exact import assert_same_bits
from tests.helpers.stepping import ALL_STAGES, NEUTRAL


def swap(p, g, a, b):
    return b, p, g


def read_late(p, g, a, b):
    new = p - g
    return new, np.where(p > 0.0, -0.0, a), p * a + new


def keeps_all(p, g, a, b):
    return p, a, b


def dead_end(p, g, a, b):
    np.sqrt(np.abs(p))
    return a + b, np.maximum(p, g), np.abs(-b)


def reads_results(p, g, a, b):
    a = p + g
    b = a * g
    return b - g, a, b


def nothing(step):
    return ()


FUNCTIONS_OF_FOUR = [swap, read_late, keeps_all, dead_end, reads_results]


def update_of(function):
    return compose(Rule(function.__name__, function, nothing, ("a", "b"), {}, False, {}))


def run(function):
    """What one block becomes, and what the function itself makes of the same values."""
    update = update_of(function)
    start = np.random.default_rng(0).standard_normal((4, 70_000)).astype(np.float32)
    arrays = list(start.copy())
    numpy_blocked.run(update, arrays, ("float32",) * 4, np.zeros(0, np.float32))
    return [arrays[i] for i in update.written], function(*start)


@pytest.mark.parametrize("function", FUNCTIONS_OF_FOUR)
def test_a_result_never_overwrites_what_is_still_read(function):
    for actual, expected in zip(*run(function)):
        assert_same_bits(actual, np.asarray(expected, np.float32), function.__name__)


@pytest.mark.parametrize("function", FUNCTIONS_OF_FOUR)
def test_a_result_that_waits_to_be_stored_is_not_overwritten(function):
    """As where it is stored in another dtype than it is computed in."""
    compiled = program(update_of(function), "float32", ())
    start = np.random.default_rng(0).standard_normal((4, 100)).astype(np.float32)
    scratch = [np.empty(100, dtype) for dtype in compiled.scratch]
    for actual, expected in zip(compiled.function(*start, *scratch), function(*start)):
        assert_same_bits(actual, np.asarray(expected, np.float32), function.__name__)


@pytest.mark.parametrize("rule", RULES)
def test_the_results_are_written_where_they_belong(rule):
    rule = RULES[rule]
    options = {**NEUTRAL, **rule.hyperparameters, **ALL_STAGES}
    update = compose(rule, stages_for(rule, [options]))
    compiled = program(update, "float32", update.written)
    # Few enough that they stay in a core's cache beside the values; a mask is a quarter of one.
    # These have one more: the difference that tells whether their denominator is finite.
    more = update.rule.name in ("nadamw", "ademamix", "adan_no_prox")
    more += update.n_plain  # what totals are made of
    assert compiled.scratch.count("float32") <= 4 + more
    assert compiled.scratch.count("bool") <= 2


def test_every_operation_of_a_trace_has_a_call():
    assert set(CALLS) == {*FUNCTIONS, *OPERATORS, *ROUNDINGS, "copy"}

"""What Triton reads in the place of a rule: the same function, in other words."""

import inspect

import numpy as np
import pytest
from gpuopt.kernels.triton.source import rewritten

from gpuopt import RuleError


def unchanged(function):
    return function


@unchanged
def rule(p, g, factor=0.5):
    """Twice 2.0."""
    for _ in range(2):
        p = p - 3 * g
    pair = (p, -g)
    return np.where(g > -0.0, -pair[0] * 1e-3, -(p * factor)), True


REWORDED = '''\
def rule(p, g, factor=0.5):
    """Twice 2.0."""
    for _ in range(2):
        p = p - np.literal(3.0) * g
    pair = (p, np.literal(-1.0) * g)
    return (np.where(g > np.literal(-1.0) * np.literal(0.0), \
np.literal(-1.0) * pair[0] * np.literal(0.001), np.literal(-1.0) * (p * factor)), True)
'''


def test_numbers_and_minus_are_rewritten():
    found = rewritten(rule)
    assert inspect.getsource(found) == REWORDED
    assert (found.__module__, found.__qualname__) == (rule.__module__, rule.__qualname__)


def test_a_lambda_becomes_a_function_of_a_name_of_its_own():
    twice, thrice = (lambda p, k=1: -2.0 * p), (lambda p, k=1: -3.0 * p)
    found = [rewritten(function) for function in (twice, thrice)]
    assert [f.__name__.split("_")[0] for f in found] == ["lambda"] * 2
    assert len({f.__qualname__ for f in found}) == 2
    assert all("<lambda>" not in f.__qualname__ for f in found)
    for function, factor in zip(found, ("2.0", "3.0")):
        text = inspect.getsource(function).splitlines()
        assert text[0].endswith("(p, k=1):")
        assert text[1] == f"    return np.literal(-1.0) * np.literal({factor}) * p"


def test_a_function_without_a_text_of_its_own_is_refused():
    names = {}
    exec("def written(p): return p\nshort = lambda p: p", names)
    for function in (names["written"], names["short"]):
        with pytest.raises(RuleError, match=r"of (written|<lambda>) cannot be read: define it"):
            rewritten(function)

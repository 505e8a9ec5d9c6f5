"""The cases of this folder reach every optimizer, every rule and every option."""

import inspect
from dataclasses import fields

import pytest

from gpuopt import Tail
from gpuopt.rules.definitions import DEFINITIONS
from tests.helpers.optimizers import OPTIMIZERS, OPTIONS, make, options_of
from tests.helpers.optimizers import arrays as new_arrays


def defaults_of(name):
    """The defaults in a constructor's signature, but those of a tail."""
    parameters = inspect.signature(OPTIMIZERS[name]).parameters.values()
    tail = [field.name for field in fields(Tail)]
    return {p.name: p.default for p in parameters if p.name not in ("params", *tail)}


def test_every_optimizer_has_cases():
    assert set(OPTIONS) == set(OPTIMIZERS)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_cases_of_an_optimizer_reach_every_rule_of_it(name):
    optimizers = [make(name, new_arrays(0), **options) for options in OPTIONS[name]]
    definition = DEFINITIONS[name]
    reached = {definition.rule_for(o.param_groups[0]).name for o in optimizers}
    assert reached == set(definition.rules.values())


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_cases_of_an_optimizer_change_every_option(name):
    for option, default in defaults_of(name).items():
        assert any(case.get(option, default) != default for case in OPTIONS[name]), option


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_signature_is_that_of_the_definition(name):
    assert defaults_of(name) == {**DEFINITIONS[name].defaults, "state_dtype": None}
    assert options_of(name) == list(DEFINITIONS[name].defaults)

"""The cases of this folder reach every optimizer, every rule and every option."""

import inspect

import pytest

from tests.helpers.optimizers import ALL_OPTIONS, OPTIMIZERS, OPTIONS, make, options_of
from tests.helpers.optimizers import arrays as new_arrays


def defaults_of(name):
    parameters = inspect.signature(OPTIMIZERS[name]).parameters.values()
    return {p.name: p.default for p in parameters if p.name not in ("params", "tail")}


def test_every_optimizer_has_cases():
    assert set(OPTIONS) == set(OPTIMIZERS)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_cases_of_an_optimizer_reach_every_rule_of_it(name):
    optimizers = [make(name, new_arrays(0), **options) for options in OPTIONS[name]]
    reached = {o.rule_for(o.param_groups[0]).name for o in optimizers}
    assert reached == set(OPTIMIZERS[name].variants.values())


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_cases_of_an_optimizer_change_every_option(name):
    for option, default in defaults_of(name).items():
        assert any(case.get(option, default) != default for case in OPTIONS[name]), option


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_option_is_known_to_the_tests_of_bad_options(name):
    assert set(options_of(name)) <= ALL_OPTIONS
    assert set(defaults_of(name)) - set(options_of(name)) <= {"state_dtype"}

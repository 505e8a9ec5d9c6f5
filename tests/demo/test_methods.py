import numpy as np
import pytest

from gpuopt import RULES
from gpuopt.demo.methods import BETA2, DEFAULT, METHODS, chosen
from gpuopt.demo.style import STYLES

FAMILIES = ("gradient_descent", "momentum", "nesterov", "rmsprop", "adam", "amsgrad", "adagrad")


def built(method, **options):
    return method.build([np.zeros(3, np.float32)], **options)


def rule(method):
    optimizer = built(method)
    return optimizer._definition.rule_for(optimizer.param_groups[0]).name


def test_there_is_a_method_for_every_rule_of_these_families():
    of_family = {name for name in RULES if name.startswith(FAMILIES)}
    assert {rule(method) for method in METHODS.values()} == of_family - {
        "adamax",
        "adamw_schedule_free",
    }


def test_the_default_methods_are_the_missions():
    expected = ["gradient_descent"] * 3 + ["momentum", "rmsprop", "adam"]
    assert [rule(method) for method in DEFAULT] == expected
    assert [method.batch_size for method in DEFAULT[:3]] == [0, 1, None]


def test_others_differ_from_the_defaults_and_from_each_other():
    others = [rule(method) for method in METHODS.values() if method not in DEFAULT]
    assert len(set(others)) == len(others)
    assert not set(others) & {rule(method) for method in DEFAULT}


@pytest.mark.parametrize("method", METHODS.values(), ids=lambda method: method.name)
def test_every_method_steps_with_its_own_learning_rate_or_another(method):
    params = [np.ones(3, np.float32)]
    optimizer = method.build(params)
    assert optimizer.lr == method.lr
    optimizer.step([np.ones(3, np.float32)])
    assert (params[0] < 1).all()
    assert method.build(params, lr=0.5).lr == 0.5


@pytest.mark.parametrize("method", METHODS.values(), ids=lambda method: method.name)
def test_beta_reaches_the_methods_that_have_one_and_leaves_the_rest_alone(method):
    changed = built(method, beta=0.7).param_groups[0]
    own = built(method).param_groups[0]
    if method.beta is None:
        assert "beta" not in own and "betas" not in own
        assert dict(changed) == dict(own)
    else:
        assert changed[method.beta] == ((0.7, BETA2) if method.beta == "betas" else 0.7)
        assert changed[method.beta] != own[method.beta]


def test_asking_twice_adds_a_method_once():
    assert chosen() == DEFAULT
    assert chosen(["adam", "adamw", "adamw"]) == (*DEFAULT, METHODS["adamw"])


def test_every_method_has_a_line_of_its_own():
    assert set(STYLES) == set(METHODS)
    assert len(set(STYLES.values())) == len(METHODS)

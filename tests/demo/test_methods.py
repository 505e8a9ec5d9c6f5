from dataclasses import replace

import numpy as np
import pytest

from gpuopt.demo import methods, modes
from gpuopt.demo.methods import ALL, DEFAULT, LISTED, METHODS, TUNED, chosen
from gpuopt.demo.style import FURTHER, MOST_LINES, STYLES, styles_of
from gpuopt.rules.definitions import DEFINITIONS


def built(method, **options):
    return method.build([np.zeros(3, np.float32)], **options)


def rule(method):
    optimizer = built(method)
    return optimizer._definition.rule_for(optimizer.param_groups[0]).name


def test_there_is_a_method_for_every_optimizer_with_its_defaults():
    plain = {d.rule_for(d.defaults).name for d in DEFINITIONS.values()}
    assert plain <= {rule(method) for method in METHODS.values() if not method.options}


def test_a_new_optimizer_is_a_method_by_its_definition_alone(monkeypatch):
    own = {**DEFINITIONS["Lion"].defaults, "lr": 0.125}
    made = replace(DEFINITIONS["Lion"], name="NewOne")
    monkeypatch.setitem(made.__dict__, "defaults", own)
    monkeypatch.setitem(DEFINITIONS, "NewOne", made)
    (method,) = [m for m in methods._further(LISTED) if m.name not in METHODS]
    assert (method.name, method.label, method.optimizer) == ("newone", "NewOne", "NewOne")
    assert (method.lr, method.beta) == (0.125, "betas")


def test_the_learning_rates_that_were_tuned_are_of_methods():
    further = {method.optimizer: method for method in METHODS.values() if method not in LISTED}
    assert {name: further[name].lr for name in TUNED} == TUNED


def test_the_default_methods_are_the_missions():
    expected = ["gradient_descent"] * 3 + ["momentum", "rmsprop", "adam"]
    assert [rule(method) for method in DEFAULT] == expected
    assert [method.batch_size for method in DEFAULT[:3]] == [0, 1, None]


def test_others_differ_from_the_defaults_and_from_each_other():
    others = [method for method in METHODS.values() if method not in DEFAULT]
    kinds = {(rule(method), *(o for o in method.options if "cautious" in o)) for method in others}
    assert len(kinds) == len(others)
    assert not kinds & {(rule(method),) for method in DEFAULT}


@pytest.mark.parametrize("method", METHODS.values(), ids=lambda method: method.name)
def test_every_method_steps_with_its_own_learning_rate_or_another(method):
    params = [np.ones(3, np.float32)]
    optimizer = method.build(params)
    assert optimizer.lr == method.lr
    modes.train(optimizer)
    for _ in range(6):  # until RAdam's rectification is defined
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
        more = own["betas"][1:] if method.beta == "betas" else None
        assert changed[method.beta] == (0.7 if more is None else (0.7, *more))
        assert changed[method.beta] != own[method.beta]


def test_asking_twice_adds_a_method_once():
    assert chosen() == DEFAULT
    assert chosen(["adam", "adamw", "adamw"]) == (*DEFAULT, METHODS["adamw"])
    assert chosen([ALL]) == chosen([ALL, "adamw"]) == tuple(METHODS.values())


def test_every_method_in_a_picture_has_a_line_of_its_own():
    assert STYLES.keys() <= METHODS.keys()
    assert len({*STYLES.values(), *FURTHER}) == len(STYLES) + len(FURTHER)
    for names in ([*METHODS][:MOST_LINES], [*METHODS][-MOST_LINES:]):
        assert len({*styles_of([*names, *names]).values()}) == MOST_LINES

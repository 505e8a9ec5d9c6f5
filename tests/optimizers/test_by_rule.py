"""`Optimizer(params, rule=...)` of both APIs: a user's rule has all that ours have."""

import copy
import pickle

import numpy as np
import pytest

import gpuopt
from gpuopt import RULES, register
from tests.helpers.bits import assert_same_bits
from tests.helpers.optimizers import arrays, everything, frozen, gradients

SHAPES = ((3, 5), (7,))


def heavy_ball(p, g, momentum_buffer, beta, lr):
    momentum_buffer = beta * momentum_buffer + g
    return p - lr * momentum_buffer, momentum_buffer


def heavy_ball_coefficients(step, lr, beta):
    return beta, lr


@pytest.fixture(autouse=True)
def rule():
    register(
        "heavy_ball",
        heavy_ball,
        heavy_ball_coefficients,
        states=("momentum_buffer",),
        hyperparameters={"lr": 0.25, "beta": 0.5},
    )
    yield
    del RULES["heavy_ball"]


def test_its_steps_are_those_of_the_class_with_the_same_formula(backend):
    params, expected = arrays(0, SHAPES), arrays(0, SHAPES)
    options = {"lr": 0.25, "weight_decay": 0.125, "maximize": True, "clip_norm": 1.0}
    ours = gpuopt.Optimizer(params, rule="heavy_ball", **options)
    theirs = gpuopt.SGD(expected, momentum=0.5, **options)
    for step in range(3):
        for optimizer in (ours, theirs):
            optimizer.lr *= 0.5
            optimizer.step(gradients(step, SHAPES))
    for p, q in zip(params, expected):
        assert_same_bits(p, q)
    assert ours.grad_norm == theirs.grad_norm


def test_groups_with_options_of_their_own():
    params, apart = arrays(0, SHAPES), arrays(0, SHAPES)
    groups = [{"params": params[:1], "beta": 0.75}, {"params": params[1:]}]
    together = gpuopt.Optimizer(groups, "heavy_ball")
    alone = [gpuopt.Optimizer([q], "heavy_ball", beta=b) for q, b in zip(apart, (0.75, 0.5))]
    for step in range(2):
        g = gradients(step, SHAPES)
        together.step([g[:1], g[1:]])
        for optimizer, own in zip(alone, g):
            optimizer.step([own])
    assert [frozen(p) for p in params] == [frozen(q) for q in apart]


def test_its_options_are_attributes():
    optimizer = gpuopt.Optimizer(arrays(0, SHAPES), rule="heavy_ball")
    assert isinstance(optimizer, gpuopt.Optimizer)
    assert (optimizer.lr, optimizer.beta, optimizer.weight_decay) == (0.25, 0.5, 0.0)
    optimizer.beta = 0.75
    assert optimizer.param_groups[0]["beta"] == 0.75
    with pytest.raises(AttributeError, match="eps"):
        optimizer.eps = 0.5
    assert repr(optimizer).startswith("Optimizer(rule='heavy_ball', 2 arrays, {'lr': 0.25, ")


def test_derived_classes():
    class Plain(gpuopt.Optimizer):
        pass

    class Own(gpuopt.Optimizer):
        def __init__(self, params, rate):
            super().__init__(params, "heavy_ball", lr=rate)

    plain, own = Plain(arrays(0), rule="heavy_ball", beta=0.75), Own(arrays(0), 0.5)
    assert (plain.beta, own.lr, own.rule) == (0.75, 0.5, "heavy_ball")
    assert isinstance(plain, Plain) and isinstance(own, Own)
    assert repr(own).startswith("Own(rule='heavy_ball', ")


def test_a_checkpoint_continues_with_the_same_bits(tmp_path):
    pytest.importorskip("safetensors")
    params, resumed = arrays(0, SHAPES), arrays(0, SHAPES)
    first = gpuopt.Optimizer(params, rule="heavy_ball", ema_decay=0.5)
    first.step(gradients(0, SHAPES))
    first.save(tmp_path / "state")
    second = gpuopt.Optimizer(resumed, rule="heavy_ball", ema_decay=0.5)
    second.load(tmp_path / "state")
    for p, q in zip(params, resumed):
        q[...] = p
    for optimizer in (first, second):
        optimizer.step(gradients(1, SHAPES))
    assert everything(first, params) == everything(second, resumed)
    other = gpuopt.Optimizer(arrays(0, SHAPES), rule="momentum")
    with pytest.raises(ValueError, match=r"expected that of Optimizer\(rule='momentum'\)"):
        other.load_state_dict(first.state_dict())


BAD = [
    (
        {"rule": "heavy_bal"},
        ValueError,
        r"rule: expected a registered rule, .*; did you mean heavy_ball\?",
    ),
    ({"rule": None}, TypeError, "rule: expected the name of a registered rule, got None"),
    ({"rule": "heavy_ball", "betta": 1.0}, TypeError, r"unknown option 'betta' of Optimizer: "),
    ({"rule": "heavy_ball", "beta": 1.0}, ValueError, r"beta: expected a number in \[0, 1\), got"),
    ({"rule": "heavy_ball", "lr": "x"}, TypeError, "lr: expected a "),
    ({"rule": "heavy_ball", "clipnorm": 1.0}, TypeError, r"did you mean clip_norm\?"),
    ({}, TypeError, "'rule'"),
]


@pytest.mark.parametrize(("options", "error", "message"), BAD)
def test_what_is_refused(options, error, message):
    with pytest.raises(error, match=message):
        gpuopt.Optimizer(arrays(0, SHAPES), **options)
    torch = pytest.importorskip("torch")
    with pytest.raises(error, match=message):
        drop_in([torch.ones(2, requires_grad=True)], **options)


@pytest.mark.parametrize("name", gpuopt.RULES)
def test_every_rule_can_be_stepped_with(name):
    params = arrays(0, SHAPES)
    optimizer = gpuopt.Optimizer(params, rule=name)
    if "train" in RULES[name].passes:
        optimizer.train()
    for step in range(2):
        optimizer.step(gradients(step, SHAPES))
    assert all(np.isfinite(p).all() for p in params)
    assert optimizer._definition.rule_for(optimizer.param_groups[0]) is RULES[name]


# --- the drop-in ----------------------------------------------------------------------------------


def drop_in(params, *args, **options):
    import gpuopt.torch

    return gpuopt.torch.Optimizer(params, *args, **options)


@pytest.fixture
def torch():
    return pytest.importorskip("torch")


def trained(torch, make, steps=3):
    """Parameters after some steps under a schedule, and their optimizer."""
    params = [torch.tensor(a, requires_grad=True) for a in arrays(0, SHAPES)]
    optimizer = make(params)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
    for step in range(steps):
        go_on(torch, optimizer, step)
        schedule.step()
    return params, optimizer


def go_on(torch, optimizer, step):
    params = [p for group in optimizer.param_groups for p in group["params"]]
    for p, g in zip(params, gradients(step, SHAPES)):
        p.grad = torch.tensor(g)
    optimizer.step()


def test_the_drop_in_steps_as_the_class_with_the_same_formula(torch):
    options = {"weight_decay": 0.125, "clip_norm": 1.0, "maximize": True}
    ours, _ = trained(torch, lambda p: drop_in(p, rule="heavy_ball", **options))
    theirs, _ = trained(torch, lambda p: gpuopt.torch.SGD(p, lr=0.25, momentum=0.5, **options))
    assert all(map(torch.equal, ours, theirs))


@pytest.mark.parametrize(
    "copied", [copy.deepcopy, lambda o: pickle.loads(pickle.dumps(o))], ids=["deepcopy", "pickle"]
)
def test_copies_and_pickles_of_the_drop_in(torch, copied):
    params, optimizer = trained(torch, lambda p: drop_in(p, rule="heavy_ball"))
    other = copied(optimizer)
    for one in (optimizer, other):
        go_on(torch, one, 3)
    assert all(map(torch.equal, params, other.param_groups[0]["params"]))


def test_state_dicts_of_the_drop_in(torch):
    params, optimizer = trained(torch, lambda p: drop_in(p, rule="heavy_ball"))
    saved = copy.deepcopy(optimizer.state_dict())
    others = [p.detach().clone().requires_grad_() for p in params]
    other = drop_in(others, rule="heavy_ball", lr=9.0)
    other.load_state_dict(saved)
    for one in (optimizer, other):
        go_on(torch, one, 3)
    assert all(map(torch.equal, params, others))
    wrong = drop_in([p.detach().clone() for p in params], rule="momentum")
    with pytest.raises(ValueError, match=r"rule: expected 'momentum', .* got 'heavy_ball'"):
        wrong.load_state_dict(saved)


def test_the_rule_of_the_drop_in_is_that_of_all_groups(torch):
    params, optimizer = trained(torch, lambda p: drop_in(p, rule="heavy_ball"))
    more = torch.ones(2, requires_grad=True)
    with pytest.raises(ValueError, match=r"param_groups\[1\]: rule: expected 'heavy_ball'"):
        optimizer.add_param_group({"params": [more], "rule": "adam"})
    optimizer.param_groups[0]["rule"] = "adam"
    before = [p.detach().clone() for p in params]
    with pytest.raises(ValueError, match=r"param_groups\[0\]: rule: expected 'heavy_ball'"):
        go_on(torch, optimizer, 3)
    assert all(map(torch.equal, params, before))


def test_in_the_backward_pass(torch):
    w = torch.ones(2, requires_grad=True)
    with gpuopt.torch.StepInBackward([w], gpuopt.torch.Optimizer, rule="heavy_ball"):
        (w * w).sum().backward()
    assert w.tolist() == [0.5, 0.5]

"""Every optimizer over its whole grid of options beside torch.optim, in float64."""

import inspect

import numpy as np
import pytest

import gpuopt
from gpuopt import RULES
from gpuopt.engine.compose import compose
from gpuopt.engine.step import FusedStep, Group
from gpuopt.rules.definitions import DEFINITIONS
from tests.helpers.bits import assert_same_bits
from tests.rules.oracles import (
    NEUTRAL,
    TORCH,
    TORCHS,
    by_rule,
    grid,
    optimizers,
)
from tests.tolerances import assert_close

torch = pytest.importorskip("torch")

STEPS = 8
"""RAdam becomes adaptive in it, and is not so at once."""
SHAPES = ((4, 3), (7,), ())
RESTS = {1: (0,), 2: (2, 3)}
"""By tensor, the steps without a gradient: one comes late, one pauses."""


def data():
    rng = np.random.default_rng(7)
    params = [rng.uniform(1, 3, s) * rng.choice([-1.0, 1.0], s) for s in SHAPES]
    grads = [
        [
            None if t in RESTS.get(i, ()) else np.array(rng.standard_normal(s))
            for i, s in enumerate(SHAPES)
        ]
        for t in range(STEPS)
    ]
    return [np.array(p) for p in params], grads


def lacking(name):
    """The options that a class has in later versions of torch; torch 2.6 has AdamW instead."""
    known = inspect.signature(getattr(torch.optim, name)).parameters
    return {"decoupled_weight_decay"} - known.keys() if name == "Adam" else set()


def make_torch(name, tensors, options):
    theirs, renamed = TORCH[name]
    arguments = {renamed.get(k, k): v for k, v in options.items()}
    kind = getattr(torch.optim, theirs)
    if lacking(theirs):
        kind = torch.optim.AdamW if arguments.pop("decoupled_weight_decay", False) else kind
    return kind(tensors, **arguments, foreach=False)


def velocity_holds_lr(optimizer):
    """Whether the two forms of momentum part as soon as lr changes."""
    return isinstance(optimizer, gpuopt.Momentum)


@pytest.fixture(autouse=True)
def torchs_numbers_in_float64():
    """What torch carries from step to step is a tensor of the default dtype."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


CASES = [
    pytest.param(name, options, id=f"{name}-{'-'.join(f'{k}={v}' for k, v in options.items())}")
    for name in TORCH
    for options in grid(name)
]


@pytest.mark.parametrize(("name", "options"), CASES)
def test_every_option_gives_what_torch_gives(name, options):
    assert_as_torch(name, options, lambda t, lr: lr / 2 if t >= 3 else lr)


@pytest.mark.parametrize("name", TORCH)
def test_a_schedule_gives_what_torch_gives(name):
    assert_as_torch(name, {"lr": 3e-2}, lambda t, lr: lr / (1 + t) if t != 4 else 0.0)


@pytest.mark.parametrize("name", TORCH)
def test_no_eps_gives_what_torch_gives(name):
    if "eps" in DEFINITIONS[name].defaults:
        assert_as_torch(name, {"lr": 3e-2, "eps": 0.0}, lambda t, lr: lr)


def assert_as_torch(name, options, lr_of):
    params, grads = data()
    tensors = [torch.tensor(p) for p in params]
    options = {**DEFINITIONS[name].defaults, **options}
    theirs = make_torch(name, tensors, options)
    ours = optimizers()[name](params, **options)
    for t in range(STEPS):
        if not velocity_holds_lr(ours):
            ours.lr = theirs.param_groups[0]["lr"] = lr_of(t, options["lr"])
        for tensor, grad in zip(tensors, grads[t]):
            tensor.grad = None if grad is None else torch.tensor(grad)
        ours.step(grads[t])
        theirs.step()
    unit = options["lr"] if velocity_holds_lr(ours) else 1.0
    for i, tensor in enumerate(tensors):
        assert_close(params[i], tensor.numpy(), "torch float64")
        assert ours.state[i]["step"] == STEPS - len(RESTS.get(i, ()))
        for state, held in theirs.state[tensor].items():
            if state != "step" and held is not None:
                assert_close(ours.state[i][state], unit * held.numpy(), "torch float64")


def test_a_gradient_that_is_no_number_has_no_sign_in_rprop():
    p, nan = np.ones(2), np.array([np.nan, 1.0])
    tensor = torch.tensor(p)
    theirs = torch.optim.Rprop([tensor])
    gradients = [np.array([1.0, -1.0]), nan, np.array([2.0, np.nan]), nan + 1]
    ours, states = by_rule(RULES["rprop"], p, gradients, {})
    for g in gradients:
        tensor.grad = torch.tensor(g)
        theirs.step()
    assert_close(ours, tensor.numpy(), "torch float64")
    for state, held in states.items():
        assert_close(held, theirs.state[tensor][state].numpy(), "torch float64")


CARRYING = [name for name, rule in RULES.items() if rule.carried]


@pytest.mark.parametrize("name", CARRYING)
def test_a_run_goes_on_where_it_was_stopped(name):
    numbers = {**NEUTRAL, **RULES[name].hyperparameters, "t0": 1.0}
    groups = [Group(compose(RULES[name]), numbers)]
    gradients = [np.full(3, g) for g in (1.0, -0.5, 2.0, 0.25)]
    whole, first = (FusedStep([np.ones(3)], ["p"], [0]) for _ in range(2))
    for g in gradients:
        whole.run([g], groups)
    for g in gradients[:2]:
        first.run([g], groups)
    rest = FusedStep(first.params, ["p"], [0])
    rest.load(first.steps.tolist(), first.states, first.carried)
    for g in gradients[2:]:
        rest.run([g], groups)
    assert_same_bits(rest.params[0], whole.params[0])
    assert rest.carried == whole.carried
    assert set(whole.carried[0]) == set(RULES[name].carried)


# --- defaults, steps, lr ------------------------------------------------------------------------

OWN_DEFAULTS = {"beta of Momentum", "lr of Momentum", "beta of RMSProp"}
"""Where the default is not torch's: its momentum is off, its alpha 0.99."""

_OF_TORCHS_STEP = {"foreach", "capturable", "differentiable", "fused"}


@pytest.mark.parametrize("name", TORCH)
def test_the_defaults_are_torchs(name):
    theirs, renamed = TORCH[name]
    known = inspect.signature(getattr(torch.optim, theirs)).parameters
    for option, default in DEFINITIONS[name].defaults.items():
        if option in lacking(theirs):
            continue
        same = known[renamed.get(option, option)].default == default
        assert same != (f"{option} of {name}" in OWN_DEFAULTS)


@pytest.mark.parametrize("name", TORCHS)
def test_the_arguments_are_torchs_in_their_order(name):
    known = inspect.signature(getattr(torch.optim, name)).parameters
    theirs = [n for n in known if n not in _OF_TORCHS_STEP and n != "params"]
    options = DEFINITIONS[name].defaults
    assert set(options) == {*theirs, *lacking(name)}
    by_place = [n for n in options if n not in DEFINITIONS[name].keyword_only]
    assert theirs[: len(by_place)] == by_place


@pytest.mark.parametrize("name", TORCH)
def test_steps_are_counted_as_torch_counts_them(name):
    params, grads = data()
    tensors = [torch.tensor(p) for p in params]
    theirs = make_torch(name, tensors, {"lr": 1e-2})
    ours = optimizers()[name](params, lr=1e-2)
    for t in range(STEPS):
        for tensor, grad in zip(tensors, grads[t]):
            tensor.grad = None if grad is None else torch.tensor(grad)
        ours.step(grads[t])
        theirs.step()
    for i, tensor in enumerate(tensors):
        if "step" in theirs.state[tensor]:
            assert ours.state[i]["step"] == int(theirs.state[tensor]["step"])


@pytest.mark.parametrize("beta", [0.5, 0.9])
def test_the_two_forms_of_momentum_part_when_lr_changes(beta):
    """Here the velocity keeps the steps it was built from; torch rescales it at once."""
    p, g = np.array([1.0]), np.array([1.0])
    tensor = torch.tensor([1.0], dtype=torch.float64)
    tensor.grad = torch.tensor([1.0], dtype=torch.float64)
    ours = gpuopt.Momentum([p], lr=1.0, beta=beta)
    theirs = torch.optim.SGD([tensor], lr=1.0, momentum=beta)
    ours.step([g])
    theirs.step()
    assert p == tensor.numpy()
    ours.lr = theirs.param_groups[0]["lr"] = 0.0
    ours.step([g])
    theirs.step()
    assert_close(p, [0.0 - beta], "worked value")
    assert_close(tensor.numpy(), [0.0], "worked value")

"""What is written into groups and states, where anybody may write: checked before it is used."""

import copy

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import gpuopt.torch as ours  # noqa: E402
from tests.drop_in.pairs import (  # noqa: E402
    CLASSES,
    OF_TORCH,
    Pair,
    assert_close,
    give_gradients,
    parameters,
)
from tests.rules.oracles import training  # noqa: E402

pytestmark = pytest.mark.usefixtures("nothing_to_compile")


def two_steps_old(name="Adam", **options):
    """An optimizer of two parameters, which have states."""
    params = [torch.ones(3, requires_grad=True) for _ in range(2)]
    optimizer = getattr(ours, name)(params, **options)
    for param in params:
        param.grad = torch.full((3,), 0.5)
    optimizer.step()
    optimizer.step()
    return params, optimizer


BAD_STATES = [
    ("exp_avg", 1.0, TypeError, "expected a tensor, got 1.0"),
    ("exp_avg", torch.ones(4), ValueError, r"expected shape \(3,\), got \(4,\)"),
    ("exp_avg", torch.ones(3, dtype=torch.int64), TypeError, "expected one of float64, .*int64"),
    ("exp_avg", torch.ones(3).to_sparse(), TypeError, "expected a dense tensor"),
    ("exp_avg", torch.ones(3, dtype=torch.complex64), ValueError, "expected a real tensor, as its"),
    ("exp_avg", torch.ones(1).expand(3), ValueError, "elements of the array overlap"),
    ("step", "two", TypeError, "expected a number, got 'two'"),
    ("step", torch.ones(3), TypeError, r"expected a number, got tensor\(\[1., 1., 1.\]\)"),
    ("step", torch.tensor(float("nan")), ValueError, r"expected a count, got tensor\(nan\)"),
    ("step", torch.tensor(-2.0), ValueError, r"expected a count, got tensor\(-2.\)"),
    ("step", 2.5, ValueError, "expected a count, got 2.5"),
]


@pytest.mark.parametrize(("name", "value", "kind", "message"), BAD_STATES)
def test_a_bad_state_changes_nothing_and_can_be_mended(name, value, kind, message):
    params, optimizer = two_steps_old()
    _, twin = two_steps_old()
    held = optimizer.state[params[1]]
    good, held[name] = held[name], value
    before = [p.detach().clone() for p in params]
    for _ in range(2):  # the second one says so, too
        with pytest.raises(kind, match=rf"state '{name}' of params\[1\]: {message}"):
            optimizer.step()
    assert all(map(torch.equal, params, before))
    held[name] = good
    for each in (optimizer, twin):
        each.step()
    assert all(map(torch.equal, params, twin.param_groups[0]["params"]))
    assert optimizer.state[params[0]]["step"].item() == 3


def test_a_number_that_a_state_carries():
    params, optimizer = two_steps_old("NAdam")
    optimizer.state[params[0]]["mu_product"] = "much"
    with pytest.raises(TypeError, match=r"state 'mu_product' of params\[0\]: expected a number"):
        optimizer.step()


WITHOUT = [
    ("LAMB", "step"),
    ("MARS", "step"),
    ("StableAdamW", "step"),
    ("AdEMAMix", "step"),
    ("SGDScheduleFree", "weight_sum"),
    ("Prodigy", "d"),
    ("DAdaptAdam", "numerator_weighted"),
]


@pytest.mark.parametrize(("name", "number"), WITHOUT)
def test_a_number_that_the_coefficients_need_is_not_made_up(name, number):
    """Packages that count the steps of a group have states without any, as if they were new."""
    params, optimizer = two_steps_old(name, **training(name))
    saved = optimizer.state_dict()
    del saved["state"][1][number]
    other = getattr(ours, name)(params)
    with pytest.raises(ValueError, match=rf"state of params\[1\] without '{number}'"):
        other.load_state_dict(saved)
    assert not other.state


def test_a_step_count_that_no_coefficient_needs_may_be_missing():
    params, optimizer = two_steps_old("LARS")
    saved = copy.deepcopy(optimizer.state_dict())
    for held in saved["state"].values():
        del held["step"]
    twins = [p.detach().clone().requires_grad_() for p in params]
    other = ours.LARS(twins)
    other.load_state_dict(saved)
    for held, one in ((params, optimizer), (twins, other)):
        for p in held:
            p.grad = torch.full((3,), 0.5)
        one.step()
    assert all(map(torch.equal, params, twins))


def test_groups_that_share_an_estimate_have_one_rate_also_as_tensors():
    params = parameters()
    groups = [{"params": params[:1], "lr": torch.tensor(0.5)}, {"params": params[1:]}]
    optimizer = ours.Prodigy(groups, lr=torch.tensor(1.0))
    give_gradients(params, 0)
    with pytest.raises(ValueError, match="lr: expected one value in all groups"):
        optimizer.step()
    groups[0]["lr"].fill_(1.0)
    optimizer.step()


@pytest.mark.parametrize("other", ["states", "parameter"])
def test_states_that_overlap_something_change_nothing(other):
    params, optimizer = two_steps_old()
    held = optimizer.state[params[0]]
    held["exp_avg"] = held["exp_avg_sq"] if other == "states" else params[1].detach()
    before = [p.detach().clone() for p in params]
    for _ in range(2):
        with pytest.raises(ValueError, match=r"'exp_avg.*' of .*are the same array"):
            optimizer.step()
    assert all(map(torch.equal, params, before))


@pytest.mark.parametrize(
    "dtypes", [(torch.float32, torch.complex64), (torch.complex64, torch.float32)]
)
def test_states_of_real_parameters_do_not_fit_complex_ones(dtypes):
    """Their shapes do; a kernel would walk twice as many elements as the state has."""
    saved, params = Pair("Adam", dtypes[0], lr=0.1).step().mine.state_dict(), parameters(dtypes[1])
    optimizer = ours.Adam(params)
    refused = pytest.raises(
        ValueError, match=r"state 'exp_avg.*' of params\[0\]: expected a (real|comp)"
    )
    with refused:
        optimizer.load_state_dict(saved)
    assert not optimizer.state
    for place, held in saved["state"].items():
        optimizer.state[params[place]] = held
    give_gradients(params, 0)
    before = [p.detach().clone() for p in params]
    with refused:
        optimizer.step()
    assert all(map(torch.equal, params, before))


BAD_OPTIONS = [
    ("Adam", "lr", "fast", TypeError, "lr: expected a number, got 'fast'"),
    ("Adam", "lr", torch.ones(2), TypeError, "lr: expected a number, got tensor"),
    ("Adam", "eps", None, TypeError, "eps: expected a number, got None"),
    ("Adam", "eps", 10**400, TypeError, "eps: expected a number, got 1000"),
    ("Adam", "betas", 0.9, ValueError, "betas: expected 2 numbers, got 0.9"),
    ("Adam", "betas", (0.9,), ValueError, r"betas: expected 2 numbers, got \(0.9,\)"),
    ("RMSprop", "alpha", "a", TypeError, "alpha: expected a number, got 'a'"),
    ("Adam", "differentiable", True, ValueError, "differentiable: gpuopt's step cannot"),
]


@pytest.mark.parametrize(("name", "option", "value", "kind", "message"), BAD_OPTIONS)
def test_a_bad_option_in_a_group_changes_nothing(name, option, value, kind, message):
    params, optimizer = two_steps_old(name)
    group, before = optimizer.param_groups[0], params[0].detach().clone()
    good, group[option] = group[option], value
    with pytest.raises(kind, match=message):
        optimizer.step()
    assert params[0].equal(before)
    group[option] = good
    optimizer.step()
    assert not params[0].equal(before)


@pytest.mark.parametrize("name", CLASSES)
def test_groups_may_hold_what_is_nobodys_option(name):
    """As torch's may: the names of layers, masks, whatever a training loop wants to find there."""
    params = parameters(torch.float32)
    own = {"scales": torch.ones(3), "mask": np.ones(3), "name": "body"}
    optimizer = getattr(ours, name)([{"params": params, **own}], lr=0.1, **training(name))
    for step in range(6):  # in its first ones RAdamScheduleFree moves nothing
        give_gradients(params, step)
        optimizer.step()
        optimizer.param_groups[0].update(scales=torch.zeros(2), mask=np.zeros(3))
    assert params[0].detach().ne(parameters(torch.float32)[0]).any()


@pytest.mark.parametrize("name", OF_TORCH)
def test_an_infinite_rate_is_torchs(name):
    """Its constructors accept it."""
    pair = Pair(name, lr=0.1).step()
    for optimizer in (pair.mine, pair.theirs):
        optimizer.param_groups[0]["lr"] = float("inf")
    pair.step()
    finite = [torch.nan_to_num(p, nan=7.0, posinf=8.0, neginf=9.0) for p in pair.params]
    others = [torch.nan_to_num(p, nan=7.0, posinf=8.0, neginf=9.0) for p in pair.twins]
    assert_close(finite, others, "formula float32")

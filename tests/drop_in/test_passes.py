"""The drop-ins that do something outside of steps, beside the packages of their authors."""

import copy
import itertools
import pickle

import pytest

torch = pytest.importorskip("torch")

import gpuopt  # noqa: E402
import gpuopt.torch as ours  # noqa: E402
from tests.drop_in.pairs import give_gradients, parameters  # noqa: E402
from tests.rules.oracles import VALUES  # noqa: E402

pytestmark = pytest.mark.usefixtures("nothing_to_compile")

BETAS = {"betas": ((0.9, 0.999), (0.75, 0.5)), "eps": (1e-8, 1e-2)}
OWN = {
    "SGDScheduleFree": {"momentum": (0.9, 0.75), "warmup_steps": (0, 10)},
    "AdamWScheduleFree": {**BETAS, "warmup_steps": (0, 10)},
    "RAdamScheduleFree": {**BETAS, "silent_sgd_phase": (True, False)},
}
GRID = [
    (name, dict(zip(names, chosen)))
    for name, own in OWN.items()
    for names in [("lr", "weight_decay", "r", "weight_lr_power", *own)]
    for chosen in itertools.product(*(VALUES[n] for n in names[:4]), *own.values())
]


@pytest.mark.parametrize(("name", "options"), GRID)
def test_fifty_steps_are_those_of_the_authors(name, options):
    schedulefree = pytest.importorskip("schedulefree")
    params, twins = parameters(), parameters()
    mine = getattr(ours, name)(params, **options)
    theirs = getattr(schedulefree, name)(twins, foreach=False, **options)
    for optimizer in (mine, theirs):
        optimizer.train()
    for step in range(50):
        for own, optimizer in ((params, mine), (twins, theirs)):
            give_gradients(own, step)
            optimizer.step()
        if step % 9 == 4 or step == 49:
            for optimizer in (mine, theirs):
                optimizer.eval()
            assert_as_good(params, twins)
            for optimizer in (mine, theirs):
                optimizer.train()


def assert_as_good(mine, theirs):
    """1e-12, relative to the largest element: y and z cancel out in x."""
    for a, b in zip(mine, theirs):
        if b.numel():
            assert (a - b).abs().max() <= 1e-12 * b.abs().max().clamp_min(1.0)


@pytest.mark.parametrize("name", OWN)
def test_a_step_in_eval_mode_is_refused_before_the_closure(name):
    params = parameters()
    optimizer = getattr(ours, name)(params)
    with pytest.raises(RuntimeError, match=rf"step: {name} is not in train mode: call its train"):
        optimizer.step(lambda: pytest.fail("the closure was called"))


def trained(name="AdamWScheduleFree", dtype=torch.float32, **options):
    params = parameters(dtype)
    optimizer = getattr(ours, name)(params, **options)
    if name in OWN:
        optimizer.train()
    for step in range(2):
        give_gradients(params, step)
        optimizer.step()
    return params, optimizer


@pytest.mark.parametrize("how", ["state dict", "pickle", "deepcopy"])
def test_the_mode_goes_along(how):
    params, optimizer = trained()
    optimizer.eval()
    if how == "state dict":
        own = [p.detach().clone().requires_grad_() for p in params]
        other = ours.AdamWScheduleFree(own)
        other.load_state_dict(optimizer.state_dict())
    else:
        copied = pickle.loads(pickle.dumps(optimizer)) if how == "pickle" else None
        other = copied or copy.deepcopy(optimizer)
        own = other.param_groups[0]["params"]
    assert other.param_groups[0]["train_mode"] is False
    for held, one in ((params, optimizer), (own, other)):
        one.train()
        give_gradients(held, 5)
        one.step()
    assert all(map(torch.equal, params, own))


def test_parameters_and_states_that_moved_are_found():
    params, optimizer = trained()
    twins, twin = trained()
    for param in params:
        param.data = param.data.clone()
    optimizer.state[params[0]]["z"] = optimizer.state[params[0]]["z"].clone()
    for one in (optimizer, twin):
        one.eval()
    assert all(map(torch.equal, params, twins))
    for held, one in ((params, optimizer), (twins, twin)):
        one.train()
        give_gradients(held, 5)
        one.step()
    assert all(map(torch.equal, params, twins))


def test_autograd_notices_a_mode_and_no_update_of_the_hessian():
    params, optimizer = trained(dtype=torch.complex64)
    before = [p._version for p in params]
    optimizer.eval()
    assert all(p._version > v for p, v in zip(params, before))
    params, optimizer = trained("SophiaG")
    before = [p._version for p in params]
    optimizer.update_hessian()
    assert [p._version for p in params] == before


def test_a_frozen_parameter_changes_its_mode_with_the_others():
    params, optimizer = trained()
    twins, twin = trained()
    params[0].requires_grad_(False)
    params[0].grad = None
    for one in (optimizer, twin):
        one.eval()
    assert all(map(torch.equal, params, twins))


@pytest.mark.parametrize("rule", ["sgd_schedule_free", "adamw_schedule_free", "sophiag"])
def test_the_optimizer_of_a_rule_has_the_methods_of_its_passes(rule):
    param = torch.ones(3, requires_grad=True)
    param.grad = torch.ones(3)
    optimizer = ours.Optimizer([param], rule=rule)
    assert hasattr(optimizer, "train") == (rule != "sophiag")
    assert hasattr(optimizer, "update_hessian") == (rule == "sophiag")
    assert not hasattr(ours.Optimizer([param], rule="adam"), "train")
    if rule != "sophiag":
        optimizer = copy.deepcopy(optimizer)
        optimizer.train()
    optimizer.step()


def test_bs_of_a_step_is_that_of_the_steps_after_it():
    param = torch.zeros(1, requires_grad=True)
    optimizer = ours.SophiaG([param], lr=1.0, betas=(0.0, 0.0), rho=1.0, weight_decay=0.0)
    param.grad = torch.full((1,), 4.0)
    optimizer.update_hessian()
    param.grad = torch.ones(1)
    optimizer.step(bs=0.5)
    assert param.item() == -0.125
    assert optimizer.param_groups[0]["bs"] == 0.5
    optimizer.step()
    assert param.item() == -0.25
    with pytest.raises(ValueError, match="bs: expected"):
        optimizer.step(bs=-1.0)


def test_the_hessian_of_a_step_that_was_not_taken_yet_is_saved():
    param = torch.zeros(2, requires_grad=True)
    optimizer = ours.SophiaG([param], betas=(0.0, 0.0), state_dtype="bfloat16")
    param.grad = torch.tensor([1.0, 1 + 2.0**-12])
    optimizer.update_hessian()
    saved = optimizer.state_dict()["state"][0]
    assert saved["step"] == 0
    other = ours.SophiaG([torch.zeros(2, requires_grad=True)], state_dtype="bfloat16")
    other.load_state_dict(optimizer.state_dict())
    assert other.state_dict()["state"][0]["hessian"].equal(param.grad * param.grad)
    twin = other.param_groups[0]["params"][0]
    twin.grad = param.grad.clone()
    for one in (optimizer, other):
        one.step()
    assert param.equal(twin)


def test_a_sparse_gradient_of_the_hessian_is_refused():
    param = torch.ones(4, 4, requires_grad=True)
    param.grad = torch.eye(4).to_sparse()
    with pytest.raises(RuntimeError, match="SophiaG does not support sparse gradients"):
        ours.SophiaG([param]).update_hessian()


def test_the_array_api_has_the_same_bits():
    params, optimizer = trained()
    arrays = [p.detach().numpy().copy() for p in parameters(torch.float32)]
    other = gpuopt.AdamWScheduleFree(arrays)
    other.train()
    for step in range(2):
        give_gradients(params, step)
        other.step([p.grad.numpy() for p in params])
    for one in (optimizer, other):
        one.eval()
    assert all(torch.from_numpy(a).equal(p.detach()) for a, p in zip(arrays, params))

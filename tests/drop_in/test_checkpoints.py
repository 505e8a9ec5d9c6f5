"""Checkpoints go from torch.optim to gpuopt and back in mid-run, and training goes on."""

import copy
import io
import pickle

import pytest

torch = pytest.importorskip("torch")

import gpuopt.torch as ours  # noqa: E402
from tests.drop_in.pairs import (  # noqa: E402
    CLASSES,
    OF_TORCH,
    OPTIONS,
    Pair,
    assert_close,
    give_gradients,
    parameters,
)


def through_a_file(state_dict):
    file = io.BytesIO()
    torch.save(state_dict, file)
    file.seek(0)
    return torch.load(file)


CARRIED = ("mu_product", "eta", "mu")
"""What torch keeps in float32, and gpuopt as it is: in float64."""


def kinds(state_dict):
    """Keys, dtypes, shapes and devices of all states."""
    return {
        place: {k: (None if k in CARRIED else v.dtype, v.shape, v.device) for k, v in held.items()}
        for place, held in state_dict["state"].items()
    }


@pytest.mark.parametrize("name", OF_TORCH)
def test_state_dicts_are_laid_out_as_torchs(name):
    pair = Pair(name, torch.float32).step(2, resting=(1,))
    mine, theirs = pair.mine.state_dict(), pair.theirs.state_dict()
    assert kinds(mine) == kinds(theirs)
    assert mine["param_groups"] == theirs["param_groups"]


@pytest.mark.usefixtures("float64_everywhere")
@pytest.mark.parametrize("name", OF_TORCH)
def test_swapped_in_mid_run(name):
    pair = Pair(name).step(4, resting=(1,))
    mine, theirs = pair.mine.state_dict(), pair.theirs.state_dict()
    pair.mine.load_state_dict(through_a_file(theirs))
    pair.theirs.load_state_dict(through_a_file(mine))
    pair.step(4).assert_close()


@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.complex64])
def test_resumed_with_the_same_bits(name, dtype):
    options = OPTIONS.get(name, {})
    params, resumed = parameters(dtype), parameters(dtype)
    optimizer = getattr(ours, name)(params, **options)
    for step in range(3):
        give_gradients(params, step)
        optimizer.step()
    with torch.no_grad():
        for mine, theirs in zip(resumed, params):
            mine.copy_(theirs)
    other = getattr(ours, name)(resumed, **options)
    other.load_state_dict(through_a_file(optimizer.state_dict()))
    for step in range(3, 6):
        for own, each in ((params, optimizer), (resumed, other)):
            give_gradients(own, step)
            each.step()
    assert all(map(torch.equal, params, resumed))


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda o: pickle.loads(pickle.dumps(o))])
def test_a_copy_goes_on_by_itself(copied):
    params = parameters(torch.float32)
    optimizer = ours.Adam(params, lr=0.1)
    give_gradients(params, 0)
    optimizer.step()
    other = copied(optimizer)
    theirs = [p for group in other.param_groups for p in group["params"]]
    assert not set(map(id, theirs)) & set(map(id, params))
    before = [p.detach().clone() for p in params]
    give_gradients(theirs, 1)
    other.step()
    assert all(map(torch.equal, params, before))
    give_gradients(params, 1)
    optimizer.step()
    assert all(map(torch.equal, params, theirs))


def test_states_keep_the_dtype_that_they_were_saved_in():
    params = parameters(torch.bfloat16)
    saved = torch.optim.Adam(params)
    give_gradients(params, 0)
    saved.step()
    optimizer = ours.Adam(params)
    optimizer.load_state_dict(saved.state_dict())
    assert optimizer.state[params[0]]["exp_avg"].dtype == torch.bfloat16
    wide = ours.Adam(params)
    give_gradients(params, 0)
    wide.step()
    optimizer.load_state_dict(wide.state_dict())
    assert optimizer.state[params[0]]["exp_avg"].dtype == torch.float32
    assert optimizer.state[params[0]]["exp_avg"].equal(wide.state[params[0]]["exp_avg"])
    assert optimizer.state[params[0]]["exp_avg"] is not wide.state[params[0]]["exp_avg"]


def test_hooks_of_state_dicts():
    params = parameters()
    optimizer, seen = ours.Adam(params), []
    optimizer.register_state_dict_pre_hook(lambda o: seen.append("before save"))
    optimizer.register_state_dict_post_hook(lambda o, d: {**d, "more": 1})
    optimizer.register_load_state_dict_pre_hook(lambda o, d: seen.append("before load"))
    optimizer.register_load_state_dict_post_hook(lambda o: seen.append("after load"))
    give_gradients(params, 0)
    optimizer.step()
    saved = optimizer.state_dict()
    assert saved.pop("more") == 1
    optimizer.load_state_dict(saved)
    assert seen == ["before save", "before load", "after load"]


def test_hooks_after_loading_have_the_last_word():
    """The states that they put there stay, whatever dtype they have."""
    params = parameters(torch.bfloat16)
    optimizer = ours.Adam(params)
    give_gradients(params, 0)
    optimizer.step()
    saved, seen = through_a_file(optimizer.state_dict()), []

    def narrow(loaded):
        held = loaded.state[params[0]]
        seen.append(held["exp_avg"].dtype)
        held["exp_avg"] = torch.full_like(params[0], 0.5)

    optimizer.register_load_state_dict_post_hook(narrow)
    optimizer.load_state_dict(saved)
    assert seen == [torch.float32]
    assert optimizer.state[params[0]]["exp_avg"].equal(torch.full_like(params[0], 0.5))


@pytest.mark.usefixtures("float64_everywhere")
@pytest.mark.parametrize("name", OF_TORCH)
def test_a_state_dict_is_live(name):
    """Nobody copied it: loaded after a step, it is of that step, the count with the states."""
    pair = Pair(name).step()
    saved = pair.mine.state_dict(), pair.theirs.state_dict()
    pair.step()
    for optimizer, own in zip((pair.mine, pair.theirs), saved):
        optimizer.load_state_dict(own)
    pair.step().assert_close()
    for mine, theirs in zip(pair.params, pair.twins):
        held, other = pair.mine.state[mine], pair.theirs.state[theirs]
        assert held.get("step", 0) == other.get("step", 0)


def test_a_state_dict_made_in_inference_mode_hinders_nobody():
    pair = Pair("Adam").step()
    with torch.inference_mode():
        pair.mine.state_dict()
    pair.step()
    assert pair.mine.state[pair.params[0]]["step"].item() == 2
    pair.mine.load_state_dict(through_a_file(pair.mine.state_dict()))
    pair.step().assert_close()


def with_skipped_steps():
    param = torch.ones(3, requires_grad=True)
    optimizer = ours.Adam([param], skip_nonfinite=True)
    for grad in (1.0, float("nan"), float("inf")):
        param.grad = torch.full((3,), grad)
        optimizer.step()
    return param, optimizer


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda o: pickle.loads(pickle.dumps(o))])
def test_copies_know_how_many_steps_were_skipped(copied):
    _, optimizer = with_skipped_steps()
    twice = copied(copied(optimizer))  # the first has taken no step when it is copied
    assert (optimizer.skipped_steps, twice.skipped_steps) == (2, 2)


@pytest.mark.parametrize("before", [0, 1])
def test_state_dicts_know_how_many_steps_were_skipped(before):
    param, optimizer = with_skipped_steps()
    saved = through_a_file(optimizer.state_dict())
    for _ in range(before):
        optimizer.step()
    optimizer.load_state_dict(saved)
    optimizer.step()
    assert optimizer.skipped_steps == 3
    fresh = ours.Adam([param], skip_nonfinite=True)
    fresh.load_state_dict(saved)
    assert fresh.skipped_steps == 2
    theirs = torch.optim.Adam([param])
    theirs.load_state_dict(saved)
    fresh.load_state_dict(theirs.state_dict())
    assert fresh.skipped_steps == 2
    assert "skipped_steps" not in ours.Adam([param]).state_dict()


@pytest.mark.parametrize("count", [-1, 2**64, 1.5, "2"])
def test_a_count_of_skipped_steps_that_is_none_changes_nothing(count):
    _, optimizer = with_skipped_steps()
    saved = optimizer.state_dict()
    before = copy.deepcopy(saved)
    with pytest.raises(ValueError, match="expected a count as skipped_steps"):
        optimizer.load_state_dict({**saved, "state": {}, "skipped_steps": count})
    assert optimizer.skipped_steps == 2
    assert str(optimizer.state_dict()) == str(before)
    optimizer.step()
    assert optimizer.skipped_steps == 3


def test_a_state_that_does_not_fit_is_named():
    params = parameters()
    optimizer = ours.Adam(params)
    give_gradients(params, 0)
    optimizer.step()
    optimizer.state[params[0]]["exp_avg"] = torch.zeros(5)
    with pytest.raises(ValueError, match=r"state 'exp_avg' of params\[0\]: expected shape"):
        optimizer.step()


def test_states_and_steps_that_somebody_replaces_count():
    pair = Pair("Adam").step(2)
    for params, optimizer in ((pair.params, pair.mine), (pair.twins, pair.theirs)):
        held = optimizer.state[params[0]]
        held["exp_avg"] = torch.full_like(held["exp_avg"], 0.5)
        held["exp_avg_sq"].fill_(2.0)
        held["step"].fill_(7.0)
        optimizer.state.pop(params[1])
    pair.step(2).assert_close()
    assert pair.mine.state[pair.params[0]]["step"].item() == 9


def test_states_that_move_though_nobody_looks_at_them_count():
    pair = Pair("Adam").step(2)
    both = (pair.params, pair.mine), (pair.twins, pair.theirs)
    held = [optimizer.state[params[0]]["exp_avg"] for params, optimizer in both]
    pair.step(1)
    kept = [tensor.data for tensor in held]  # a step that writes there is wrong, and does not crash
    for tensor in held:
        tensor.data = torch.full_like(tensor, 0.5)
    pair.step(2).assert_close()
    assert not any(map(torch.equal, kept, held))


@pytest.mark.usefixtures("float64_everywhere")
@pytest.mark.parametrize("name", [n for n in OF_TORCH if n != "Adagrad"])
def test_states_that_were_removed_do_not_come_back_before_the_next_gradient(name):
    pair = Pair(name).step(2)
    for params, optimizer in ((pair.params, pair.mine), (pair.twins, pair.theirs)):
        optimizer.state.pop(params[0], None)
    pair.step(2, resting=(0,))
    for optimizer in (pair.mine, pair.theirs):
        optimizer.param_groups[0]["lr"] = 0.05  # some states start with it
    pair.step(1).assert_close()
    optimizer = pair.mine
    optimizer.state.pop(pair.params[0], None)
    pair.step(1, resting=(0,))
    assert not optimizer.state.get(pair.params[0])


def test_steps_beyond_what_float32_counts():
    param = torch.zeros(3, requires_grad=True)
    optimizer = ours.Adam([param])
    param.grad = torch.ones(3)
    optimizer.step()
    optimizer.state[param]["step"].fill_(2.0**24)
    optimizer.step()
    for _ in range(3):
        optimizer.step()
    assert optimizer.state[param]["step"].item() == 2**24 + 4


def model_of(module, name, options):
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Linear(4, 2))
    return model, getattr(module, name)(model.parameters(), **options)


@pytest.mark.usefixtures("float64_everywhere")
@pytest.mark.parametrize("full", [True, False])
@pytest.mark.parametrize("name", OF_TORCH)
def test_through_torchs_distributed_state_dicts(name, full):
    """By names of parameters; groups must have torch's own keys."""
    from torch.distributed.checkpoint import state_dict as by_name

    options = {"lr": 0.01, **OPTIONS.get(name, {})}
    pairs = [model_of(ours, name, options), model_of(torch.optim, name, options)]

    def step(count):
        for k in range(count):
            for model, optimizer in pairs:
                optimizer.zero_grad()
                model(torch.full((2, 4), 0.5 + k)).square().sum().backward()
                optimizer.step()

    how = by_name.StateDictOptions(full_state_dict=full)
    step(3)
    mine, theirs = (by_name.get_optimizer_state_dict(m, o, options=how) for m, o in pairs)
    for (model, optimizer), other in zip(pairs, (theirs, mine)):
        by_name.set_optimizer_state_dict(model, optimizer, other, options=how)
    step(3)
    assert_close(*(list(model.parameters()) for model, _ in pairs))

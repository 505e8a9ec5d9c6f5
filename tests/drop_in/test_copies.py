"""A second optimizer from a first: each way has one rule, seen over steps of both in turn."""

import copy
import io
import pickle

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import gpuopt  # noqa: E402
import gpuopt.torch as ours  # noqa: E402
from tests.drop_in.pairs import CLASSES, OPTIONS, give_gradients, parameters  # noqa: E402

pytestmark = pytest.mark.usefixtures("nothing_to_compile")


def through_pickle(value):
    return pickle.loads(pickle.dumps(value))


def through_a_file(value):
    file = io.BytesIO()
    torch.save(value, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


def begun(name, dtype=torch.float32, steps=2, **options):
    """Parameters and their optimizer after some steps; alike whenever they are made."""
    params = parameters(dtype)
    optimizer = getattr(ours, name)(params, **{**OPTIONS.get(name, {}), **options})
    for step in range(steps):
        take(params, optimizer, step)
    return params, optimizer


def take(params, optimizer, step):
    give_gradients(params, step)
    optimizer.step()


def fresh(name, like, **options):
    params = [p.detach().clone().requires_grad_() for p in like]
    return params, getattr(ours, name)(params, **{**OPTIONS.get(name, {}), **options})


def assert_alike(mine, theirs):
    """Parameters, states and counts are of the same bits."""
    for (params, optimizer), (others, twin) in zip(mine, theirs):
        for p, q in zip(params, others, strict=True):
            assert torch.equal(p, q)
            assert optimizer.state[p].keys() == twin.state[q].keys()
            for name, state in optimizer.state[p].items():
                assert torch.equal(state, twin.state[q][name]), name


def in_turn(one, other):
    """Steps of both, with other gradients each; what is looked at on the way changes nothing."""
    for k in range(3):
        take(*one, 10 + k)
        take(*other, 20 + k)
        other[1].state_dict()
        take(*other, 30 + k)
    return one, other


COPIES = {
    "deepcopy": copy.deepcopy,
    "pickle": through_pickle,
    "torch.save": through_a_file,
}


@pytest.mark.parametrize("how", COPIES)
@pytest.mark.parametrize("name", CLASSES)
def test_copies_have_parameters_states_and_counts_of_their_own(name, how):
    one = begun(name)
    twin = COPIES[how](one[1])
    other = [p for group in twin.param_groups for p in group["params"]], twin
    assert_alike(in_turn(one, other), in_turn(begun(name), begun(name)))


TAILS = {
    "plain": (torch.float32, {}),
    "complex": (torch.complex64, {"ema_decay": 0.5}),
    "masters": (torch.bfloat16, {"master_weights": True, "ema_decay": 0.5}),
    "narrow": (torch.bfloat16, {"state_dtype": "bfloat16"}),
    "double": (torch.float64, {"kahan_sum": False}),
}


@pytest.mark.parametrize("tail", TAILS)
@pytest.mark.parametrize("name", CLASSES)
def test_a_loaded_state_dict_is_copied(name, tail):
    """As with those that went through a file; the parameters are the loading one's."""
    dtype, options = TAILS[tail]

    def two(saved):
        one = begun(name, dtype, **options)
        other = fresh(name, one[0], **options)
        other[1].load_state_dict(saved(one[1].state_dict()))
        return one, other

    assert_alike(in_turn(*two(lambda given: given)), in_turn(*two(copy.deepcopy)))


@pytest.mark.parametrize("name", [n for n in CLASSES if hasattr(torch.optim, n)])
def test_what_torch_hands_over_is_copied(name):
    params = parameters(torch.float32)
    theirs = getattr(torch.optim, name)(params, **OPTIONS.get(name, {}))
    take(params, theirs, 0)
    before = copy.deepcopy(theirs.state_dict())
    other = fresh(name, params)
    other[1].load_state_dict(theirs.state_dict())
    take(*other, 1)
    assert str(theirs.state_dict()) == str(before)


def test_states_that_come_back_stay_where_they_are():
    """So that loading one's own takes no memory, as torch's functions for checkpoints do."""
    params, optimizer = begun("Adam")
    before = dict(optimizer.state[params[0]])
    optimizer.load_state_dict(optimizer.state_dict())
    assert all(optimizer.state[params[0]][name] is state for name, state in before.items())
    take(params, optimizer, 2)
    assert_alike([(params, optimizer)], [begun("Adam", steps=3)])


def test_states_of_another_parameter_do_not_stay():
    params = [torch.ones(3, requires_grad=True) for _ in range(2)]
    optimizer = ours.Adam(params)
    for param in params:
        param.grad = torch.ones(3)
    optimizer.step()
    saved = optimizer.state_dict()
    saved = {**saved, "state": {0: saved["state"][0], 1: saved["state"][0]}}
    optimizer.load_state_dict(saved)
    optimizer.step()  # the same array twice would be an error
    assert torch.equal(*(optimizer.state[p]["exp_avg"] for p in params))


@pytest.mark.parametrize("name", CLASSES)
def test_a_shallow_copy_is_the_same_optimizer(name):
    """As torch's is: the same parameters, groups, states and counts."""
    params, optimizer = begun(name)
    other = copy.copy(optimizer)
    assert other.state is optimizer.state
    assert other.param_groups is optimizer.param_groups
    for step in range(2, 8):
        take(params, (optimizer, other)[step % 2], step)
    assert_alike([(params, optimizer), (params, other)], [begun(name, steps=8)] * 2)


@pytest.mark.parametrize("loading", [0, 1])
def test_a_shallow_copy_is_another_one_once_either_has_loaded(loading):
    """As torch's is: the parameters stay the same, groups and states do not."""
    runs = []
    for kind in (ours.Adam, torch.optim.Adam):
        params = parameters(torch.float32)
        optimizer = kind(params, lr=0.1)
        take(params, optimizer, 0)
        both = [optimizer, copy.copy(optimizer)]
        take(params, both[1], 1)
        both[loading].load_state_dict(copy.deepcopy(both[0].state_dict()))
        both[0].param_groups[0]["lr"] = 0.5
        for step in (2, 3, 4):
            take(params, both[step % 2], step)
        runs.append((params, both))
    (params, mine), (twins, theirs) = runs
    assert [o.param_groups[0]["lr"] for o in mine] == [o.param_groups[0]["lr"] for o in theirs]
    for a, b in zip(mine, theirs):
        assert [a.state[p]["step"].item() for p in params] == [
            b.state[q]["step"].item() for q in twins
        ]
        for p, q in zip(params, twins):
            torch.testing.assert_close(a.state[p]["exp_avg"], b.state[q]["exp_avg"])


@pytest.mark.parametrize("loading", [0, 1])
def test_a_shallow_copy_that_loads_the_states_of_both_has_others(loading):
    params, optimizer = begun("Adam")
    both = [optimizer, copy.copy(optimizer)]
    both[loading].load_state_dict(optimizer.state_dict())
    before = [optimizer.state[p]["exp_avg"].clone() for p in params]
    take(params, both[1], 2)
    assert all(map(torch.equal, before, (optimizer.state[p]["exp_avg"] for p in params)))


def test_a_shallow_copy_whose_loading_fails_stays_the_same():
    params, optimizer = begun("Adam")
    other = copy.copy(optimizer)
    with pytest.raises(ValueError, match="expected that of Adam"):
        other.load_state_dict(begun("SGD")[1].state_dict())
    take(params, other, 2)
    take(params, optimizer, 3)
    assert_alike([(params, optimizer), (params, other)], [begun("Adam", steps=4)] * 2)


@pytest.mark.parametrize("how", [copy.copy, copy.deepcopy, pickle.dumps])
def test_optimizers_over_arrays_are_not_copied(how):
    optimizer = gpuopt.Adam([p.detach().numpy() for p in parameters(torch.float32)])
    with pytest.raises(TypeError, match="Adam: an optimizer cannot be copied or pickled"):
        how(optimizer)


def test_a_state_dict_of_arrays_is_copied():
    def two(saved):
        made = []
        for _ in range(2):
            arrays = [p.detach().numpy().copy() for p in parameters(torch.float32)]
            made.append((arrays, gpuopt.Adam(arrays)))
        (arrays, one), (_, other) = made
        one.step([a.copy() for a in arrays])
        other.load_state_dict(saved(one.state_dict()))
        for k in range(3):
            for at, (own, optimizer) in enumerate(made):
                optimizer.step([np.asarray(a * (k + at), np.float32) for a in own])
        return [(own, optimizer.state_dict()) for own, optimizer in made]

    assert str(two(lambda given: given)) == str(two(copy.deepcopy))


def test_pickles_have_the_names_that_older_ones_have():
    _, optimizer = begun("Adam")
    param = optimizer.param_groups[0]["params"][0]
    own = {"_tail", "_tail_at_first", "_state_dtype", "_norm_group", "_skipped_before"}
    names = {"param_groups", "defaults", "state", *own, "_step_supports_amp_scaling"}
    assert optimizer.__getstate__().keys() == names
    optimizer.state[param]["step"].fill_(2.0**24)
    optimizer.step()
    saved = optimizer.__getstate__()
    assert saved.keys() == {*names, "_exact"}
    assert [count for _, _, count in saved["_exact"]] == [2**24 + 1]

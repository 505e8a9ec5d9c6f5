"""A run that was saved and continued has the bits of one that was not, with every option."""

import copy
import io
import pickle
import warnings

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import gpuopt.torch  # noqa: E402
from gpuopt import Adam  # noqa: E402
from tests.helpers.bits import assert_same_bits  # noqa: E402
from tests.tail.cases import COMBINATIONS, STORED, label, new_grads, new_params  # noqa: E402

SHAPES = ((300,), (17, 5), ())


def run(opt, params, steps):
    for step in steps:
        opt.step(new_grads("bfloat16", step, SHAPES, bad=False))


@pytest.mark.parametrize("through", ["dict", "file"])
@pytest.mark.parametrize("case", COMBINATIONS, ids=label)
def test_arrays_continue(case, through, tmp_path):
    whole, params = new_params("bfloat16", SHAPES), new_params("bfloat16", SHAPES)
    run(uncut := Adam(whole, lr=0.1, **{"seed": 3, **case}), whole, range(6))
    run(first := Adam(params, lr=0.1, **{"seed": 3, **case}), params, range(3))
    second = Adam(params, lr=0.1, **{**case, "seed": 99})  # the noise is that of the checkpoint
    if through == "dict":
        second.load_state_dict(first.state_dict())
    else:
        first.save(tmp_path / "state")
        second.load(tmp_path / "state")
    run(second, params, range(3, 6))
    for mine, theirs in zip(params, whole):
        assert_same_bits(mine, theirs)
    for i in range(len(SHAPES)):
        assert second.state[i].keys() == uncut.state[i].keys()
        for name, state in uncut.state[i].items():
            assert_same_bits(np.asarray(second.state[i][name]), np.asarray(state), name)


def tensors(requires_grad=True):
    arrays = new_params("float32", SHAPES)
    return [torch.tensor(a).bfloat16().requires_grad_(requires_grad) for a in arrays]


def step_torch(opt, params, steps):
    for step in steps:
        for param, grad in zip(params, new_params("float32", SHAPES, 1000 + step)):
            param.grad = torch.tensor(grad).bfloat16()
        opt.step()


def through_dict(opt, params, make):
    new = make(params)
    new.load_state_dict(copy.deepcopy(opt.state_dict()))
    return new, params


def through_file(opt, params, make):
    file = io.BytesIO()
    torch.save(opt.state_dict(), file)
    file.seek(0)
    new = make(params)
    new.load_state_dict(torch.load(file))
    return new, params


def through_copy(opt, params, make):
    new = copy.deepcopy(opt)
    return new, new.param_groups[0]["params"]


def through_pickle(opt, params, make):
    new = pickle.loads(pickle.dumps(opt))
    return new, new.param_groups[0]["params"]


@pytest.mark.parametrize("through", [through_dict, through_file, through_copy, through_pickle])
@pytest.mark.parametrize("case", COMBINATIONS, ids=label)
@pytest.mark.parametrize("name", ["Adam", "SGD"])
def test_drop_ins_continue(name, case, through):
    def make(params):
        return getattr(gpuopt.torch, name)(params, lr=0.1, **{"seed": 3, **case})

    whole, params = tensors(), tensors()
    step_torch(make(whole), whole, range(6))
    step_torch(first := make(params), params, range(3))
    second, params = through(first, params, make)
    step_torch(second, params, range(3, 6))
    for mine, theirs in zip(params, whole):
        assert_same_bits(mine.detach().float().numpy(), theirs.detach().float().numpy())


def test_a_checkpoint_of_torchs_gets_its_tail_on_the_way():
    params = tensors()
    theirs = torch.optim.Adam(params, lr=0.1)
    step_torch(theirs, params, range(2))
    ours = gpuopt.torch.Adam(params, lr=0.1, ema_decay=0.5, master_weights=True)
    with pytest.warns(RuntimeWarning, match="averages were not saved, but ema_decay is in use"):
        ours.load_state_dict(theirs.state_dict())
    step_torch(ours, params, [2])
    for param in params:
        assert {"exp_avg", "exp_avg_sq", "ema", "master"} <= ours.state[param].keys()
        assert_same_bits(
            param.detach().float().numpy(), ours.state[param]["master"].bfloat16().float().numpy()
        )


def test_torch_loads_a_checkpoint_with_a_tail():
    params = tensors()
    ours = gpuopt.torch.Adam(params, lr=0.1, ema_decay=0.5, master_weights=True)
    step_torch(ours, params, range(2))
    theirs = torch.optim.Adam(params, lr=0.1)
    theirs.load_state_dict(ours.state_dict())
    step_torch(theirs, params, [2])


LEFT_OUT = "'ema' was saved but is not loaded: ema_decay is not in use here"
ANEW = "averages were not saved, but ema_decay is in use here: they start anew"


def stepped(make, **tail):
    """An optimizer after a step: of the array API, or a drop-in."""
    if make is Adam:
        opt = Adam(new_params("float32", SHAPES), **tail)
        opt.step(new_grads("float32", 0, SHAPES))
    else:
        params = [torch.ones(4, dtype=torch.bfloat16, requires_grad=True)]
        params[0].grad = torch.ones(4, dtype=torch.bfloat16)
        opt = make(params, **tail)
        opt.step()
    return opt


MAKERS = [Adam, gpuopt.torch.Adam, gpuopt.torch.RMSprop]


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ({"ema_decay": 0.5}, {}, [LEFT_OUT]),
        ({}, {"ema_decay": 0.5}, [ANEW]),
        ({"ema_decay": 0.5}, {"ema_decay": 0.75}, []),
        ({}, {}, []),
    ],
)
def test_averages_that_are_lost_or_begin_anew_are_named(make, before, after, said):
    saved, other = stepped(make, **before).state_dict(), stepped(make, **after)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        other.load_state_dict(saved)
    assert [one.category for one in caught] == [RuntimeWarning] * len(said)
    for one, text in zip(caught, said):
        assert str(one.message).startswith(f"load_state_dict: {text}")
        assert one.filename == __file__
    held = [name for own in other.state.values() for name in own]
    assert ("ema" in held) == bool(before and after)


@pytest.mark.parametrize("make", MAKERS)
def test_a_checkpoint_before_the_first_step_has_no_averages_to_miss(make):
    params = new_params("float32", SHAPES) if make is Adam else [torch.ones(4)]
    make(params, ema_decay=0.5).load_state_dict(make(params).state_dict())


@pytest.mark.parametrize("make", MAKERS[1:])
@pytest.mark.parametrize(
    ("option", "state"), [("master_weights", "master"), ("kahan_sum", "kahan_comp")]
)
def test_masters_and_compensations_that_are_lost_are_named(make, option, state):
    saved, other = stepped(make, **{option: True}).state_dict(), stepped(make)
    with pytest.warns(RuntimeWarning, match=f"{state!r} was saved but is not loaded: {option} is"):
        other.load_state_dict(saved)


def test_arrays_go_on_without_what_is_left_out(tmp_path):
    """A file with averages, into an optimizer without: as if they had never been."""
    whole, params = new_params("float32", SHAPES), new_params("float32", SHAPES)
    run_of(Adam(whole, lr=0.1), range(2))
    run_of(first := Adam(params, lr=0.1, ema_decay=0.5), range(1))
    first.save(tmp_path / "state")
    second = Adam(params, lr=0.1)
    with pytest.warns(RuntimeWarning, match="'ema' was saved but is not loaded"):
        second.load(tmp_path / "state")
    run_of(second, range(1, 2))
    for mine, theirs in zip(params, whole):
        assert_same_bits(mine, theirs)


def run_of(opt, steps):
    for step in steps:
        opt.step(new_grads("float32", step, SHAPES))


@pytest.mark.filterwarnings("ignore:load_state_dict:RuntimeWarning")  # see above
@pytest.mark.parametrize("case", [c for c in STORED if c], ids=label)
def test_drop_ins_leave_out_states_that_they_would_not_bring_on(case):
    """Else a later run with such a tail would go on from weights of long ago."""
    (tensor,) = params = [torch.ones(4, dtype=torch.bfloat16, requires_grad=True)]

    def trained(saved, **tail):
        opt = gpuopt.torch.SGD(params, lr=0.125, **tail)
        opt.load_state_dict(saved)
        for _ in range(2):
            tensor.grad = torch.ones(4, dtype=torch.bfloat16)
            opt.step()
        return opt.state_dict()

    saved = trained(gpuopt.torch.SGD(params, lr=0.125).state_dict(), ema_decay=0.5, **case)
    saved = trained(copy.deepcopy(saved))
    assert not {"ema", "master", "kahan_comp"} & saved["state"].get(0, {}).keys()
    saved = trained(copy.deepcopy(saved), ema_decay=0.5, **case)
    assert tensor.tolist() == [1 - 6 / 8] * 4
    assert saved["state"][0]["ema"].tolist() == [0.34375] * 4


def test_the_count_of_skipped_steps_is_saved():
    params = new_params("float32", SHAPES)
    opt = Adam(params, skip_nonfinite=True)
    opt.step([np.full(s, np.nan, np.float32) for s in SHAPES])
    other = Adam(params, skip_nonfinite=True)
    other.load_state_dict(opt.state_dict())
    assert other.skipped_steps == 1


def test_what_rests_after_fresh_states_were_loaded_has_none():
    """As over plain arrays: its average begins at the weights of its next step."""
    resting, other = (torch.ones(4, requires_grad=True) for _ in range(2))
    opt = gpuopt.torch.SGD([resting, other], lr=0.5, ema_decay=0.5)
    fresh = copy.deepcopy(opt.state_dict())

    def step(*active):
        for tensor in (resting, other):
            tensor.grad = torch.zeros(4) if any(tensor is a for a in active) else None
        opt.step()

    step(resting, other)
    opt.load_state_dict(fresh)
    step(other)
    assert "ema" not in opt.state.get(resting, {})
    resting.data.fill_(7.0)
    step(resting, other)
    assert opt.ema[resting].tolist() == [7.0] * 4

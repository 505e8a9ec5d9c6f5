"""Options read and changed between steps, for all groups at once or for one."""

import numpy as np
import pytest

import gpuopt
from gpuopt.rules.definitions import DEFINITIONS
from tests.helpers.optimizers import (
    OPTIMIZERS,
    arrays,
    everything,
    frozen,
    gradients,
    make,
    options_of,
)

CHANGED = {
    "lr": 0.125,
    "beta": 0.25,
    "betas": (0.25, 0.625),
    "eps": 0.5,
    "momentum": 0.375,
    "weight_decay": 0.125,
    "lr_decay": 0.5,
    "initial_accumulator_value": 2.0,
    "maximize": True,
    "nesterov": True,
    "centered": True,
    "amsgrad": True,
    "decoupled_weight_decay": True,
    "dampening": 0.25,
    "alpha": 0.25,
    "rho": 0.25,
    "momentum_decay": 0.5,
    "lambd": 0.25,
    "t0": 2.0,
    "etas": (0.25, 2.0),
    "step_sizes": (0.125, 4.0),
    "trust_coefficient": 0.5,
    "gamma": 0.5,
    "optimize_1d": True,
    "lr_1d_factor": 0.5,
    "betas_1d": (0.25, 0.625),
    "weight_decay_1d": 0.25,
    "beta3_warmup": 8.0,
    "alpha_warmup": 8.0,
    "no_prox": True,
    "decouple": True,
    "warmup_steps": 50.0,
    "r": 2.0,
    "weight_lr_power": 3.0,
    "silent_sgd_phase": True,
    "bs": 2.0,
    "use_bias_correction": True,
    "safeguard_warmup": True,
    "beta3": 0.25,
    "one_pass": True,
    "d0": 0.5,
    "d_coef": 0.5,
    "growth_rate": 1.5,
    "layer_scale": 0.5,
}
"""For each option, a value that is nobody's default."""

THREE_BETAS = (0.25, 0.625, 0.5)


def new_value(name, option):
    """A value that is not the default of an optimizer's option."""
    three = len(DEFINITIONS[name].by_name[option].ranges) == 3
    if (name, option) == ("Prodigy", "decouple"):
        return False
    return THREE_BETAS if three else CHANGED[option]


BESIDE = {
    ("SGD", "nesterov"): {"momentum": 0.5},
    ("SGD", "dampening"): {"momentum": 0.5},
    **{
        (name, "decoupled_weight_decay"): {"weight_decay": 0.25}
        for name in ("Adam", "NAdam", "RAdam")
    },
    ("Adan", "no_prox"): {"weight_decay": 0.25},
    **{(name, "decouple"): {"weight_decay": 0.25} for name in ("ADOPT", "DAdaptAdam", "Prodigy")},
    ("Prodigy", "safeguard_warmup"): {"lr": 0.5},
    ("SGDScheduleFree", "weight_lr_power"): {"warmup_steps": 10.0},
    ("AdamWScheduleFree", "weight_lr_power"): {"warmup_steps": 10.0},
}
"""What some options do nothing without."""

EACH_OPTION = [
    (name, option)
    for name in OPTIMIZERS
    for option in options_of(name)
    if option != "train_mode"  # train() and eval() change it
]


def bits(flat):
    return [frozen(array) for array in flat]


@pytest.mark.parametrize(("name", "option"), EACH_OPTION)
def test_every_option_can_be_read_and_changed_between_steps(numpy_backend, name, option):
    """The steps after are those of an optimizer that was made with the new value."""
    params, expected = arrays(0), arrays(0)
    beside = BESIDE.get((name, option), {})
    optimizer = make(name, params, **beside)
    changed = make(name, expected, **{**beside, option: new_value(name, option)})
    assert getattr(optimizer, option) != new_value(name, option)
    for step in range(2):
        optimizer.step(gradients(step))
    setattr(optimizer, option, new_value(name, option))
    assert (
        getattr(optimizer, option) == new_value(name, option) == optimizer.param_groups[0][option]
    )
    for array, source in zip(expected, params):
        array[...] = source
    changed.load_state_dict(optimizer.state_dict())
    for step in range(2, 5):
        optimizer.step(gradients(step))
        changed.step(gradients(step))
    assert everything(optimizer, params) == everything(changed, expected)


LATER = {
    "momentum": 2,  # a buffer that starts at zero
    "amsgrad": 3,  # a second moment that has to fall
    "lr of ASGD": 2,  # of which each step computes the next one's step size
    "alpha of ASGD": 2,
    "eps of RAdam": 5,  # whose first steps divide by no average
    "eps of RAdamScheduleFree": 4,
    "weight_lr_power of RAdamScheduleFree": 4,
    "betas of SophiaG": 2,
    **dict.fromkeys(("growth_rate", "beta3", "d0", "d_coef", "one_pass", "safeguard_warmup"), 2),
}
"""Steps until it shows."""

NEVER = (
    *("initial_accumulator_value", "lr of Rprop", "t0 of ASGD"),
    *("rho of SophiaG", "bs of SophiaG", "d0 of DAdaptAdam"),
)
"""What says where states and estimates start, averages on the side, or needs a pass before it."""


@pytest.mark.parametrize(
    ("name", "option"),
    [pair for pair in EACH_OPTION if not {pair[1], " of ".join(pair[::-1])} & set(NEVER)],
)
def test_a_changed_option_takes_effect_at_the_next_step(numpy_backend, name, option):
    changed, same = arrays(0), arrays(0)
    every = 0 if DEFINITIONS[name].shared else 1  # gradients that differ let no estimate grow
    for params, change in ((changed, True), (same, False)):
        optimizer = make(name, params, **BESIDE.get((name, option), {}))
        for step in range(2):
            optimizer.step(gradients(every * step))
        if change:
            setattr(optimizer, option, new_value(name, option))
        for step in range(LATER.get(option, LATER.get(f"{option} of {name}", 1))):
            optimizer.step(gradients(every * (2 + step)))
    assert bits(changed) != bits(same)


def test_the_start_of_the_sum(backend):
    param = np.zeros(2)
    optimizer = gpuopt.Adagrad([param], lr=1.0, eps=0.0, initial_accumulator_value=5.0)
    optimizer.step([np.full(2, 2.0)])
    assert optimizer.state[0]["sum"].tolist() == [9.0, 9.0]
    assert param.tolist() == [-2 / 3, -2 / 3]


def test_the_start_of_the_sum_counts_for_arrays_that_start_later(numpy_backend):
    params, expected = arrays(0), arrays(0)
    optimizer = gpuopt.Adagrad(params[:2])
    optimizer.step([gradients(0)[0], None])
    optimizer.initial_accumulator_value = 2.0
    optimizer.step([None, gradients(0)[1]])
    gpuopt.Adagrad(expected[:1]).step(gradients(0)[:1])
    gpuopt.Adagrad(expected[1:2], initial_accumulator_value=2.0).step(gradients(0)[1:2])
    assert bits(params[:2]) == bits(expected[:2])


@pytest.mark.parametrize(("name", "option"), EACH_OPTION)
def test_an_option_of_one_group_changes_that_group_alone(numpy_backend, name, option):
    if DEFINITIONS[name].shared:
        pytest.skip("its arrays share numbers, and so depend on each other")
    params, expected = arrays(0), arrays(0)
    beside = BESIDE.get((name, option), {})
    together = make(name, [{"params": params[:2]}, {"params": params[2:]}], **beside)
    apart = make(name, expected[:2], **beside), make(name, expected[2:], **beside)
    for step in range(4):
        if step == 2:
            together.param_groups[1][option] = new_value(name, option)
            setattr(apart[1], option, new_value(name, option))
        together.step([gradients(step)[:2], gradients(step)[2:]])
        apart[0].step(gradients(step)[:2])
        apart[1].step(gradients(step)[2:])
    assert bits(params) == bits(expected)


def test_an_option_changed_and_changed_back_is_as_it_was(backend):
    params, expected = arrays(0), arrays(0)
    optimizer, reference = gpuopt.Adam(params, lr=0.5), gpuopt.Adam(expected, lr=0.5)
    for step in range(4):
        optimizer.lr = 123.0
        optimizer.lr = 0.5
        optimizer.step(gradients(step))
        reference.step(gradients(step))
    assert everything(optimizer, params) == everything(reference, expected)


def test_a_schedule_of_the_learning_rate(backend):
    """Three steps with three rates, against the formula written out."""
    params = arrays(0)
    expected = arrays(0)
    optimizer = gpuopt.SGD(params, lr=1.0)
    for step in range(3):
        optimizer.lr *= 0.5
        optimizer.step(gradients(step))
        for array, grad in zip(expected, gradients(step)):
            array -= array.dtype.type(0.5 ** (step + 1)) * grad
    assert bits(params) == bits(expected)


def test_options_that_differ_among_the_groups():
    optimizer = gpuopt.Adam([{"params": arrays(0), "lr": 0.5}, {"params": arrays(1)}], lr=0.25)
    with pytest.raises(AttributeError, match=r"lr differs among the groups: \[0.5, 0.25\]"):
        _ = optimizer.lr
    assert optimizer.eps == 1e-8
    optimizer.lr = 0.125
    assert optimizer.lr == 0.125
    assert [g["lr"] for g in optimizer.param_groups] == [0.125, 0.125]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_typo_is_an_error(name):
    optimizer = make(name, arrays(0))
    for typo in ("learning_rate", "weightdecay", "betta"):
        with pytest.raises(AttributeError, match=typo):
            setattr(optimizer, typo, 0.5)
        with pytest.raises(AttributeError, match=typo):
            getattr(optimizer, typo)
        with pytest.raises(TypeError, match=typo):
            optimizer.param_groups[0][typo] = 0.5
        with pytest.raises(TypeError, match=typo):
            make(name, arrays(0), **{typo: 0.5})
        with pytest.raises(KeyError):
            optimizer.param_groups[0][typo]
    assert list(optimizer.param_groups[0]) == options_of(name)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_options_of_other_optimizers_are_not_accepted(name):
    optimizer = make(name, arrays(0))
    for option in set(CHANGED) - set(options_of(name)):
        with pytest.raises(AttributeError, match=option):
            setattr(optimizer, option, CHANGED[option])
        with pytest.raises(TypeError, match=option):
            make(name, arrays(0), **{option: CHANGED[option]})


def test_options_that_exclude_each_other_do_so_later_too():
    first, second = arrays(0)[:2]
    groups = [{"params": [first], "momentum": 0.5}, {"params": [second]}]
    optimizer = gpuopt.SGD(groups, lr=0.5)
    said = "nesterov: expected momentum above 0 and dampening 0 beside it"
    with pytest.raises(ValueError, match=said):
        optimizer.nesterov = True
    assert [g["nesterov"] for g in optimizer.param_groups] == [False, False]
    optimizer.param_groups[0]["nesterov"] = True
    for option, value in (("momentum", 0.0), ("dampening", 0.5)):
        with pytest.raises(ValueError, match=said):
            optimizer.param_groups[0][option] = value
        with pytest.raises(ValueError, match=said):
            optimizer.param_groups[0].update({option: value})
    saved = optimizer.state_dict()
    saved["param_groups"][1]["nesterov"] = True
    with pytest.raises(ValueError, match=said):
        optimizer.load_state_dict(saved)


def test_the_options_of_a_group_behave_as_a_dict():
    optimizer = gpuopt.SGD(arrays(0), lr=0.5)
    group = optimizer.param_groups[0]
    options = ["lr", "momentum", "dampening", "weight_decay", "nesterov", "maximize"]
    assert list(group) == options
    assert list(dict(group).values()) == [0.5, 0.0, 0.0, 0.0, False, False]
    assert len(group) == 6
    assert "lr" in group and "learning_rate" not in group
    group.update(lr=0.25, maximize=True)
    group.update({"weight_decay": 0.125})
    assert list(dict(group).values()) == [0.25, 0.0, 0.0, 0.125, False, True]
    assert (optimizer.lr, optimizer.weight_decay, optimizer.maximize) == (0.25, 0.125, True)


def test_an_option_always_has_a_value():
    optimizer = gpuopt.SGD(arrays(0), lr=0.5)
    group = optimizer.param_groups[0]
    before = dict(group)
    for delete in (
        lambda: group.pop("lr"),
        group.popitem,
        group.clear,
        lambda: group.__delitem__("lr"),
    ):
        with pytest.raises(TypeError, match="cannot be deleted"):
            delete()
    assert dict(group) == before


def test_options_come_out_as_floats_pairs_and_booleans():
    """Whatever kind of number went in: what is saved and shown is plain."""
    optimizer = gpuopt.Adam(
        arrays(0), lr=np.float32(0.5), betas=np.array([0.5, 0.75]), eps=np.array(0), amsgrad=True
    )
    group = dict(optimizer.param_groups[0])
    assert group["lr"] == 0.5 and type(group["lr"]) is float
    assert group["betas"] == (0.5, 0.75) and [type(b) for b in group["betas"]] == [float, float]
    assert group["eps"] == 0.0 and type(group["eps"]) is float
    assert group["amsgrad"] is True
    optimizer.lr = 1
    assert type(optimizer.lr) is float


def test_a_learning_rate_as_a_tensor_counts_at_each_step(backend):
    """Changed in place, as schedulers do, it takes effect; what it may not be is refused."""
    torch = pytest.importorskip("torch")
    rate = torch.tensor(1.0)
    param, grad = np.zeros(2, np.float32), np.ones(2, np.float32)
    optimizer = gpuopt.SGD([param], lr=rate)
    optimizer.step([grad])
    rate.mul_(0.5)
    optimizer.step([grad])
    assert param.tolist() == [-1.5, -1.5]
    for bad in (-1.0, float("nan"), float("inf")):
        rate.fill_(bad)
        with pytest.raises(ValueError, match="lr: expected a finite number of at least 0, got "):
            optimizer.step([grad])
        assert param.tolist() == [-1.5, -1.5]
        assert optimizer.state[0]["step"] == 2
    rate.fill_(0.25)
    saved = optimizer.state_dict()
    optimizer.step([grad])
    assert param.tolist() == [-1.75, -1.75]
    rate.fill_(9.0)
    assert saved["param_groups"][0]["lr"] == 0.25
    resumed = gpuopt.SGD([param], lr=1.0)
    resumed.load_state_dict(saved)
    resumed.step([grad])
    assert param.tolist() == [-2, -2]


def test_a_learning_rate_as_a_tensor_is_saved(tmp_path):
    torch = pytest.importorskip("torch")
    pytest.importorskip("safetensors")
    gpuopt.SGD(arrays(0), lr=torch.tensor(0.25)).save(tmp_path / "state")
    loaded = gpuopt.SGD(arrays(0), lr=1.0)
    loaded.load(tmp_path / "state")
    assert loaded.lr == 0.25


def test_what_must_be_named():
    optimizer = gpuopt.SGD(arrays(0), 0.5)
    with pytest.raises(TypeError, match="positional"):
        optimizer.step(gradients(0), 2.0)
    with pytest.raises(TypeError, match="positional"):
        gpuopt.SGD(arrays(0), 0.5, 0.0, 0.0, 0.0, False, True)

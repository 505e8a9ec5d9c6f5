"""Options of a whole optimizer: read as attributes, shown, and refused where they do nothing."""

import copy
import pickle
import re
import warnings

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import gpuopt  # noqa: E402
import gpuopt.torch as ours  # noqa: E402
from gpuopt.engine.tail import OPTIONS, Tail  # noqa: E402
from tests.drop_in.pairs import CLASSES  # noqa: E402
from tests.helpers.optimizers import OPTIMIZERS, make  # noqa: E402
from tests.rules.oracles import training  # noqa: E402

EVERY = {
    "clip_norm": 0.5,
    "clip_value": 0.25,
    "error_if_nonfinite": True,
    "skip_nonfinite": True,
    "ema_decay": 0.75,
    "master_weights": True,
    "stochastic_rounding": True,
    "kahan_sum": True,
    "seed": 3,
    "min_8bit_size": 1,
    "stats": True,
    "zero_grads": True,
    "cautious": True,
    "cautious_weight_decay": True,
    "decouple_lr": 0.5,
    "state_dtype": "bfloat16",
    "norm_group": "world",
}
CHANGEABLE = ("clip_norm", "clip_value", "ema_decay", "decouple_lr")
NEEDED = {
    "error_if_nonfinite": {"clip_norm": 0.5},
    "cautious_weight_decay": {"decoupled_weight_decay": True},
    "decouple_lr": {"decoupled_weight_decay": True},
}
OF_BOTH = sorted(EVERY.keys() - {"norm_group"})
ALONE = sorted(EVERY.keys() - {"state_dtype"})
"""What a group cannot have of its own: test_state_dtype_of_groups.py has the other."""


@pytest.fixture(autouse=True)
def nothing_to_compile():
    with gpuopt.use_backend("numpy"):
        yield


def of_arrays(**options):
    return gpuopt.Adam([np.ones(4, np.float32)], lr=1.0, **options)


def of_torch(**options):
    param = torch.ones(4, requires_grad=True)
    param.grad = torch.ones(4)
    return ours.Adam([param], lr=1.0, **options)


KINDS = pytest.mark.parametrize("new", [of_arrays, of_torch])


def the_way(option):
    later = rf"opt\.change\({option}=\.\.\.\)" if option in CHANGEABLE else "cannot be changed"
    return rf"{option}: an option of the whole optimizer; .*the constructor.*{later}"


def test_these_are_all():
    assert set(OPTIONS) | {"state_dtype", "norm_group"} == set(EVERY)


@KINDS
@pytest.mark.parametrize("option", OF_BOTH)
def test_an_attribute_is_not_assigned(new, option):
    beside = {"clip_norm": 1.0} if option == "error_if_nonfinite" else {}
    for opt in (new(), new(**beside, **{option: EVERY[option]})):
        with pytest.raises(AttributeError, match=the_way(option)):
            setattr(opt, option, EVERY[option])


@KINDS
@pytest.mark.parametrize("option", sorted(set(OF_BOTH) - {"stats"}))
def test_an_attribute_can_be_read(new, option):
    beside = {"clip_norm": 1.0} if option == "error_if_nonfinite" else {}
    assert getattr(new(**beside, **{option: EVERY[option]}), option) == EVERY[option]
    assert getattr(new(), option) == getattr(Tail(), option, None)


@KINDS
def test_what_was_changed_is_read(new):
    opt = new(clip_norm=1.0)
    opt.change(clip_norm=0.5)
    assert opt.clip_norm == 0.5
    opt.lr = 0.5  # no option of the whole optimizer
    assert opt.lr == 0.5


def test_a_norm_group():
    opt = of_torch(norm_group="world")
    assert opt.norm_group == "world"
    assert of_torch().norm_group is None
    with pytest.raises(AttributeError, match=the_way("norm_group")):
        opt.norm_group = None


@pytest.mark.parametrize("option", ALONE)
def test_a_group_of_a_drop_in(option):
    own = {option: EVERY[option]}
    params = [torch.ones(2, requires_grad=True) for _ in range(3)]
    groups = [{"params": params[:1]}, {"params": params[1:2], **own}]
    with pytest.raises(ValueError, match=rf"^param_groups\[1\]: {the_way(option)}"):
        ours.AdamW(groups)
    opt = ours.AdamW(params[:1])
    with pytest.raises(ValueError, match=rf"^param_groups\[1\]: {the_way(option)}"):
        opt.add_param_group({"params": params[1:], **own})
    assert len(opt.param_groups) == 1


@pytest.mark.parametrize("steps", [0, 2])
@pytest.mark.parametrize("option", ALONE)
def test_a_group_of_a_drop_in_later(option, steps):
    opt = of_torch()
    (param,) = opt.param_groups[0]["params"]
    for _ in range(steps):
        opt.step()
    before = param.detach().clone()
    opt.param_groups[0][option] = EVERY[option]
    for _ in range(2):  # the second step says so, too
        with pytest.raises(ValueError, match=rf"^param_groups\[0\]: {the_way(option)}"):
            opt.step()
    assert torch.equal(param, before)
    del opt.param_groups[0][option]
    opt.step()
    assert not torch.equal(param, before)


@pytest.mark.parametrize("option", ALONE)
def test_a_group_may_repeat_the_value_of_the_optimizer(option):
    """ZeroRedundancyOptimizer writes all arguments of the constructor into the groups."""
    needed = NEEDED.get(option, {})
    opt = of_torch(**needed, **{option: EVERY[option]})
    opt.param_groups[0][option] = EVERY[option]
    saved = opt.state_dict()
    opt = of_torch(**needed, **{option: EVERY[option]})
    opt.load_state_dict(saved)
    if option != "norm_group":  # which needs processes
        opt.step()
        opt.step()
    for other in (None, 0.125, "float16", object()):
        opt.param_groups[0][option] = other
        with pytest.raises(ValueError, match=rf"^param_groups\[0\]: {the_way(option)}.* got "):
            opt.step()
    with pytest.raises(ValueError, match=rf"^param_groups\[0\]: {the_way(option)}"):
        ours.Adam([{**opt.param_groups[0], "params": [torch.ones(2)]}], **needed)


def test_another_value_is_found_at_once():
    for steps in (1, 2, 3):
        opt = of_torch(clip_norm=0.5)
        opt.param_groups[0]["clip_norm"] = 0.5
        for _ in range(steps):
            opt.step()
        opt.param_groups[0]["clip_norm"] = 0.25
        with pytest.raises(ValueError, match=r"clip_norm: .*it has 0\.5, got 0\.25"):
            opt.step()


def test_what_was_changed_may_be_repeated_as_it_was():
    """As ZeroRedundancyOptimizer goes on to do."""
    opt = of_torch(clip_norm=0.5)
    opt.param_groups[0]["clip_norm"] = 0.5
    opt.step()
    opt.change(clip_norm=0.25)
    for one in (opt, copy.deepcopy(opt)):
        for value in (0.5, 0.25):
            one.param_groups[0]["clip_norm"] = value
            one.param_groups[0]["params"][0].grad = torch.ones(4)
            one.step()
        one.param_groups[0]["clip_norm"] = 0.75
        with pytest.raises(ValueError, match=r"clip_norm: .*it has 0\.25, got 0\.75"):
            one.step()
        one.param_groups[0].pop("clip_norm")
        one.param_groups[0]["name"] = "as many as before"
        one.step()


@KINDS
@pytest.mark.parametrize("option", ALONE)
def test_a_loaded_state_dict(new, option):
    opt = new()
    saved = copy.deepcopy(opt.state_dict())
    saved["param_groups"][0].update({option: EVERY[option], "lr": 0.25})
    with pytest.raises(ValueError, match=rf"^state_dict: .*{the_way(option)}"):
        opt.load_state_dict(saved)
    assert opt.param_groups[0]["lr"] == 1.0
    assert option not in opt.param_groups[0]


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("option", sorted({*OF_BOTH} & {*ALONE}))
def test_a_group_of_arrays(name, option):
    a, b = np.ones(2, np.float32), np.ones(2, np.float32)
    with pytest.raises(TypeError, match=rf"^params\[1\]: {the_way(option)}"):
        make(name, [{"params": [a]}, {"params": [b], option: EVERY[option]}])
    opt = make(name, [a])
    with pytest.raises(TypeError, match=the_way(option)):
        opt.param_groups[0][option] = EVERY[option]


MISSPELT = [
    ("weight_decy", "weight_decay"),
    ("weightdecay", "weight_decay"),
    ("weight-decay", "weight_decay"),
    ("LR", "lr"),
    ("beta", "betas"),
    ("amsgard", "amsgrad"),
    ("clipnorm", "clip_norm"),
    ("Eps", "eps"),
]


@pytest.mark.parametrize(("written", "meant"), MISSPELT)
def test_a_misspelt_option_is_warned_of_once(written, meant):
    said = f"'{written}' in a group is no option of the optimizer.*is '{meant}' meant"
    params = [torch.ones(2, requires_grad=True) for _ in range(3)]
    for param in params:
        param.grad = torch.ones(2)
    with pytest.warns(UserWarning, match=said) as warned:
        opt = ours.Adam([{"params": [p], written: 0.5} for p in params[:2]])
        opt.add_param_group({"params": params[2:], written: 0.5})
        for _ in range(3):
            opt.step()
            opt.param_groups[0]["lr"] /= 2
    assert len(warned) == 1
    later = ours.Adam(params)
    later.step()
    later.param_groups[0][written] = 0.5
    with pytest.warns(UserWarning, match=said) as warned:
        later.step()
        later.step()
    assert len(warned) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UserWarning, match=said):
            ours.Adam([{"params": params, written: 0.5}])


NOT_OURS = """
    lr_scale lr_mult lr0 initial_lr base_lr max_lr min_lr swa_lr max_momentum base_momentum name
    names group_name width_mult wd wd_scale weight_decay_mult no_weight_decay layer_id use_muon tag
"""


def test_what_other_programs_put_into_groups_is_not_warned_of():
    """timm's, Lightning's, muP's and the schedulers' own names, and what users write."""
    for name in CLASSES:
        param = torch.ones(2, requires_grad=True)
        param.grad = torch.ones(2)
        own = dict.fromkeys(NOT_OURS.split(), 0.5)
        group = {"params": [("w", param)], **own, **training(name), 7: "a key of another type"}
        opt = getattr(ours, name)([group])
        opt.step()


@pytest.mark.parametrize("schedule", ["OneCycleLR", "CyclicLR", "LinearLR"])
def test_what_schedules_put_into_groups_is_no_misspelling(schedule):
    options = {"OneCycleLR": {"max_lr": 1.0, "total_steps": 9}, "CyclicLR": {"base_lr": 0.0}}
    options["CyclicLR"]["max_lr"] = 1.0
    opt = of_torch()
    made = getattr(torch.optim.lr_scheduler, schedule)(opt, **options.get(schedule, {}))
    for _ in range(4):
        opt.step()
        made.step()


@KINDS
def test_it_is_shown(new):
    plain, dressed = repr(new()), repr(new(clip_norm=0.0, stats=True, state_dtype="bfloat16"))
    for name in EVERY:
        assert name not in plain
    mark = "=" if new is of_arrays else ": "
    for shown in (f"clip_norm{mark}0.0", f"stats{mark}True", f"state_dtype{mark}"):
        assert shown in dressed
    assert "bfloat16" in dressed
    for name in set(EVERY) - {"clip_norm", "stats", "state_dtype"}:
        assert name not in dressed
    assert f"seed{mark}0" in repr(new(stochastic_rounding=True))


def test_a_drop_in_is_shown_as_torchs_is():
    param = torch.ones(2)
    theirs = repr(torch.optim.SGD([param], lr=0.5))
    assert repr(ours.SGD([param], lr=0.5)) == theirs
    assert repr(ours.SGD([param], lr=0.5, ema_decay=0.5, norm_group="world")) == (
        theirs.removesuffix(")")
        + "All Parameter Groups\n    ema_decay: 0.5\n    norm_group: world\n)"
    )


def test_copies_keep_and_refuse_them():
    for one in (copy.deepcopy, lambda opt: pickle.loads(pickle.dumps(opt))):
        opt = one(of_torch(clip_norm=0.5, state_dtype="float16"))
        assert (opt.clip_norm, opt.state_dtype) == (0.5, "float16")
        with pytest.raises(AttributeError, match=re.escape("opt.change(clip_norm=...)")):
            opt.clip_norm = 1.0
        opt.param_groups[0]["seed"] = 1
        with pytest.raises(ValueError, match=the_way("seed")):
            opt.step()


def test_asking_for_an_option_makes_no_engine():
    opt = of_torch(clip_norm=0.5)
    assert opt.clip_norm == 0.5
    assert "clip_norm" in repr(opt)
    assert opt._tensor_step is None

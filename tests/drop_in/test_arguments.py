"""What a drop-in is made with: names that it has, and numbers where it wants numbers."""

import inspect
from itertools import product

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import gpuopt  # noqa: E402
import gpuopt.torch as ours  # noqa: E402
from gpuopt.rules.definitions import DEFINITIONS  # noqa: E402
from tests.drop_in.pairs import CLASSES, OF_TORCH  # noqa: E402

TAKES = {
    name: [p for p in inspect.signature(getattr(ours, name)).parameters if p != "params"]
    for name in CLASSES
}
KINDS = {(d.name, o.name): len(o.ranges) for d in DEFINITIONS.values() for o in d.options}
"""By class and option, of how many numbers it is; 0: a flag."""

NUMBERS = [one for one, kind in KINDS.items() if kind == 1]
OF_SEVERAL = [one for one, kind in KINDS.items() if kind > 1]
OPTIONAL = [(d.name, option) for d in DEFINITIONS.values() for option in d.optional]
"""Those that may be None, too."""


def refused(options, *given):
    """Each option with each value that it does not take."""
    every = product(options, given)
    return [(*one, value) for one, value in every if value is not None or one not in OPTIONAL]


def made(name, **options):
    return getattr(ours, name)([torch.ones(3)], **options)


def test_every_argument_of_torchs_that_is_a_number_is_checked():
    for name in OF_TORCH:
        for option, one in inspect.signature(getattr(torch.optim, name)).parameters.items():
            if type(one.default) in (int, float):
                assert KINDS[name, option] == 1, (name, option)
            if type(one.default) is tuple:
                assert KINDS[name, option] == 2, (name, option)


@pytest.mark.parametrize(
    ("name", "option", "given"), refused(NUMBERS, "1e-3", None, [0.1], b"1", np.str_("0.1"))
)
def test_what_is_no_number_is_refused_by_name(name, option, given):
    with pytest.raises(TypeError, match=f"^{option}: expected a number, got "):
        made(name, **{option: given})


@pytest.mark.parametrize(("name", "option"), OPTIONAL)
def test_none_is_taken_where_it_is_an_option(name, option):
    param = torch.ones(3, requires_grad=True)
    param.grad = torch.ones(3)
    opt = getattr(ours, name)([{"params": [param], option: None}], **{option: 0.5})
    opt.step()
    opt.param_groups[0][option] = 0.25
    opt.step()
    opt.param_groups[0][option] = None
    opt.step()
    assert opt.state_dict()["param_groups"][0][option] is None


@pytest.mark.parametrize(("name", "option"), OF_SEVERAL)
@pytest.mark.parametrize(
    ("given", "kind", "message"),
    [
        (0.9, TypeError, ": expected {} numbers, got 0.9"),
        ((0.9,), ValueError, r": expected {} numbers, got \(0.9,\)"),
        (("0.9", 1.5, 0.5), TypeError, r"\[0\]: expected a number, got '0.9'"),
        ((0.5, None, 0.5), TypeError, r"\[1\]: expected a number, got None"),
    ],
)
def test_what_are_no_numbers_is_refused_by_name(name, option, given, kind, message):
    count = KINDS[name, option]
    given = given[:count] if isinstance(given, tuple) else given
    with pytest.raises(kind, match=f"^{option}{message.format(count)}"):
        made(name, **{option: given})


def test_by_place_too():
    with pytest.raises(TypeError, match=r"^lr: expected a number, got '1e-3'"):
        ours.AdamW([torch.ones(3)], "1e-3")
    with pytest.raises(TypeError, match=r"^betas: expected 2 numbers, got 0.9"):
        ours.AdamW([torch.ones(3)], 1e-3, 0.9)


@pytest.mark.parametrize("number", [np.float32(0.5), np.float64(0.5), torch.tensor(0.5), 1])
def test_numbers_of_all_libraries_are_taken(number):
    assert made("Adam", lr=number, eps=number).param_groups[0]["lr"] is number


def test_a_text_that_is_written_into_a_group_is_no_number_either():
    param = torch.ones(3, requires_grad=True)
    opt = ours.SGD([param], lr=0.5)
    param.grad = torch.ones(3)
    opt.param_groups[0]["lr"] = "0.5"
    with pytest.raises(TypeError, match=r"lr: expected a number, got '0\.5'"):
        opt.step()
    assert param.tolist() == [1.0] * 3


@pytest.mark.parametrize("name", CLASSES)
def test_an_unknown_name_comes_with_those_that_there_are(name):
    with pytest.raises(TypeError) as caught:
        made(name, colour="red")
    start, _, listed = str(caught.value).partition(": expected one of ")
    assert start == f"unknown option 'colour' of {name}"
    expected = {*TAKES[name], "state_dtype", "norm_group", "clip_norm", "ema_decay"} - {"tail"}
    assert expected <= set(listed.split(", "))


@pytest.mark.parametrize(
    ("name", "given", "meant"),
    [
        ("Adam", "beta1", "betas"),
        ("AdamW", "learning_rate", "lr"),
        ("RMSprop", "beta", "alpha"),
        ("SGD", "momentun", "momentum"),
        ("Momentum", "momentum", "beta"),
        ("Lion", "max_norm", "clip_norm"),
    ],
)
def test_what_may_be_meant(name, given, meant):
    with pytest.raises(TypeError, match=rf"; did you mean {meant}\?$"):
        made(name, **{given: 0.5})


def test_a_made_optimizer_in_place_of_its_class():
    params = [torch.ones(3, requires_grad=True)]
    for one in (ours.AdamW(params), torch.optim.SGD(params, lr=0.5)):
        with pytest.raises(TypeError, match=r"optimizer: expected .* gpuopt\.torch\.AdamW"):
            ours.StepInBackward(params, one)
    assert params[0]._post_accumulate_grad_hooks is None


def first_of(count, given):
    return (given, 0.5, 0.5)[:count] if count > 1 else given


@pytest.mark.parametrize(("name", "option", "given"), refused(NUMBERS + OF_SEVERAL, "1e-3", None))
def test_a_group_takes_numbers_as_the_constructor_does(name, option, given):
    def group():
        return {"params": [torch.ones(3)], option: first_of(KINDS[name, option], given)}

    where = rf"^param_groups\[1\]: {option}(\[0\])?: expected a number, got "
    with pytest.raises(TypeError, match=where):
        getattr(ours, name)([{"params": [torch.ones(3)]}, group()])
    opt = made(name)
    with pytest.raises(TypeError, match=where):
        opt.add_param_group(group())
    assert len(opt.param_groups) == 1


def test_a_group_may_hold_what_is_no_option_of_its_class():
    group = {"params": [torch.ones(3)], "alpha": "its own"}
    assert ours.Adam([group]).param_groups[0]["alpha"] == "its own"


@pytest.mark.parametrize("maker", [gpuopt.AdamW, list])
def test_a_step_in_backward_takes_optimizers_of_torch(maker):
    with pytest.raises(TypeError, match=r"^optimizer: expected a class of gpuopt"):
        ours.StepInBackward([torch.ones(3, requires_grad=True)], maker)

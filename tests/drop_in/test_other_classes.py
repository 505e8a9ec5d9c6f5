"""State dicts of another class, or with parts missing: refused by name, with nothing changed."""

import copy

import pytest

torch = pytest.importorskip("torch")

import gpuopt  # noqa: E402
import gpuopt.torch as ours  # noqa: E402
from gpuopt.rules.definitions import DEFINITIONS  # noqa: E402
from tests.drop_in.pairs import (  # noqa: E402
    CLASSES,
    OPTIONS,
    Pair,
    accepts,
    give_gradients,
    parameters,
)

pytestmark = pytest.mark.usefixtures("nothing_to_compile")

ALIKE = {"Adam", "AdamW", "RAdam", "NAdam"}
"""Moments of the same names: torch.optim loads these into Adam, AdamW and RAdam, and goes on."""


SAME_OPTIONS = ("CAdamW", "LAMB", "LaProp", "StableAdamW")
"""Classes that nothing in a group tells from each other."""


def trained(kind, steps=2, **options):
    """Parameters and an optimizer, two steps old; those of this kind start alike."""
    params = parameters(torch.float32)
    optimizer = kind(params, **(options or OPTIONS.get(kind.__name__, {})))
    for step in range(steps):
        give_gradients(params, step)
        optimizer.step()
    return params, optimizer


def of(name):
    return getattr(torch.optim, name, None) or getattr(ours, name)


def has_all_of(saved, name):
    """Whether a state dict has the options, states and carried numbers that a class needs."""
    theirs, own = DEFINITIONS[saved], DEFINITIONS[name]
    filled_in = {"amsgrad", "maximize", "decoupled_weight_decay"}  # by torch
    options = own.by_name.keys() - filled_in
    (group,) = getattr(ours, saved)(
        parameters(torch.float32), **OPTIONS.get(saved, {})
    ).param_groups
    rule = own.rule_for({**own.defaults, **group})
    held = theirs.rule_for(group)
    return (
        options <= theirs.by_name.keys()
        and all(len(own.parts[n]) == len(theirs.parts[n]) for n in options)
        and set(rule.states) <= set(held.states)
        and set(rule.carried) <= set(held.carried)
    )


def like(name):
    """What an error says of a class's state dict.

    In torch 2.6 nothing in a group tells Adam from AdamW.
    """
    if name in ("Adam", "AdamW") and not accepts("Adam", "decoupled_weight_decay"):
        return "Adam or AdamW"
    if name in SAME_OPTIONS:
        return " or ".join(SAME_OPTIONS)
    return name


def everything(params, optimizer):
    groups = [{k: v for k, v in g.items() if k != "params"} for g in optimizer.param_groups]
    return copy.deepcopy((params, optimizer.state_dict(), groups))


def refuses(name, state_dict, *words, error=ValueError):
    """Refuse to load, and go on as one that never tried."""
    (params, optimizer), (others, twin) = trained(getattr(ours, name)), trained(getattr(ours, name))
    group, before = optimizer.param_groups[0], everything(params, optimizer)
    with pytest.raises(error) as caught:
        optimizer.load_state_dict(state_dict)
    message = str(caught.value)
    assert [word for word in words if word not in message] == [], message
    assert optimizer.param_groups[0] is group
    assert str(everything(params, optimizer)) == str(before)
    for own, each in ((params, optimizer), (others, twin)):
        give_gradients(own, 5)
        each.step()
    assert all(map(torch.equal, params, others))


MISSING = {
    ("Adam", "SGD"): ("'momentum', 'dampening'",),
    ("SGD", "Adam"): ("'betas', 'eps'",),
    ("RMSprop", "Adam"): ("'betas'",),
    ("Adam", "RMSprop"): ("'alpha'",),
    ("SGD", "Momentum"): ("'beta'",),
    ("RMSprop", "SGD"): ("'dampening'",),
    ("Adam", "Adamax"): ("state of params[0] without 'exp_inf'",),
    ("Adamax", "RAdam"): ("state of params[0] without 'exp_avg_sq'",),
}


@pytest.mark.parametrize(("saved", "loading"), MISSING)
@pytest.mark.parametrize("theirs", [True, False])
def test_what_is_missing_is_named(saved, loading, theirs):
    _, other = trained(of(saved) if theirs else getattr(ours, saved))
    words = (f"expected that of {loading}, got one that looks like that of {like(saved)}:",)
    refuses(loading, other.state_dict(), *words, *MISSING[saved, loading])


@pytest.mark.parametrize("name", CLASSES)
def test_every_class_takes_only_what_it_can_step_with(name):
    """And says the name of the class that it comes from, for each of the others."""
    for saved in CLASSES:
        state_dict = trained(of(saved))[1].state_dict()
        if not has_all_of(saved, name):
            same = name in SAME_OPTIONS and saved in SAME_OPTIONS
            seen = "" if same else f" that looks like that of {like(saved)}"
            refuses(name, state_dict, f"expected that of {name}, got one{seen}:")
            continue
        params, optimizer = trained(getattr(ours, name))
        optimizer.load_state_dict(state_dict)
        give_gradients(params, 3)
        optimizer.step()


@pytest.mark.parametrize("name", ["SparseAdam", "Adafactor", "LBFGS"])
def test_classes_that_only_torch_has(name):
    other = getattr(torch.optim, name)(parameters(torch.float32))
    refuses("SGD", other.state_dict(), f"looks like that of {name}: param_groups[0] without")


def test_a_state_dict_of_the_array_api():
    arrays = [p.detach().numpy() for p in parameters(torch.float32)]
    other = gpuopt.RMSProp(arrays)
    refuses("SGD", other.state_dict(), "looks like that of gpuopt.RMSProp", "'dampening'")
    other = gpuopt.Adam(arrays)
    other.step([array.copy() for array in arrays])
    what = "state 'exp_avg' of params[0]: expected a tensor, got array"
    refuses("Adam", other.state_dict(), what, error=TypeError)


def without(*names):
    def part(held):
        for name in names:
            del held[name]

    return part


def replaced(name, value):
    return lambda held: held.update({name: value})


BAD = {
    "no exp_avg_sq": (without("exp_avg_sq"), ValueError, ("got one: state of params[1] without",)),
    "no step": (without("step"), ValueError, ("state of params[1] without 'step'",)),
    "None": (replaced("exp_avg", None), ValueError, ("params[1] without 'exp_avg'",)),
    "shape": (replaced("exp_avg", torch.ones(8)), ValueError, ("expected shape (7,), got (8,)",)),
    "number": (replaced("exp_avg", 1.0), TypeError, ("'exp_avg' of params[1]: expected a tensor",)),
    "ints": (replaced("exp_avg", torch.ones(7).int()), TypeError, ("float64", "torch.int32")),
    "sparse": (replaced("exp_avg", torch.ones(7).to_sparse()), TypeError, ("a dense tensor",)),
    "count": (replaced("step", torch.tensor(-1.0)), ValueError, ("'step' of params[1]", "a count")),
    "text": (replaced("step", "two"), TypeError, ("'step' of params[1]", "a number, got 'two'")),
}


@pytest.mark.parametrize("case", BAD)
def test_states_that_do_not_fit(case):
    part, error, words = BAD[case]
    saved = copy.deepcopy(trained(torch.optim.Adam)[1].state_dict())
    part(saved["state"][1])
    refuses("Adam", saved, "state_dict: ", *words, error=error)


@pytest.mark.parametrize(("name", "number"), [("NAdam", "mu_product"), ("ASGD", "eta")])
def test_numbers_that_a_parameter_carries_are_missing(name, number):
    saved = copy.deepcopy(trained(of(name))[1].state_dict())
    del saved["state"][1][number]
    refuses(name, saved, f"state of params[1] without '{number}'")


SHAPELESS = [
    (None, TypeError, "got NoneType"),
    ([], TypeError, "got list"),
    ({}, ValueError, "got one with nothing"),
    ({"state": {}}, ValueError, "got one with 'state'"),
    ({"state": [], "param_groups": []}, TypeError, "got list as 'state'"),
    ({"state": {}, "param_groups": 3}, TypeError, "got 3 as 'param_groups'"),
    ({"state": {}, "param_groups": [3]}, TypeError, "got [3] as 'param_groups'"),
    (
        {"state": {}, "param_groups": [{}]},
        ValueError,
        "got param_groups[0] without a list as 'params'",
    ),
]


@pytest.mark.parametrize(("given", "error", "words"), SHAPELESS)
def test_what_is_no_state_dict(given, error, words):
    expected = "state_dict: expected that of SGD, with 'state' and 'param_groups', "
    refuses("SGD", given, expected + words, error=error)


def test_other_groups_are_torchs_errors():
    saved = trained(torch.optim.Adam)[1].state_dict()
    refuses("Adam", {**saved, "param_groups": saved["param_groups"] * 2}, "number of parameter gr")
    fewer = {**saved["param_groups"][0], "params": [0]}
    refuses("Adam", {**saved, "param_groups": [fewer]}, "doesn't match the size")


@pytest.mark.parametrize("name", [n for n in CLASSES if hasattr(torch.optim, n)])
def test_options_that_torch_gives_to_old_checkpoints(name):
    """Those that its classes have had from the start are enough; counts were Python numbers."""
    later = {"amsgrad", "centered", "nesterov", "maximize", "foreach", "capturable", "fused"}
    later |= {"differentiable", "decoupled_weight_decay"}
    later |= {"momentum"} if name == "RMSprop" else set()
    options = {"lr": 0.01, **({"momentum": 0.9} if name == "SGD" else {})}
    pair = Pair(name, torch.float64, **options).step(2)
    for optimizer in (pair.mine, pair.theirs):
        saved = copy.deepcopy(pair.theirs.state_dict())
        for held in saved["state"].values():
            held.update({k: v.item() for k, v in held.items() if k in ("step", "eta", "mu")})
        for group in saved["param_groups"]:
            for option in group.keys() & later:
                del group[option]
        optimizer.load_state_dict(saved)
    pair.step(2).assert_close("formula float32")  # torch keeps some numbers in float32


@pytest.mark.parametrize("name", ["Momentum", "Lion"])
def test_flags_that_an_old_checkpoint_of_ours_may_lack(name):
    params, optimizer = trained(getattr(ours, name))
    saved = copy.deepcopy(optimizer.state_dict())
    for flag in ("maximize", "foreach", "capturable", "differentiable", "fused"):
        del saved["param_groups"][0][flag]
    optimizer.load_state_dict(saved)
    assert optimizer.param_groups[0]["maximize"] is False
    others, twin = trained(getattr(ours, name))
    for own, each in ((params, optimizer), (others, twin)):
        give_gradients(own, 3)
        each.step()
    assert all(map(torch.equal, params, others))


TAKEN_OUT = {
    "SGD": ("lr", "momentum", "dampening", "nesterov", "weight_decay", "maximize"),
    "Adam": ("betas", "eps", "amsgrad", "decoupled_weight_decay", "weight_decay"),
    "RMSprop": ("alpha", "centered", "momentum"),
    "Rprop": ("etas", "step_sizes"),
    "Momentum": ("beta", "nesterov", "maximize"),
    "Lion": ("betas", "weight_decay"),
}


@pytest.mark.parametrize(("name", "option"), [(n, o) for n in TAKEN_OUT for o in TAKEN_OUT[n]])
def test_an_option_taken_out_of_a_group(name, option):
    (params, optimizer), (others, twin) = trained(getattr(ours, name)), trained(getattr(ours, name))
    if option not in optimizer.param_groups[0]:
        pytest.skip(f"{option}: this torch has no such option")
    value = optimizer.param_groups[0].pop(option)
    before = everything(params, optimizer)
    for _ in range(2):
        give_gradients(params, 3)
        with pytest.raises(ValueError, match=rf"param_groups\[0\]: expected the options of {name}, "
                           f"got a group without '{option}'"):  # fmt: skip
            optimizer.step()
    assert str(everything(params, optimizer)) == str(before)
    optimizer.param_groups[0][option] = value
    for own, each in ((params, optimizer), (others, twin)):
        give_gradients(own, 3)
        each.step()
    assert all(map(torch.equal, params, others))


def test_step_in_backward_loads_all_or_nothing():
    params = parameters(torch.float32)
    both = ours.StepInBackward(params, ours.Adam, lr=0.1)
    sum((p * p).sum() for p in params).backward()
    saved = copy.deepcopy(both.state_dict())
    saved["param_groups"][0]["lr"] = 0.5
    del saved["param_groups"][0]["betas"]
    with pytest.raises(ValueError, match="without 'betas'"):
        both.load_state_dict(saved)
    assert [one.param_groups[0]["lr"] for one in both.optimizers] == [0.1] * len(params)

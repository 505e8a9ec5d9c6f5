"""State dicts of schedulefree and pytorch_optimizer, which count steps in the groups."""

import copy

import pytest

torch = pytest.importorskip("torch")

import gpuopt  # noqa: E402
import gpuopt.torch as ours  # noqa: E402
from tests.drop_in.pairs import give_gradients, parameters  # noqa: E402
from tests.tolerances import assert_close  # noqa: E402

SCHEDULE_FREE = {
    "SGDScheduleFree": {"momentum": 0.75, "warmup_steps": 9, "weight_decay": 0.1},
    "AdamWScheduleFree": {"betas": (0.75, 0.5), "warmup_steps": 9, "r": 1.0},
    "RAdamScheduleFree": {"betas": (0.75, 0.9), "silent_sgd_phase": False, "weight_decay": 0.1},
}
DECOUPLED = {"weight_decouple": True, "weight_decay": 0.1}
PYTORCH_OPTIMIZER = {
    "Adadelta": ("AdaDelta", {"rho": 0.75, "weight_decay": 0.1}),
    "Adamax": ("AdaMax", {"betas": (0.75, 0.5), "weight_decay": 0.1}),
    "Adan": ("Adan", {"betas": (0.5, 0.75, 0.9), "eps": 0.25, **DECOUPLED}),
    "AdEMAMix": ("AdEMAMix", {"betas": (0.5, 0.75, 0.9), "alpha": 3.0, **DECOUPLED}),
    "ADOPT": ("ADOPT", {"betas": (0.5, 0.9), **DECOUPLED}),
    "LaProp": ("LaProp", {"betas": (0.5, 0.75)}),
    "LARS": ("LARS", {"momentum": 0.75, "dampening": 0.5, "weight_decay": 0.1}),
    "Lion": ("Lion", {"betas": (0.5, 0.75), **DECOUPLED}),
    "MARS": ("MARS", {"betas": (0.5, 0.75), "eps": 0.0, "gamma": 0.5, **DECOUPLED}),
    "RAdam": ("RAdam", {"betas": (0.5, 0.9), **DECOUPLED}),
    "StableAdamW": ("StableAdamW", {"betas": (0.5, 0.75), **DECOUPLED}),
}
"""Their names, and options that ours have too; those of the second group are the defaults."""

COUPLED = {
    "Adan": {"weight_decouple": False, "weight_decay": 0.1},
    "ADOPT": {"weight_decouple": False, "weight_decay": 0.1},
    "RAdam": {"betas": (0.5, 0.9), "weight_decouple": False},
    "AdEMAMix": {"weight_decouple": False},
    "Lion": {"weight_decouple": False},
}
"""The other kind of decay."""

CASES = [
    *(("schedulefree", name, name, options) for name, options in SCHEDULE_FREE.items()),
    *(("pytorch_optimizer", n, theirs, o) for n, (theirs, o) in PYTORCH_OPTIMIZER.items()),
]
MORE = [("pytorch_optimizer", name, name, options) for name, options in COUPLED.items()]
IDS = [name for _, name, *_ in CASES]


@pytest.fixture(autouse=True)
def nothing_to_compile():
    with gpuopt.use_backend("numpy"):
        yield


def groups(options, lr=1e-2):
    """Two groups, the second with few options; a parameter of each never has a gradient."""
    params = parameters(shapes=((3, 5), (2, 2), (7,)))
    idle = torch.ones(3, dtype=torch.float64, requires_grad=True)
    eps = {"eps": options["eps"]} if "eps" in options else {}
    return params, [
        {"params": [*params[:2], idle], "lr": lr, **options},
        {"params": [*params[2:], torch.ones(2, requires_grad=True)], "lr": lr / 2, **eps},
    ]


def train(params, opt, steps, first=0):
    for step in range(first, first + steps):
        give_gradients(params, step)
        opt.step()


def their_optimizer(package, name, options, steps=7):
    params, made = groups(options)
    opt = getattr(pytest.importorskip(package), name)(made, foreach=False)
    if package == "schedulefree":
        opt.train()
    train(params, opt, steps)
    return params, opt


def our_copy(theirs, name):
    """A new optimizer of ours, over copies of their parameters."""
    own = copy.deepcopy([{"params": g["params"]} for g in theirs.param_groups])
    return own, getattr(ours, name)(own)


def convert(package, state_dict, opt):
    return getattr(ours, f"from_{package}")(state_dict, opt)


def stepped(own, their_params, theirs):
    """Our copies of the parameters that have gradients."""
    pairs = {
        id(t): o
        for group, mine in zip(theirs.param_groups, own)
        for t, o in zip(group["params"], mine["params"])
    }
    return [pairs[id(p)] for p in their_params]


@pytest.mark.parametrize(("package", "name", "theirs", "options"), [*CASES, *MORE])
def test_steps_go_on(package, name, theirs, options):
    their_params, other = their_optimizer(package, theirs, options)
    own, opt = our_copy(other, name)
    state_dict = other.state_dict()
    before = copy.deepcopy(state_dict)
    opt.load_state_dict(convert(package, state_dict, opt))
    torch.testing.assert_close(state_dict["state"], before["state"], rtol=0, atol=0)
    assert state_dict["param_groups"] == before["param_groups"]
    params = stepped(own, their_params, other)
    train(params, opt, 20, 7)
    train(their_params, other, 20, 7)
    for mine, other_one in zip(params, their_params):
        assert_close(mine.detach(), other_one.detach(), "torch float64")


@pytest.mark.parametrize("name", SCHEDULE_FREE)
def test_the_mode_goes_along(name):
    their_params, theirs = their_optimizer("schedulefree", name, SCHEDULE_FREE[name])
    theirs.eval()
    own, opt = our_copy(theirs, name)
    opt.load_state_dict(ours.from_schedulefree(theirs.state_dict(), opt))
    params = stepped(own, their_params, theirs)
    with pytest.raises(RuntimeError, match="not in train mode"):
        opt.step()
    for held, one in ((params, opt), (their_params, theirs)):
        one.train()
        train(held, one, 20, 7)
        one.eval()
    for mine, other in zip(params, their_params):
        assert_close(mine.detach(), other.detach(), "a few cancellations float64")


@pytest.fixture
def sums_in_float64():
    """pytorch_optimizer adds up in torch's default dtype."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("name", ["DAdaptAdam", "Prodigy"])
def test_estimates_of_pytorch_optimizer_go_on(name, sums_in_float64):
    package = pytest.importorskip("pytorch_optimizer")
    their_params = parameters(shapes=((3, 5), (7,)))
    options = {"bias_correction": True, "betas": (0.75, 0.9), **DECOUPLED}
    theirs = getattr(package, name)(their_params, d0=0.125, **options)
    pull(their_params, theirs, range(7))
    own = [p.detach().clone().requires_grad_() for p in their_params]
    opt = getattr(ours, name)(own, d0=0.125)
    opt.load_state_dict(ours.from_pytorch_optimizer(theirs.state_dict(), opt))
    assert (opt.d, opt.k) == (theirs.param_groups[0]["d"], 7.0)
    for held, one in ((own, opt), (their_params, theirs)):
        pull(held, one, range(7, 27))
    assert_close(opt.d, theirs.param_groups[0]["d"], "totals float64")
    assert opt.d > 0.125
    for mine, other in zip(own, their_params):
        assert_close(mine.detach(), other.detach(), "totals float64")


def pull(params, opt, steps):
    """Gradients that let the estimate grow."""
    for step in steps:
        for p in params:
            p.grad = (p.detach() - 2) * (1 + 0.1 * step)
        opt.step()


@pytest.mark.parametrize(("package", "name", "theirs", "options"), CASES, ids=IDS)
def test_an_optimizer_that_has_not_stepped_is_loaded(package, name, theirs, options):
    _, other = their_optimizer(package, theirs, options, steps=0)
    _, opt = our_copy(other, name)
    opt.load_state_dict(convert(package, other.state_dict(), opt))
    assert not opt.state_dict()["state"]
    assert opt.param_groups[0]["lr"] == 1e-2


@pytest.mark.parametrize(("package", "name", "theirs", "options"), CASES, ids=IDS)
def test_loading_names_the_converter(package, name, theirs, options):
    _, other = their_optimizer(package, theirs, options)
    _, opt = our_copy(other, name)
    if name in ("LARS", "Lion"):  # without anything that they store elsewhere
        opt.load_state_dict(other.state_dict())
        return
    with pytest.raises(ValueError, match=rf"got one for gpuopt\.torch\.from_{package} to convert"):
        opt.load_state_dict(other.state_dict())


@pytest.mark.parametrize(("package", "name", "theirs", "options"), CASES, ids=IDS)
def test_what_lacks_a_number_or_a_state_is_refused(package, name, theirs, options):
    _, other = their_optimizer(package, theirs, options)
    _, opt = our_copy(other, name)
    with pytest.raises(TypeError, match="state_dict: expected a dict, got list"):
        convert(package, [], opt)
    count = "k" if package == "schedulefree" else "step"
    lacking = other.state_dict()
    del lacking["param_groups"][1][count]
    with pytest.raises(ValueError, match=f"that of {name}, got groups without '{count}'"):
        convert(package, lacking, opt)
    lacking = other.state_dict()
    lacking["state"][0] = {"odd": torch.ones(3, 5)}
    with pytest.raises(ValueError, match=r"(state of 0: expected .*, got odd)|groups without"):
        convert(package, lacking, opt)


def test_numbers_of_a_schedule_are_needed():
    _, other = their_optimizer("schedulefree", "SGDScheduleFree", {})
    _, opt = our_copy(other, "SGDScheduleFree")
    for number in ("lr_max", "weight_sum"):
        lacking = other.state_dict()
        del lacking["param_groups"][0][number]
        with pytest.raises(ValueError, match=f"got groups without '{number}'"):
            ours.from_schedulefree(lacking, opt)


def test_states_without_a_counterpart_are_refused():
    _, other = their_optimizer("pytorch_optimizer", "Lamb", {})
    _, opt = our_copy(other, "StableAdamW")
    with pytest.raises(ValueError, match="state of 0: 'weight_norm' has no counterpart in Stable"):
        ours.from_pytorch_optimizer(other.state_dict(), opt)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("LAMB", "got LAMB: pytorch_optimizer's has no bias corrections"),
        ("ASGD", "got ASGD: pytorch_optimizer's is another algorithm"),
        ("AdamW", "got AdamW: .* need no conversion"),
        ("CAdamW", "expected one of Adadelta, .*, got CAdamW$"),
    ],
)
def test_other_optimizers_are_refused(name, message):
    opt = getattr(ours, name)(parameters())
    with pytest.raises(ValueError, match=message):
        ours.from_pytorch_optimizer({}, opt)
    with pytest.raises(ValueError, match=f"expected one of AdamWScheduleFree, .*, got {name}"):
        ours.from_schedulefree({}, opt)
    with pytest.raises(TypeError, match=r"expected one of gpuopt\.torch, got SGD"):
        ours.from_schedulefree({}, torch.optim.SGD(parameters()))


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("AdEMAMix", {"weight_decay": 0.1}, "weight_decouple: expected True with a weight decay"),
        (
            "RAdam",
            {"weight_decouple": False, "weight_decay": 0.1},
            "weight_decouple: expected True",
        ),
        ("Prodigy", {"weight_decouple": False, "weight_decay": 0.1}, "weight_decouple: expected T"),
        ("Adadelta", DECOUPLED, "weight_decouple: expected False with a weight decay"),
        ("ADOPT", {"fixed_decay": True, **DECOUPLED}, "fixed_decay: expected False"),
        ("Adan", {"max_grad_norm": 1.0}, "max_grad_norm: expected 0.0, got 1.0"),
        ("ADOPT", {"cautious": True}, "cautious: expected none, got True"),
        ("MARS", {"mars_type": "lion"}, "mars_type: expected 'adamw', got 'lion'"),
    ],
)
def test_options_without_a_counterpart_are_refused(name, options, message):
    theirs, _ = PYTORCH_OPTIMIZER.get(name, (name, {}))
    _, other = their_optimizer("pytorch_optimizer", theirs, options)
    _, opt = our_copy(other, name)
    with pytest.raises(ValueError, match=message):
        ours.from_pytorch_optimizer(other.state_dict(), opt)


def test_tensors_that_mars_corrects_there_alone_are_refused():
    params = parameters(shapes=((2, 3, 2),))
    theirs = pytest.importorskip("pytorch_optimizer").MARS(params)
    train(params, theirs, 1)
    opt = ours.MARS(params)
    with pytest.raises(ValueError, match=r"at most two dimensions, got \(2, 3, 2\)"):
        ours.from_pytorch_optimizer(theirs.state_dict(), opt)
    theirs.param_groups[0]["optimize_1d"] = True
    opt.load_state_dict(ours.from_pytorch_optimizer(theirs.state_dict(), opt))


@pytest.mark.parametrize("steps", [None, 100])
def test_warm_ups_of_ademamix_go_along(steps):
    options = {"t_alpha_beta3": steps}
    _, other = their_optimizer("pytorch_optimizer", "AdEMAMix", options)
    _, opt = our_copy(other, "AdEMAMix")
    opt.load_state_dict(ours.from_pytorch_optimizer(other.state_dict(), opt))
    group = opt.param_groups[0]
    assert (group["alpha_warmup"], group["beta3_warmup"]) == (steps or 0.0, steps or 0.0)

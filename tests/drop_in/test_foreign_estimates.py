"""State dicts of the authors' DAdaptAdam and Prodigy."""

import copy

import pytest

torch = pytest.importorskip("torch")

import gpuopt  # noqa: E402
import gpuopt.torch as ours  # noqa: E402
from tests.tolerances import assert_close  # noqa: E402

FROM = {"DAdaptAdam": "from_dadaptation", "Prodigy": "from_prodigyopt"}
PACKAGES = {"DAdaptAdam": "dadaptation", "Prodigy": "prodigyopt"}
OPTIONS = (
    {"d0": 0.125},
    {"d0": 0.125, "betas": (0.0, 0.9), "eps": 0.25},
    {"d0": 0.125, "weight_decay": 0.1, "decouple": False},
)


@pytest.fixture(autouse=True)
def nothing_to_compile():
    with gpuopt.use_backend("numpy"):
        yield


def params(dtype):
    """Two parameters; of one of zeros, Prodigy keeps a single zero."""
    generator = torch.Generator().manual_seed(0)
    starts = [torch.randn(3, 5, generator=generator, dtype=torch.float64), torch.zeros(7)]
    return [start.to(dtype).requires_grad_() for start in starts]


def train(params, opt, steps=4):
    """Gradients that let the estimate grow."""
    for step in range(steps):
        for i, p in enumerate(params):
            p.grad = p.detach() - (1 + i) * (1 + 0.1 * step)
        opt.step()


def trained(name, dtype=torch.float64, **options):
    own = params(dtype)
    opt = getattr(pytest.importorskip(PACKAGES[name]), name)(own, **options)
    train(own, opt)
    return own, opt


def loaded(name, their_params, theirs, **options):
    own = [p.detach().clone().requires_grad_() for p in their_params]
    opt = getattr(ours, name)(own, **options)
    state_dict = theirs.state_dict()
    before = copy.deepcopy(state_dict)
    opt.load_state_dict(getattr(ours, FROM[name])(state_dict, opt))
    torch.testing.assert_close(state_dict, before, rtol=0, atol=0, equal_nan=True)
    return own, opt


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("name", FROM)
def test_steps_go_on(name, options):
    their_params, theirs = trained(name, **options)
    own, opt = loaded(name, their_params, theirs, d0=0.125)
    for number in opt._definition.shared:
        assert getattr(opt, number) == theirs.param_groups[0][number]
    assert opt.param_groups[0]["betas"] == theirs.param_groups[0]["betas"]
    assert opt.d > 0.125
    train(their_params, theirs)
    train(own, opt)
    assert_close(opt.d, theirs.param_groups[0]["d"], "totals float64")
    for mine, other in zip(own, their_params):
        assert_close(mine.detach(), other.detach(), "totals float64")


@pytest.mark.parametrize("name", FROM)
def test_states_of_16_bits_are_loaded(name):
    own, opt = loaded(name, *trained(name, torch.bfloat16, d0=0.125))
    train(own, opt)
    assert {s.dtype for n, s in opt.state[own[0]].items() if n in ("s", "p0")} == {torch.float32}


@pytest.mark.parametrize("name", FROM)
def test_an_optimizer_that_has_not_stepped_is_loaded(name):
    own = params(torch.float64)
    theirs = getattr(pytest.importorskip(PACKAGES[name]), name)(own, d0=0.25)
    _, opt = loaded(name, own, theirs, d0=0.25)
    assert opt.d == 0.25
    assert not opt.state_dict()["state"]


@pytest.mark.parametrize("name", FROM)
def test_what_is_no_such_state_dict_is_refused(name):
    convert, (other,) = getattr(ours, FROM[name]), FROM.keys() - {name}
    opt = getattr(ours, name)(params(torch.float64))
    with pytest.raises(TypeError, match="optimizer: expected one of gpuopt"):
        convert({}, torch.optim.SGD(params(torch.float64)))
    with pytest.raises(ValueError, match=f"optimizer: expected {name}, got {other}"):
        convert({}, getattr(ours, other)(params(torch.float64)))
    adam = torch.optim.Adam(own := params(torch.float64))
    train(own, adam, 1)
    with pytest.raises(ValueError, match=f"expected that of {name}, got groups without 'd'"):
        convert(adam.state_dict(), opt)
    numbers = dict.fromkeys(opt._definition.shared, 1.0)
    groups = [{"params": [0, 1], **numbers}]
    with pytest.raises(ValueError, match="state of 0: expected exp_avg, exp_avg_sq, s"):
        convert({"state": {0: {"step": 1}}, "param_groups": groups}, opt)
    if name == "Prodigy":
        groups[0]["slice_p"] = 11
        with pytest.raises(ValueError, match="slice_p: expected 1, got 11"):
            convert({"state": {}, "param_groups": groups}, opt)


@pytest.mark.parametrize("rule", ["dadapt_adam", "prodigy", "prodigy_one_pass"])
def test_the_optimizer_of_a_rule_shows_the_estimate(rule):
    own = params(torch.float64)
    opt = ours.Optimizer(own, rule=rule, d0=0.125)
    assert opt.d == 0.125
    train(own, opt)
    assert opt.d == opt.state[own[0]]["d"].item() > 0.125
    with pytest.raises(AttributeError, match="d: found by the steps"):
        opt.d = 1.0
    copied = copy.deepcopy(opt)
    assert copied.d == opt.d
    assert not hasattr(ours.Optimizer(own, rule="adam"), "d")

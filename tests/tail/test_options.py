"""What the options of a tail accept, by name, before anything is made."""

import inspect
import re

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import gpuopt.torch  # noqa: E402
from gpuopt import SGD  # noqa: E402
from gpuopt.engine.tail import OPTIONS  # noqa: E402
from gpuopt.optimizers.constructors import tail_descriptions  # noqa: E402
from gpuopt.rules.definitions import DEFINITIONS  # noqa: E402
from gpuopt.torch import StepInBackward  # noqa: E402
from tests.rules.oracles import training  # noqa: E402

BAD = [
    ({"clip_norm": -1.0}, ValueError, "clip_norm: expected None or a number of at least 0"),
    ({"clip_norm": float("nan")}, ValueError, "clip_norm: .*got nan"),
    ({"clip_norm": True}, TypeError, "clip_norm: .*got True"),
    ({"clip_norm": "1"}, TypeError, "clip_norm: .*got '1'"),
    ({"clip_value": 0.0}, ValueError, "clip_value: expected None or a number above 0"),
    ({"ema_decay": 1.5}, ValueError, r"ema_decay: expected None or a number in \[0, 1\]"),
    ({"skip_nonfinite": 1}, TypeError, "skip_nonfinite: expected True or False, got 1"),
    ({"seed": -1}, ValueError, "seed: expected an integer"),
    ({"seed": 2**32}, ValueError, "seed: expected an integer"),
    ({"seed": 0.5}, TypeError, "seed: expected an integer"),
    ({"error_if_nonfinite": True}, ValueError, "error_if_nonfinite: expected clip_norm beside it"),
    ({"master_weights": True, "kahan_sum": True}, ValueError, "master_weights and kahan_sum"),
    ({"master_weights": 8}, TypeError, "True, False, 'split16' or 'split8', got 8"),
    ({"master_weights": "split4"}, ValueError, "True, False, 'split16' or 'split8', got 'split4'"),
    ({"clipnorm": 1.0}, TypeError, "clipnorm"),
]


@pytest.mark.parametrize(("options", "error", "message"), BAD, ids=lambda x: str(x)[:40])
@pytest.mark.parametrize("kind", ["arrays", "torch"])
def test_what_is_not_accepted_is_named(options, error, message, kind):
    with pytest.raises(error, match=message):
        if kind == "arrays":
            SGD([np.ones(2, np.float32)], lr=0.1, **options)
        else:
            gpuopt.torch.SGD([torch.ones(2)], lr=0.1, **options)


def test_numbers_change_and_nothing_else_does():
    opt = SGD([np.ones(2, np.float32)], lr=0.1, clip_norm=1.0)
    opt.change(clip_norm=2.0)
    assert opt.tail.clip_norm == 2.0
    accepts = "change: expected one of clip_norm, clip_value, ema_decay, decouple_lr, got "
    for bad, message in (
        ({"clip_norm": -1.0}, "clip_norm: expected None or a number of at least 0, got -1.0"),
        ({"ema_decay": 0.5}, "ema_decay: the optimizer was made without it"),
        ({"clip_norm": None}, "clip_norm: expected a number, since it cannot be turned off"),
        ({"stats": True}, f"{accepts}'stats'"),
        ({"lr": 0.5}, f"{accepts}'lr'; options of a group are set in param_groups"),
        ({"clip_nrm": 0.5}, f"{accepts}'clip_nrm'; did you mean clip_norm?"),
    ):
        with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
            opt.change(**bad)
    assert opt.tail.clip_norm == 2.0


@pytest.mark.parametrize("name", DEFINITIONS)
def test_every_drop_in_takes_a_tail(name):
    tensor = torch.ones(3, requires_grad=True)
    opt = getattr(gpuopt.torch, name)(
        [tensor], clip_norm=1.0, ema_decay=0.5, stats=True, **training(name)
    )
    tensor.grad = torch.ones(3)
    opt.step()
    assert opt.stats()["params[0]"].grad_norm == 3**0.5
    shown = inspect.signature(type(opt)).parameters
    assert {shown[option].kind.name for option in OPTIONS} == {"KEYWORD_ONLY"}


def test_a_step_in_the_backward_pass_knows_no_norm():
    for option in ({"clip_norm": 1.0}, {"skip_nonfinite": True}):
        with pytest.raises(ValueError, match=f"{next(iter(option))}: needs all gradients"):
            StepInBackward([torch.ones(2)], gpuopt.torch.SGD, lr=0.1, **option)


@pytest.mark.parametrize("name", [d.name for d in DEFINITIONS.values() if d.shared])
def test_a_step_in_the_backward_pass_knows_no_sums_over_all(name):
    param = torch.ones(2)
    with pytest.raises(ValueError, match=f"optimizer: {name} needs all gradients"):
        StepInBackward([param], getattr(gpuopt.torch, name))
    assert not param._post_accumulate_grad_hooks


def test_every_option_is_described_for_the_docstrings_of_the_optimizers():
    assert list(tail_descriptions()) == list(OPTIONS)
    assert all(tail_descriptions().values())


@pytest.mark.parametrize("name", DEFINITIONS)
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_states_of_every_drop_in_are_as_narrow_as_asked(name, dtype):
    tensor = torch.linspace(-1, 1, 20, requires_grad=True)
    options = {"momentum": 0.5} if name == "SGD" else training(name)
    opt = getattr(gpuopt.torch, name)([tensor], lr=0.01, state_dtype=dtype, **options)
    for _ in range(2):
        tensor.grad = torch.linspace(-2, 3, 20)
        opt.step()
    states = {n: s for n, s in opt.state[tensor].items() if torch.is_tensor(s) and s.ndim}
    rule = opt._rule_for(opt.param_groups[0])
    wide = {*rule.wide, *(rule.not_in_float16 if dtype == "float16" else ())}
    empty = name == "SGDScheduleFree" or (name, dtype) == ("Prodigy", "float16")  # all are wide
    assert bool(states.keys() - wide) != empty
    for state, held in states.items():
        expected = torch.float32 if state in wide else getattr(torch, dtype)
        assert held.dtype == expected, state
    assert tensor.isfinite().all()


def test_tensors_stepped_in_the_backward_pass_round_by_chances_of_their_own():
    params = [torch.ones(2000, dtype=torch.bfloat16, requires_grad=True) for _ in range(2)]
    options = {"lr": 2.0**-9, "stochastic_rounding": True}
    with StepInBackward(params, gpuopt.torch.SGD, seed=2**32 - 1, **options):
        sum(param.sum() for param in params).backward()
    assert 0.4 < (params[0] == params[1]).float().mean() < 0.6
    with pytest.raises(ValueError, match="seed: expected an integer"):
        StepInBackward(params, gpuopt.torch.SGD, seed=2**32, **options)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("loaded", [False, True])
def test_states_stepped_in_the_backward_pass_round_by_chances_of_their_own(dtype, loaded):
    params = [torch.ones(2000, requires_grad=True) for _ in range(2)]
    options = {"lr": 0.0, "betas": (0.7, 0.9)}
    held = {} if loaded else {"state_dtype": dtype}
    with StepInBackward(params, gpuopt.torch.Adam, **options, **held) as one:
        if loaded:  # narrow states of a run that knew no seeds
            saved = one.state_dict()
            for i in range(2):
                zeros = torch.zeros(2000, dtype=getattr(torch, dtype))
                names = ("exp_avg", "exp_avg_sq")
                saved["state"][i] = {"step": torch.tensor(1.0), **{n: zeros for n in names}}
            one.load_state_dict(saved)
        sum(param.sum() for param in params).backward()
    first, second = (opt.state[p]["exp_avg"] for opt, p in zip(one.optimizers, params))
    assert first.dtype == getattr(torch, dtype)
    assert 0.1 < (first != second).float().mean() < 0.9


def test_complex_states_are_not_of_bfloat16():
    """Of which torch has no complex tensors: no state dict could hold them."""
    plain, complex_one = torch.ones(3), torch.ones(3, dtype=torch.complex64)
    opt = gpuopt.torch.Adam([plain], state_dtype="bfloat16")
    with pytest.raises(ValueError, match=r"state_dtype: .* for complex parameters"):
        opt.add_param_group({"params": [complex_one]})
    assert len(opt.param_groups) == 1
    with pytest.raises(ValueError, match=r"state_dtype: .* for complex parameters"):
        gpuopt.torch.Adam([complex_one], state_dtype="bfloat16")

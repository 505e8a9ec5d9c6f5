"""Asking an optimizer for what it does not have: an answer, as any other object gives."""

import inspect

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import gpuopt  # noqa: E402
import gpuopt.torch as ours  # noqa: E402

GIVEN_BY = {
    "ema": {"ema_decay": 0.5},
    "grad_norm": {"clip_norm": 1.0},
    "skipped_steps": {"skip_nonfinite": True},
}


@pytest.fixture(autouse=True)
def nothing_to_compile():
    with gpuopt.use_backend("numpy"):
        yield


def of_arrays(**options):
    return gpuopt.Adam([np.ones(4, np.float32)], lr=1.0, **options)


def of_torch(**options):
    return ours.Adam([torch.ones(4, requires_grad=True)], lr=1.0, **options)


KINDS = pytest.mark.parametrize("new", [of_arrays, of_torch])


@KINDS
@pytest.mark.parametrize("name", GIVEN_BY)
def test_an_attribute_that_an_option_gives(new, name):
    without, having = new(), new(**GIVEN_BY[name])
    assert not hasattr(without, name)
    assert getattr(without, name, 7) == 7
    assert hasattr(having, name)
    with pytest.raises(AttributeError, match=f"{name}: Adam was made without"):
        getattr(without, name)
    with pytest.raises(RuntimeError, match=f"{name}: Adam was made without"):  # as it always was
        getattr(without, name)


WITH = [
    ({}, set()),
    ({"ema_decay": 0.5}, {"ema"}),
    ({"clip_norm": 1.0}, {"grad_norm"}),
    ({"skip_nonfinite": True}, {"grad_norm", "skipped_steps"}),
    ({"stats": True}, set()),
]


@KINDS
@pytest.mark.parametrize(("options", "there"), WITH)
def test_all_members(new, options, there):
    opt = new(**options)
    found = dict(inspect.getmembers(opt))
    by_scaler = {"skipped_steps"} if getattr(opt, "_step_supports_amp_scaling", False) else set()
    assert found.keys() & GIVEN_BY.keys() == there | by_scaler
    assert found["stats"] == opt.stats


@KINDS
def test_while_the_weights_are_averages(new):
    opt = new(ema_decay=0.5)
    with opt.ema_weights():
        assert not hasattr(opt, "ema")
        assert "param_groups" in dict(inspect.getmembers(opt))
        for error in (AttributeError, RuntimeError):
            with pytest.raises(error, match="ema: not inside ema_weights"):
                opt.ema  # noqa: B018 - it raises
    assert hasattr(opt, "ema")


def test_an_option_that_differs_among_groups():
    a, b = np.ones(2, np.float32), np.ones(2, np.float32)
    opt = gpuopt.Adam([{"params": [a], "lr": 0.5}, {"params": [b], "lr": 0.25}])
    assert not hasattr(opt, "lr")
    assert opt.eps == 1e-8
    assert "lr" not in dict(inspect.getmembers(opt))

"""An argument that does not exist: what the optimizer takes, and what may be meant."""

import numpy as np
import pytest

import gpuopt
from gpuopt.engine.tail import OPTIONS
from gpuopt.rules.definitions import DEFINITIONS

OWN = {name: [*made.defaults, "state_dtype"] for name, made in DEFINITIONS.items()}


def refusal(make, **options):
    """What is said of options that are refused."""
    with pytest.raises(TypeError) as caught:
        make([np.ones(2, np.float32)], lr=0.5, **options)
    return str(caught.value)


@pytest.mark.parametrize("name", OWN)
def test_all_that_an_optimizer_takes_is_listed(name):
    said = refusal(getattr(gpuopt, name), colour="red")
    start, _, listed = said.partition(": expected one of ")
    assert start == f"unknown option 'colour' of {name}"
    assert sorted(listed.split(", ")) == sorted([*OWN[name], *OPTIONS])


@pytest.mark.parametrize(
    ("make", "given", "meant"),
    [
        (gpuopt.Adam, "beta1", "betas"),
        (gpuopt.Adam, "learning_rate", "lr"),
        (gpuopt.Adam, "epsilon", "eps"),
        (gpuopt.AdamW, "weight_decy", "weight_decay"),
        (gpuopt.AdamW, "max_grad_norm", "clip_norm"),
        (gpuopt.RMSProp, "alpha", "beta"),
        (gpuopt.Momentum, "momentum", "beta"),
        (gpuopt.SGD, "clipnorm", "clip_norm"),
    ],
)
def test_what_may_be_meant(make, given, meant):
    assert refusal(make, **{given: 0.5}).endswith(f"; did you mean {meant}?")


def test_arguments_of_torchs():
    said = refusal(gpuopt.Adam, fused=True)
    assert said.endswith("; the optimizers of gpuopt.torch take torch.optim's arguments")


def test_a_subclass_with_a_constructor_of_its_own():
    class Mine(gpuopt.Adam):
        def __init__(self, params, rate, **more):
            super().__init__(params, lr=rate, **more)

    params = [np.ones(2, np.float32)]
    assert Mine(params, 0.25, clip_norm=1.0).lr == 0.25
    with pytest.raises(TypeError, match=r"unknown option 'betas_' of Mine: .*did you mean betas\?"):
        Mine(params, 0.25, betas_=(0.9, 0.99))


def test_a_step_without_gradients_names_what_takes_them_from_torch():
    param = np.ones(2, np.float32)
    opt = gpuopt.AdamW([param])
    for nothing in (opt.step, lambda: opt.step(scale=2.0)):
        with pytest.raises(TypeError, match=r"step: expected grads, .* gpuopt\.torch take them"):
            nothing()
    assert param.tolist() == [1.0, 1.0]
    opt.step([param.copy()])
    assert opt.state[0]["step"] == 1


@pytest.mark.parametrize("error", [gpuopt.RuleError, gpuopt.BackendError])
def test_errors_are_called_by_their_public_names(error):
    """As a traceback prints them."""
    assert f"{error.__module__}.{error.__qualname__}" == f"gpuopt.{error.__name__}"
    assert getattr(gpuopt, error.__name__) is error

"""The options that torch tests its optimizers with, and the errors that it expects."""

import warnings

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("expecttest", reason="torch's own tests need it")

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from torch.testing._internal.common_optimizers import OptimizerErrorEnum, optim_db

import gpuopt.torch as ours  # noqa: E402
from tests.drop_in.pairs import OF_TORCH, Pair  # noqa: E402

INFOS = {info.optim_cls.__name__: info for info in optim_db}
GRID = [
    pytest.param(name, one.kwargs, id=f"{name}-{one.desc}")
    for name in OF_TORCH
    for one in INFOS[name].optim_inputs_func(device="cpu")
]
ERRORS = [
    pytest.param(name, error, id=f"{name}-{error.error_regex[:40]}")
    for name in OF_TORCH
    for error in INFOS[name].optim_error_inputs_func("cpu", torch.float32)
]


pytestmark = pytest.mark.usefixtures("nothing_to_compile")


KEPT = ("step", "mu_product", "eta", "mu")
"""Numbers beside the states."""


def plain(options):
    """The options with tensors of their own."""
    return {k: v.clone() if torch.is_tensor(v) else v for k, v in options.items()}


@pytest.mark.usefixtures("float64_everywhere")
@pytest.mark.parametrize(("name", "options"), GRID)
def test_float64(name, options):
    pair = Pair(name, **plain(options) or {"lr": 0.01})
    pair.step(3, resting=(1,)).step(4).assert_close()


@pytest.mark.parametrize(("name", "options"), GRID)
def test_float32(name, options):
    pair = Pair(name, torch.float32, **plain(options) or {"lr": 0.01})
    pair.step(5).assert_close("formula float32")


@pytest.mark.usefixtures("float64_everywhere")
@pytest.mark.parametrize(("name", "options"), GRID)
def test_complex(name, options):
    pair = Pair(name, torch.complex128, **plain(options) or {"lr": 0.01})
    pair.step(3, resting=(1,)).step(4).assert_close()


@pytest.mark.parametrize(("name", "options"), GRID)
def test_bfloat16_has_float32_states_and_rounds_once(name, options):
    pair = Pair(name, torch.bfloat16, **plain(options) or {"lr": 0.01})
    exact = Pair(name, torch.float32, **plain(options) or {"lr": 0.01})
    with torch.no_grad():
        for wide, narrow in zip(exact.params, pair.params):
            wide.copy_(narrow)
    pair.step()
    for wide, narrow in zip(exact.params, pair.params):
        wide.grad = None if narrow.grad is None else narrow.grad.float()
    exact.mine.step()
    for wide, narrow in zip(exact.params, pair.params):
        assert narrow.equal(wide.to(torch.bfloat16))
    named = [item for held in pair.mine.state.values() for item in held.items()]
    states = [array for name, array in named if name not in KEPT]
    assert {s.dtype for s in states} <= {torch.float32}


@pytest.mark.parametrize(("name", "error"), ERRORS)
def test_errors_are_torchs(name, error):
    if error.error_on is not OptimizerErrorEnum.CONSTRUCTION_ERROR:
        pytest.skip("an error of the step")
    given = error.optimizer_error_input
    if error.error_type is UserWarning:  # a parameter given twice: torch warns, here it is an error
        with pytest.warns(UserWarning), pytest.raises(ValueError, match="given twice"):
            getattr(ours, name)(given.params, **given.kwargs)
        return
    with pytest.raises(error.error_type, match=error.error_regex):
        getattr(ours, name)(given.params, **given.kwargs)

"""Parameters that rest: frozen, of no dtype that could be updated, or initialized late."""

import pytest

torch = pytest.importorskip("torch")

import gpuopt.torch as ours  # noqa: E402
from tests.drop_in.pairs import Pair, assert_close  # noqa: E402


def frozen(data):
    return torch.nn.Parameter(data, requires_grad=False)


SHARED = torch.ones(6)

NEVER_UPDATED = {
    "integers": lambda: [frozen(torch.ones(3, dtype=torch.uint8))],
    "float8": lambda: [frozen(torch.ones(3).to(torch.float8_e4m3fn))],
    "sparse": lambda: [frozen(torch.eye(3).to_sparse())],
    "meta": lambda: [frozen(torch.ones(3, device="meta"))],
    "broadcast": lambda: [frozen(torch.ones(1).expand(3))],
    "overlapping": lambda: [frozen(SHARED[:4]), frozen(SHARED[2:])],
    "uninitialized": lambda: list(torch.nn.LazyLinear(2).parameters()),
}


@pytest.mark.parametrize("rest", NEVER_UPDATED.values(), ids=NEVER_UPDATED)
def test_parameters_that_get_no_gradient_may_be_anything(rest):
    """The frozen weights of a quantized model, say."""
    param, others = torch.zeros(3, requires_grad=True), rest()
    optimizer = ours.Adam([*others, param], lr=0.5, ema_decay=0.5)
    for _ in range(2):
        param.grad = torch.ones(3)
        optimizer.step()
    assert list(optimizer.state) == [param]
    assert optimizer.ema[others[0]] is others[0]
    optimizer.load_state_dict(optimizer.state_dict())
    optimizer.step()
    assert optimizer.state[param]["step"].item() == 3


def test_a_parameter_that_is_initialized_late():
    made = []
    for module in (ours, torch.optim):
        torch.manual_seed(0)
        model = torch.nn.Sequential(torch.nn.LazyLinear(3), torch.nn.Linear(3, 2))
        optimizer = module.Adam(model.parameters(), lr=0.1)
        model[1](torch.ones(1, 3)).sum().backward()
        optimizer.step()
        for _ in range(3):
            optimizer.zero_grad()
            model(torch.ones(2, 4)).square().sum().backward()
            optimizer.step()
        made.append(list(model.parameters()))
    assert_close(*made, "formula float32")


def test_a_frozen_parameter_whose_states_are_loaded_and_that_is_thawed():
    pair = Pair("Adam").step(3)
    saved = pair.mine.state_dict(), pair.theirs.state_dict()
    other = Pair("Adam")
    for params in (other.params, other.twins):
        params[0].requires_grad_(False)
    other.step(1, resting=(0,))
    other.mine.load_state_dict(saved[1])
    other.theirs.load_state_dict(saved[0])
    other.step(1, resting=(0,))
    for params in (other.params, other.twins):
        params[0].requires_grad_(True)
    other.step(2).assert_close()
    assert other.mine.state[other.params[0]]["step"].item() == 5


def test_a_frozen_parameter_whose_states_are_loaded_is_evaluated_at_its_average():
    param = torch.zeros(3, requires_grad=True)
    optimizer = ours.SGD([param], lr=1.0, ema_decay=0.5)
    param.grad = torch.ones(3)
    optimizer.step()
    param.grad = None
    other = ours.SGD([param.requires_grad_(False)], lr=1.0, ema_decay=0.5)
    other.load_state_dict(optimizer.state_dict())
    with other.ema_weights():
        assert param.tolist() == [-0.5] * 3
    assert param.tolist() == [-1.0] * 3

"""Bugs that torch's fused steps had, or still have, for every class: none is here."""

import pytest

torch = pytest.importorskip("torch")

import gpuopt.torch as ours  # noqa: E402
from tests.drop_in.pairs import (  # noqa: E402
    CLASSES,
    OF_TORCH,
    OPTIONS,
    Pair,
    assert_close,
    give_gradients,
    parameters,
)
from tests.rules.oracles import training  # noqa: E402


@pytest.mark.parametrize("name", OF_TORCH)
@pytest.mark.parametrize(
    "shapes", [((0,), (3,)), ((3,), (0, 2)), ((0,),), ((0,), (0,), (3,), (0,))]
)
def test_empty_parameters_first_last_and_alone(name, shapes):
    pair = Pair(name, torch.float32, shapes).step(3)
    pair.assert_close("formula float32")
    kept = [[(k, s[k].shape) for k in sorted(s)] for s in pair.mine.state.values()]
    assert kept == [[(k, s[k].shape) for k in sorted(s)] for s in pair.theirs.state.values()]


LAST, PLAIN = torch.channels_last, torch.contiguous_format


@pytest.mark.parametrize("name", OF_TORCH)
@pytest.mark.parametrize("orders", [(LAST, PLAIN), (PLAIN, LAST), (LAST, LAST)], ids=str)
def test_gradients_of_another_memory_order_than_their_parameter(name, orders):
    """torch's fused steps on the CPU pair the elements as they lie; its for-loop does not."""
    own, found = {"lr": 0.01, **OPTIONS.get(name, {})}, []
    for module, more in ((ours, {}), (torch.optim, {"foreach": False})):
        (param,) = parameters(torch.float32, shapes=((2, 3, 4, 5),))
        param.data = param.data.contiguous(memory_format=orders[0])
        optimizer = getattr(module, name)([param], **own, **more)
        for step in range(3):
            give_gradients([param], step)
            param.grad = param.grad.contiguous(memory_format=orders[1])
            optimizer.step()
        found.append([param])
    assert_close(*found, "formula float32")
    assert found[0][0].is_contiguous(memory_format=orders[0])


@pytest.mark.usefixtures("nothing_to_compile")
@pytest.mark.parametrize("name", CLASSES)
def test_version_counters_of_whatever_is_updated_and_of_nothing_else(name):
    params = [
        torch.ones(3, requires_grad=True),
        torch.ones(4, 4).t()[::2].requires_grad_(),
        torch.ones(3, dtype=torch.complex64, requires_grad=True),
        torch.ones(3, requires_grad=True),
    ]
    optimizer = getattr(ours, name)(params, **training(name))
    for param in params[:3]:
        param.grad = torch.ones_like(param)
    grads = [param.grad for param in params[:3]]
    before = [tensor._version for tensor in (*params, *grads)]
    optimizer.step()
    bumped = [tensor._version > v for tensor, v in zip((*params, *grads), before)]
    assert bumped == [True, True, True, False, False, False, False]
    assert all(bool((grad == 1).all()) for grad in grads)


@pytest.mark.usefixtures("nothing_to_compile")
@pytest.mark.parametrize("name", [n for n in CLASSES if n != "Rprop"])  # has a smallest step
def test_a_rate_of_zero_moves_nothing(name):
    """It makes no NaN of an infinite weight, or beside a huge gradient."""
    # y+c*(z-y) of an infinite y is NaN, as in the schedule-free optimizers of their authors.
    large = 3e38 if training(name) else float("inf")
    start = torch.tensor([1.0, large, -2.0, 0.0])
    param = start.clone().requires_grad_()
    optimizer = getattr(ours, name)([param], lr=0.0, **training(name))
    for _ in range(3):
        param.grad = torch.tensor([1.0, 1.0, 0.0, -1e30])
        optimizer.step()
    assert param.equal(start)


@pytest.mark.usefixtures("nothing_to_compile")
@pytest.mark.parametrize("name", OF_TORCH)
def test_half_precision_is_rounded_once(name):
    """eps is no zero there, and moments do not overflow: they are float32."""
    pair = Pair(name, torch.float16, lr=0.01)
    wide = Pair(name, torch.float32, lr=0.01)
    for step in range(3):
        give_gradients(pair.params, step)
        with torch.no_grad():
            for narrow, exact in zip(pair.params, wide.params):
                exact.copy_(narrow)
                exact.grad = narrow.grad.float()
        pair.mine.step()
        wide.mine.step()
        assert all(a.equal(b.half()) for a, b in zip(pair.params, wide.params))

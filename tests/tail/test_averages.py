"""The averaged weights: torch's AveragedModel as the oracle, and their exchange."""

import copy

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn  # noqa: E402

from gpuopt import SGD, Adam  # noqa: E402
from gpuopt.torch import Adam as TorchAdam  # noqa: E402
from tests.helpers.bits import assert_same_bits  # noqa: E402
from tests.tail.cases import new_grads, new_params  # noqa: E402
from tests.tolerances import assert_close  # noqa: E402

SHAPES = ((40,), (3, 5), ())


def model():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(5, 7), torch.nn.Linear(7, 2))


def train(net, opt, steps=5):
    """Take steps on data that are the same for the same step, and yield after each."""
    for step in range(steps):
        generator = torch.Generator().manual_seed(step)
        loss = net(torch.randn(16, 5, generator=generator)).square().mean()
        opt.zero_grad()
        loss.backward()
        opt.step()
        yield step


def test_the_average_is_that_of_torch():
    net = model()
    opt = TorchAdam(net.parameters(), lr=0.05, ema_decay=0.875)
    theirs = AveragedModel(net, multi_avg_fn=get_ema_multi_avg_fn(0.875))
    theirs.update_parameters(net)  # its first call copies: ours starts at the weights, too
    for _ in train(net, opt):
        theirs.update_parameters(net)
    for param, average in zip(net.parameters(), theirs.module.parameters()):
        ema = opt.ema[param].numpy()
        assert_close(ema, average.detach().numpy(), "average of rounded weights")


def test_a_decay_of_zero_is_the_weights_and_of_one_the_first():
    for decay, expected in ((0.0, "now"), (1.0, "first")):
        params = new_params("float32", SHAPES)
        first = [p.copy() for p in params]
        opt = Adam(params, lr=0.5, ema_decay=decay)
        for step in range(3):
            opt.step(new_grads("float32", step, SHAPES))
        for ema, now, start in zip(opt.ema, params, first):
            assert_close(ema, now if expected == "now" else start, "average of rounded weights")


def test_the_average_rests_with_its_parameter():
    params = new_params("float32", [(4,), (4,)])
    opt = SGD(params, lr=0.5, ema_decay=0.5)
    grads = new_grads("float32", 0, [(4,), (4,)])
    opt.step([grads[0], None])
    assert opt.ema[1] is params[1]
    kept = opt.ema[0].copy()
    opt.step([None, grads[1]])
    assert_same_bits(opt.ema[0], kept)


def test_averages_come_in_the_structure_of_the_parameters():
    w, b = np.ones(2, np.float32), np.ones(3, np.float32)
    opt = SGD([{"params": {"w": w}}, {"params": {"b": b}}], lr=1.0, ema_decay=0.5)
    opt.step([{"w": w.copy()}, {"b": b.copy()}])
    assert opt.ema[0].keys() == {"w"}
    assert opt.ema[1]["b"].tolist() == [0.5] * 3


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float64"])
def test_arrays_are_their_averages_for_a_while(dtype):
    params = new_params(dtype, SHAPES)
    opt = Adam(params, lr=0.5, ema_decay=0.75)
    for step in range(2):
        opt.step(new_grads(dtype, step, SHAPES))
    weights, averages = [p.copy() for p in params], [e.copy() for e in opt.ema]
    with opt.ema_weights():
        for param, average in zip(params, averages):
            assert_same_bits(param, average.astype(param.dtype))
    for param, weight, average, ema in zip(params, weights, averages, opt.ema):
        assert_same_bits(param, weight)
        assert_same_bits(ema, average)
    opt.step(new_grads(dtype, 2, SHAPES))


def test_torch_tensors_change_places_without_a_copy():
    net = model()
    opt = TorchAdam(net.parameters(), lr=0.05, ema_decay=0.5)
    list(train(net, opt))
    params = list(net.parameters())
    of_weights = [p.data_ptr() for p in params]
    of_averages = [opt.ema[p].data_ptr() for p in params]
    with opt.ema_weights():
        assert [p.data_ptr() for p in params] == of_averages
    assert [p.data_ptr() for p in params] == of_weights
    assert [opt.ema[p].data_ptr() for p in params] == of_averages


def test_training_goes_on_as_if_nobody_had_evaluated():
    results = []
    for evaluate in (False, True):
        net = model()
        opt = TorchAdam(net.parameters(), lr=0.05, ema_decay=0.5, clip_norm=0.1)
        for _ in train(net, opt):
            if evaluate:
                with opt.ema_weights():
                    net(torch.ones(1, 5))
        results.append([p.detach().numpy().copy() for p in net.parameters()])
    for plain, evaluated in zip(*results):
        assert_same_bits(evaluated, plain)


@pytest.mark.parametrize("kind", ["arrays", "torch"])
def test_inside_nothing_else_is_done(kind):
    tensor = torch.ones(2, requires_grad=True)
    opt = SGD([tensor], lr=1.0, ema_decay=0.5) if kind == "arrays" else None
    opt = opt or TorchAdam([tensor], ema_decay=0.5)
    tensor.grad = torch.ones(2)
    step = (lambda: opt.step([tensor.grad])) if kind == "arrays" else opt.step
    step()
    saved = opt.state_dict()
    with opt.ema_weights():
        for forbidden in (
            step,
            opt.state_dict,
            lambda: opt.load_state_dict(saved),
            lambda: opt.ema_weights().__enter__(),
            lambda: opt.ema,
            (lambda: opt.save("x")) if kind == "arrays" else (lambda: copy.deepcopy(opt)),
        ):
            with pytest.raises(RuntimeError, match=r"not inside ema_weights\(\).*leave the block"):
                forbidden()
    step()


def test_an_error_inside_brings_the_weights_back():
    params = new_params("float32", SHAPES)
    opt = SGD(params, lr=0.5, ema_decay=0.5)
    opt.step(new_grads("float32", 0, SHAPES))
    weights = [p.copy() for p in params]
    with pytest.raises(KeyError), opt.ema_weights():
        raise KeyError
    for param, weight in zip(params, weights):
        assert_same_bits(param, weight)
    opt.step(new_grads("float32", 1, SHAPES))


def test_arrays_that_became_read_only_are_refused_before_any_is_exchanged():
    params = new_params("float32", SHAPES)
    opt = SGD(params, lr=0.5, ema_decay=0.5)
    opt.step(new_grads("float32", 0, SHAPES))
    weights = [p.copy() for p in params]
    params[1].flags.writeable = False
    with pytest.raises(ValueError, match=r"params\[1\]: the array is read-only"):
        opt.ema_weights().__enter__()
    for param, weight in zip(params, weights):
        assert_same_bits(param, weight)


def test_without_a_decay_there_are_no_averages():
    opt = SGD(new_params("float32", SHAPES), lr=0.5)
    for ask in (lambda: opt.ema, opt.stats, lambda: opt.grad_norm, lambda: opt.skipped_steps):
        with pytest.raises(RuntimeError, match="SGD was made without"):
            ask()
    with pytest.raises(RuntimeError, match="SGD was made without ema_decay"), opt.ema_weights():
        pass

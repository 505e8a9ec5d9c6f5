"""Clipping against torch.nn.utils, and what it depends on."""

import math
from functools import partial

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import gpuopt  # noqa: E402
from gpuopt import SGD, Adam  # noqa: E402
from tests.helpers.bits import assert_same_bits  # noqa: E402
from tests.tail.cases import new_grads, new_params  # noqa: E402
from tests.tolerances import assert_close  # noqa: E402

SHAPES = ((300,), (17, 5), (), (40_000,))


@pytest.mark.parametrize("clip", [0.0, 0.1, 3.0, 1e9])
@pytest.mark.parametrize("maximize", [False, True])
def test_clipping_by_the_norm_is_torchs(clip, maximize):
    ours = new_params("float64", SHAPES)
    theirs = [torch.tensor(p) for p in ours]
    optimizer = torch.optim.Adam(theirs, lr=0.1, maximize=maximize)
    opt = Adam(ours, lr=0.1, clip_norm=clip, maximize=maximize)
    for step in range(3):
        grads = new_grads("float64", step, SHAPES)
        for tensor, grad in zip(theirs, grads):
            tensor.grad = torch.tensor(grad)
        norm = torch.nn.utils.clip_grad_norm_(theirs, clip)
        optimizer.step()
        opt.step(grads)
        assert_close(opt.grad_norm, norm.item(), "torch float64")
    for mine, tensor in zip(ours, theirs):
        assert_close(mine, tensor.numpy(), "sum in another order")


def clipped_step(clip, grads, **options):
    """One step of SGD here, and of torch's behind ``clip(tensors)``; both results."""
    ours = new_params("float64", SHAPES)
    theirs = [torch.tensor(p) for p in ours]
    optimizer = torch.optim.SGD(theirs, lr=0.1)
    for tensor, grad in zip(theirs, grads):
        tensor.grad = torch.tensor(grad)
    clip(theirs)
    optimizer.step()
    SGD(ours, lr=0.1, **options).step(grads)
    return zip(ours, (tensor.numpy() for tensor in theirs))


def test_clipping_by_the_value_is_torchs():
    grads = new_grads("float64", 0, SHAPES)
    grads[0][:3] = np.nan, np.inf, -np.inf
    by_value = partial(torch.nn.utils.clip_grad_value_, clip_value=0.25)
    for mine, other in clipped_step(by_value, grads, clip_value=0.25):
        assert_close(mine, other, "sum in another order")


@pytest.mark.parametrize(
    ("name", "clip_norm", "maximize"),
    [("SGD", None, False), ("SGD", 3.0, True), ("AdamW", None, True), ("AdamW", 3.0, False)],
)
def test_weight_decay_is_not_clipped(name, clip_norm, maximize):
    """As in torch, whose step adds it to gradients that were clipped before."""
    options = {"lr": 0.1, "weight_decay": 0.5, "maximize": maximize}
    ours = new_params("float64", SHAPES[:3])
    theirs = [torch.tensor(p) for p in ours]
    optimizer = getattr(torch.optim, name)(theirs, **options)
    opt = getattr(gpuopt, name)(ours, clip_norm=clip_norm, clip_value=0.01, **options)
    for step in range(3):
        grads = new_grads("float64", step, SHAPES[:3])
        for tensor, grad in zip(theirs, grads):
            tensor.grad = torch.tensor(grad)
        if clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(theirs, clip_norm)
        torch.nn.utils.clip_grad_value_(theirs, 0.01)
        optimizer.step()
        with gpuopt.use_backend("numpy"):
            opt.step(grads)
    for mine, tensor in zip(ours, theirs):
        assert_close(mine, tensor.numpy(), "sum in another order")


@pytest.mark.parametrize("bad", [np.inf, np.nan])
def test_a_norm_that_is_not_finite_does_what_torchs_does(bad):
    grads = new_grads("float64", 0, SHAPES)
    grads[1][3, 3] = bad
    by_norm = partial(torch.nn.utils.clip_grad_norm_, max_norm=1.0)
    for mine, other in clipped_step(by_norm, grads, clip_norm=1.0):
        assert_same_bits(np.isnan(mine), np.isnan(other))


@pytest.mark.parametrize("bad", [np.inf, np.nan])
def test_an_error_comes_before_anything_changes(bad):
    params = new_params("float32", SHAPES)
    opt = Adam(params, clip_norm=1.0, error_if_nonfinite=True)
    opt.step(new_grads("float32", 0, SHAPES))
    before = [p.copy() for p in params], {n: np.copy(s) for n, s in opt.state[0].items()}
    grads = new_grads("float32", 1, SHAPES)
    grads[2][...] = bad
    with pytest.raises(RuntimeError, match=r"clip_norm: the norm of all gradients is (inf|nan)"):
        opt.step(grads)
    for mine, kept in zip(params, before[0]):
        assert_same_bits(mine, kept)
    for name, state in opt.state[0].items():
        assert_same_bits(np.asarray(state), np.asarray(before[1][name]))


@pytest.mark.parametrize("backend", ["numpy", "llvm"])
def test_the_result_does_not_depend_on_the_number_of_threads(backend, monkeypatch):
    shapes = [(200_001,), (3,), (70_000,)]
    results = []
    for threads in ("1", "2", "3", "7"):
        monkeypatch.setenv("GPUOPT_NUM_THREADS", threads)
        params = new_params("float32", shapes)
        with gpuopt.use_backend(backend):
            opt = Adam(params, clip_norm=1.0, stats=True)
            for step in range(3):
                opt.step(new_grads("float32", step, shapes))
        results.append((opt.grad_norm, opt.stats(), [p.tobytes() for p in params]))
    assert all(result == results[0] for result in results)


@pytest.mark.parametrize("backend", ["numpy", "llvm"])
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_the_norm_is_right_to_a_float32(backend, dtype):
    grads = new_grads(dtype, 0, [(1_000_003,)])
    grads[0][::7] *= np.array(1e-3, grads[0].dtype)
    with gpuopt.use_backend(backend):
        opt = SGD(new_params(dtype, [(1_000_003,)]), lr=0.1, clip_norm=1.0)
        opt.step(grads)
    exact = math.sqrt(math.fsum(grads[0].astype(np.float64) ** 2))  # squares of float32 are exact
    assert np.float32(opt.grad_norm) == np.float32(exact)


def test_the_scale_of_the_loss_is_taken_out_before_clipping():
    params, scaled = new_params("float32", SHAPES), new_params("float32", SHAPES)
    opt, other = (SGD(p, lr=0.1, clip_norm=1.0) for p in (params, scaled))
    grads = new_grads("float32", 0, SHAPES)
    opt.step(grads)
    other.step([np.asarray(g * np.float32(1024)) for g in grads], scale=1024.0)
    assert other.grad_norm == opt.grad_norm
    for mine, theirs in zip(params, scaled):
        assert_same_bits(mine, theirs)


def test_the_gradients_are_not_rewritten():
    grads = new_grads("float32", 0, SHAPES)
    kept = [g.copy() for g in grads]
    SGD(new_params("float32", SHAPES), lr=0.1, clip_norm=0.1, clip_value=0.1).step(grads)
    for grad, before in zip(grads, kept):
        assert_same_bits(grad, before)


def test_a_limit_can_be_changed():
    params = new_params("float64", [(4,)])
    opt = SGD(params, lr=1.0, clip_norm=1.0)
    before = params[0].copy()
    opt.change(clip_norm=0.0)
    opt.step(new_grads("float64", 0, [(4,)]))
    assert_same_bits(params[0], before)
    opt.change(clip_norm=1e9)
    grad = new_grads("float64", 1, [(4,)])
    opt.step(grad)
    assert_same_bits(params[0], before - grad[0])


def test_a_parameter_without_a_gradient_does_not_count():
    params = new_params("float32", [(4,), (4,)])
    opt = SGD(params, lr=1.0, clip_norm=1.0, stats=True)
    opt.step([np.full(4, 8.0, np.float32)] * 1 + [np.full(4, 6.0, np.float32)])
    opt.step([np.full(4, 8.0, np.float32), None])
    assert opt.grad_norm == 16.0
    assert opt.stats()[1].grad_norm == 0.0

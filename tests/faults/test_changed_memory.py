"""Arrays whose memory shrank, or became read-only or of another dtype, since the first step."""

import warnings

import numpy as np
import pytest

import gpuopt
from tests.helpers.backends import on_cpu
from tests.helpers.exact import assert_same_bits


@pytest.fixture(params=on_cpu())
def backend(request):
    with gpuopt.use_backend(request.param):
        yield request.param


# --- torch: the storage is resized --------------------------------------------------------------


def drop_in(params, **tail):
    import gpuopt.torch

    opt = gpuopt.torch.Adam(params, lr=0.1, **tail)

    def step(grads):
        for param, grad in zip(params, grads):
            param.grad = grad
        opt.step()

    return opt, step


def over_arrays(params, **tail):
    opt = gpuopt.Adam(params, lr=0.1, **tail)
    return opt, opt.step


APIS = {"gpuopt.torch": drop_in, "gpuopt": over_arrays}


@pytest.fixture(params=APIS)
def made(request, backend):
    """Makes an optimizer of two parameters of eight ones, and its step."""
    torch = pytest.importorskip("torch")
    params = [torch.ones(8) for _ in range(2)]
    return params, *APIS[request.param](params)


def views(torch):
    """Gradients of eight elements, and the bytes below which each is no longer in its storage."""
    return {
        "whole": (torch.ones(8), 32),
        "begins later": (torch.ones(18)[10:], 72),
        "has gaps": (torch.ones(16)[::2], 60),
        "transposed": (torch.ones(16).view(8, 2).t()[0], 60),
    }


@pytest.mark.parametrize("kind", ["whole", "begins later", "has gaps", "transposed"])
@pytest.mark.parametrize("size", ["short", "own"])
@pytest.mark.parametrize("new", [False, True])
def test_gradients(made, kind, size, new):
    import torch

    params, _, step = made
    step([torch.ones(8), views(torch)[kind][0]])
    grad, needed = views(torch)[kind]
    if not new:
        step([torch.ones(8), grad])
    before = [param.clone() for param in params]
    smaller = needed - 4 if size == "short" or kind == "whole" else 32
    grad.untyped_storage().resize_(smaller)
    what = rf"^gradient of params\[1\]: ends at byte {needed} .* resized to {smaller} bytes$"
    with pytest.raises(ValueError, match=what):
        step([torch.ones(8), grad])
    for param, was in zip(params, before):
        assert_same_bits(param, was)
    grad.untyped_storage().resize_(needed)
    grad.fill_(1.0)
    step([torch.ones(8), grad])
    assert_same_bits(params[0], params[1])


@pytest.mark.parametrize("steps", [0, 1, 2])
def test_a_gradient_without_memory_is_not_none(made, steps):
    import torch

    params, _, step = made
    grads = [torch.ones(8), torch.ones(8)]
    for _ in range(steps):
        step(grads)
    before = [param.clone() for param in params]
    grads[1].untyped_storage().resize_(0)
    for _ in range(2):
        with pytest.raises(TypeError, match=r"^gradient of params\[1\]: .*memory of its own"):
            step(grads)
    for param, was in zip(params, before):
        assert_same_bits(param, was)


def test_a_gradient_that_comes_back_smaller(made):
    """Where the other gradient goes at the same time, the layouts are those of other tensors."""
    import torch

    params, _, step = made
    grads = [torch.ones(8), torch.ones(8)]
    step(grads)
    grads[1].untyped_storage().resize_(16)
    before = params[1].clone()
    with pytest.raises(ValueError, match=r"^gradient of params\[1\]: ends at byte 32"):
        step([None, grads[1]])
    assert_same_bits(params[1], before)


def test_an_empty_gradient_needs_no_memory(backend):
    torch = pytest.importorskip("torch")
    param, grad = torch.ones(0), torch.ones(4)[2:2]
    opt = gpuopt.Adam([param], lr=0.1)
    opt.step([grad])
    grad.untyped_storage().resize_(0)
    opt.step([grad])
    assert opt.state[0]["step"] == 2


@pytest.mark.parametrize("steps", [0, 1, 2])
def test_parameters(made, steps):
    import torch

    params, _, step = made
    for _ in range(steps):
        step([torch.ones(8), torch.ones(8)])
    before = params[0].clone()
    params[1].untyped_storage().resize_(28)
    with pytest.raises(ValueError, match=r"^params\[1\]: ends at byte 32 .* resized to 28 bytes$"):
        step([torch.ones(8), torch.ones(8)])
    assert_same_bits(params[0], before)


def test_a_new_optimizer_of_a_parameter_without_memory(backend):
    torch = pytest.importorskip("torch")
    param = torch.ones(8)
    param.untyped_storage().resize_(16)
    with pytest.raises(ValueError, match=r"^params\[0\]: ends at byte 32"):
        gpuopt.SGD([param], lr=0.1)


def test_states(made):
    import torch

    params, opt, step = made
    step([torch.ones(8), torch.ones(8)])
    before = [param.clone() for param in params]
    key = params[1] if params[1] in opt.state else 1
    opt.state[key]["exp_avg"].untyped_storage().resize_(28)
    with pytest.raises(ValueError, match=r"'exp_avg' of params\[1\]: ends at byte 32"):
        step([torch.ones(8), torch.ones(8)])
    for param, was in zip(params, before):
        assert_same_bits(param, was)


# --- NumPy: flags and dtypes are set in place ----------------------------------------------------


def ones(count=3):
    return [np.ones(8, np.float32) for _ in range(count)]


def set_dtype(array, dtype):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of later versions of NumPy
        array.dtype = dtype


@pytest.mark.parametrize("others", ["numpy", "None", "torch"])
def test_a_gradient_that_became_read_only(backend, others):
    params, grads = ones(), ones()
    if others == "torch":
        params[0], grads[0] = (pytest.importorskip("torch").ones(8) for _ in range(2))
    opt = gpuopt.SGD(params, lr=1.0, zero_grads=True)
    opt.step(grads)
    grads[1].fill(2.0)
    grads[1].flags.writeable = False
    given = [None if others == "None" else grads[0], *grads[1:]]
    for _ in range(2):
        with pytest.raises(ValueError, match=r"^gradient of params\[1\]: .*read-only; zero_grads"):
            opt.step(given)
    assert params[1].tolist() == [0.0] * 8 and grads[1].tolist() == [2.0] * 8
    grads[1].flags.writeable = True
    opt.step(given)
    assert params[1].tolist() == [-2.0] * 8 and grads[1].tolist() == [0.0] * 8


def test_a_read_only_gradient_is_read(backend):
    params, grads = ones(), ones()
    opt = gpuopt.SGD(params, lr=1.0)
    opt.step(grads)
    grads[1].flags.writeable = False
    opt.step(grads)
    assert params[1].tolist() == [-1.0] * 8


@pytest.mark.parametrize("others", ["numpy", "None"])
@pytest.mark.parametrize("dtype", [np.int32, ">f4", np.uint32])
def test_a_gradient_of_another_dtype(backend, others, dtype):
    params, grads = ones(), ones()
    opt = gpuopt.SGD(params, lr=1.0)
    given = [None if others == "None" else grads[0], *grads[1:]]
    opt.step(given)
    set_dtype(grads[1], dtype)
    for _ in range(2):
        with pytest.raises(TypeError, match=r"^gradient of params\[1\]: expected one of float64"):
            opt.step(given)
    assert params[2].tolist() == [0.0] * 8
    set_dtype(grads[1], np.float32)
    opt.step(given)
    assert params[1].tolist() == [-1.0] * 8


def test_a_gradient_whose_bytes_are_another_dtype_that_fits(backend):
    ml_dtypes = pytest.importorskip("ml_dtypes")
    param, grad = np.ones(4, np.float32), np.array([1, 2, 3, 4], np.float16)
    opt = gpuopt.SGD([param], lr=1.0)
    opt.step([grad])
    grad[...] = np.array([1, 2, 3, 4], ml_dtypes.bfloat16).view(np.float16)
    set_dtype(grad, ml_dtypes.bfloat16)
    opt.step([grad])
    assert param.tolist() == [-1.0, -3.0, -5.0, -7.0]


@pytest.mark.parametrize("steps", [0, 2])
def test_a_parameter_of_another_dtype(backend, steps):
    params = ones()
    opt = gpuopt.SGD(params, lr=1.0)
    for _ in range(steps):
        opt.step(ones())
    set_dtype(params[1], np.int32)
    for _ in range(2):
        with pytest.raises(TypeError, match=r"^params\[1\]: expected one of float64"):
            opt.step(ones())
    set_dtype(params[1], np.float16)
    with pytest.raises(ValueError, match=r"^params\[1\]: was of shape \(8,\)"):
        opt.step(ones())
    set_dtype(params[1], np.float32)
    opt.step(ones())
    assert all(param.tolist() == [-float(steps)] * 8 for param in params)


def test_a_state_of_another_dtype(backend):
    params = ones()
    opt = gpuopt.Adam(params, lr=1.0)
    opt.step(ones())
    before = params[0].copy()
    set_dtype(opt.state[1]["exp_avg"], np.int32)
    with pytest.raises(TypeError, match=r"^state 'exp_avg' of params\[1\]: expected one of"):
        opt.step(ones())
    assert_same_bits(params[0], before)


def test_numpy_does_not_resize_what_is_in_use(backend):
    """Not even without counting references: there are weak ones."""
    params, grads = ones(), ones()
    opt = gpuopt.Adam(params, lr=1.0)
    opt.step(grads)
    for array in (params[0], grads[0], opt.state[0]["exp_avg"]):
        with pytest.raises(ValueError, match="cannot resize"):
            array.resize(1 << 20, refcheck=False)

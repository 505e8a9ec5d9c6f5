"""Callers that flush denormal numbers, or round otherwise: a step has the same bits, and both stay.

The shares of a step run on the caller's thread and on others, each of which has a mode.
"""

import ctypes
import platform
import sys

import numpy as np
import pytest
from gpuopt.kernels import float_mode, threads

import gpuopt
from tests.helpers.backends import on_cpu
from tests.helpers.exact import assert_same_bits, plain

pytestmark = pytest.mark.skipif(
    float_mode._known is None, reason="the C library does not set the mode here"
)

COUNT = 150_000
ROUNDINGS = {"x86_64": (0x400, 0x800, 0xC00), "aarch64": (0x400000, 0x800000, 0xC00000)}
"""C's FE_DOWNWARD, FE_UPWARD and FE_TOWARDZERO, in another order on arm64."""
TINY = 1e-40


def flush():
    """Flush denormal numbers, as torch can."""
    torch = pytest.importorskip("torch")
    if not torch.set_flush_denormal(True):
        pytest.skip("this processor cannot flush denormal numbers")


def rounding(k):
    def set_rounding():
        modes = ROUNDINGS.get(platform.machine())
        if modes is None or not sys.platform.startswith("linux"):
            pytest.skip("C's numbers of the rounding modes are not known here")
        assert ctypes.PyDLL(None).fesetround(modes[k]) == 0

    return set_rounding


MODES = {"flush": flush, "downward": rounding(0), "toward zero": rounding(2)}


def seen_mode():
    """What arithmetic in this thread is like: are there denormal numbers, and what is rounded how.

    NumPy's operations round when they run, and Python's constants when they are compiled.
    """
    tiny, one, third = (np.full(1, x, np.float32) for x in (TINY, 1.0, 3.0))
    sums = [(tiny + tiny).view(np.uint32), one / third, -one / third, one - third * np.float32(0.1)]
    return [array.tobytes() for array in sums]


@pytest.fixture(params=MODES)
def mode(request):
    """Sets a mode; the test is over in the default mode."""
    default = seen_mode()

    def use():
        MODES[request.param]()
        assert seen_mode() != default
        return seen_mode()

    yield use
    float_mode.set_default_mode()
    assert seen_mode() == default


@pytest.fixture(params=[1, 2, 4])
def thread_count(request, monkeypatch):
    """Steps with so many threads, which are new: they inherit the mode of their parent."""
    monkeypatch.setenv("GPUOPT_NUM_THREADS", str(request.param))
    threads._forget_pool()
    yield request.param
    threads._forget_pool()


@pytest.fixture(params=on_cpu())
def backend(request):
    with gpuopt.use_backend(request.param):
        yield request.param


def values(dtype):
    """Arrays of normal and denormal numbers."""
    random = np.random.default_rng(5)
    tiny = TINY if dtype == np.float32 else 1e-310
    return (random.standard_normal(COUNT) * np.where(np.arange(COUNT) % 2, tiny, 1.0)).astype(dtype)


def over_arrays(param, grad, **tail):
    opt = gpuopt.SGD([param], lr=0.3, momentum=0.7, weight_decay=0.1, **tail)
    return opt, lambda scale: opt.step([grad], scale=scale)


def drop_in(param, grad, **tail):
    torch = pytest.importorskip("torch")
    import gpuopt.torch

    param = torch.from_numpy(param)
    param.grad = torch.from_numpy(grad)
    opt = gpuopt.torch.SGD([param], lr=0.3, momentum=0.7, weight_decay=0.1, **tail)
    return opt, lambda scale: opt.step()


APIS = {"gpuopt": over_arrays, "gpuopt.torch": drop_in}


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_steps(backend, thread_count, mode, api, dtype):
    param, grad = values(dtype), np.roll(values(dtype), 2)
    _, step = APIS[api](param, grad)
    other = values(dtype)
    _, expected = APIS[api](other, grad)
    for _ in range(3):
        expected(3.0)
    threads._forget_pool()
    own = mode()
    for _ in range(3):
        step(3.0)
        assert seen_mode() == own
    float_mode.set_default_mode()
    assert_same_bits(param, other)
    updated = np.abs(plain(param)[1::2])
    assert ((updated > 0) & (updated < np.finfo(dtype).tiny)).mean() > 0.99  # denormal numbers


@pytest.mark.parametrize("api", APIS)
def test_norms_and_statistics(backend, thread_count, mode, api):
    """The squares of float64 gradients are denormal numbers here, and so is the clipping factor."""
    param, grad = values(np.float64), values(np.float64) * 1e-158
    other = param.copy()
    tail = {"clip_norm": 1e-300, "stats": True, "ema_decay": 0.9}
    opt, step = APIS[api](param, grad, **tail)
    alone, expected = APIS[api](other, grad.copy(), **tail)
    expected(1.0)
    norm, stats = alone.grad_norm, list(alone.stats().values())
    threads._forget_pool()
    own = mode()
    step(1.0)
    found = opt.grad_norm, list(opt.stats().values())
    with opt.ema_weights():
        pass
    assert seen_mode() == own
    float_mode.set_default_mode()
    assert found == (norm, stats)
    assert_same_bits(param, other)
    assert norm > 0


def test_a_step_that_fails(mode):
    """The caller's mode comes back, whatever happens."""
    opt = gpuopt.SGD([np.ones(3, np.float32)], lr=1.0)
    own = mode()
    with pytest.raises(ValueError, match=r"^gradient of params\[0\]"):
        opt.step([np.ones(4, np.float32)])
    assert seen_mode() == own


def test_a_closure_has_the_callers_mode(mode):
    torch = pytest.importorskip("torch")
    import gpuopt.torch

    param = torch.ones(3)
    param.grad = torch.ones(3)
    opt = gpuopt.torch.SGD([param], lr=1.0)
    own, inside = mode(), []
    opt.step(lambda: inside.append(seen_mode()))
    assert inside == [own]


def test_threads_of_a_caller_in_another_mode(mode, thread_count):
    """The pool outlives the step whose mode its threads would inherit."""
    found = []
    mode()
    ends = np.arange(1, thread_count + 1) * threads.SMALL
    threads.for_each_share(lambda first, last: found.append((first, seen_mode())), ends)
    float_mode.set_default_mode()
    assert [own for first, own in found if first] == [seen_mode()] * (thread_count - 1)

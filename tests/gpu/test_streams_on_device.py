"""Steps are done in the order of the current stream, and the host waits for none."""

import pytest

import gpuopt
from gpuopt.verify.devices import no_waiting
from tests.gpu.arrays import (
    BACKENDS,
    OPTIMIZERS,
    assert_equal,
    assert_same,
    host_arrays,
    tensors,
    there,
)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_steps_on_another_stream(torch, device, make, backend):
    on_device, here = tensors(torch, 0, device=device), tensors(torch, 0)
    optimizer, expected = make(on_device), make(here)
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with gpuopt.use_backend(backend), torch.cuda.stream(stream):
        for step in range(3):
            optimizer.step(tensors(torch, step + 1, device=device))
        assert optimizer.backend == backend
    torch.cuda.current_stream().wait_stream(stream)
    for step in range(3):
        expected.step(tensors(torch, step + 1))
    assert_equal(on_device, here)


def test_steps_on_streams_of_cupy(cupy):
    here = host_arrays(0)
    on_device = there(cupy, here)
    cupy.cuda.get_current_stream().synchronize()
    optimizer, expected = gpuopt.Adam(on_device), gpuopt.Adam(here)
    streams = [cupy.cuda.Stream(non_blocking=True) for _ in range(2)]
    for step in range(4):
        with streams[step % 2] as stream:
            optimizer.step(there(cupy, host_arrays(step + 1)))
            stream.synchronize()
        expected.step(host_arrays(step + 1))
    assert_same(cupy, on_device, here)


def test_cupy_arrays_by_triton(cupy, torch):
    here = host_arrays(0)
    on_device = there(cupy, here)
    optimizer, expected = gpuopt.Adam(on_device), gpuopt.Adam(here)
    stream = cupy.cuda.Stream(non_blocking=True)
    cupy.cuda.get_current_stream().synchronize()
    with gpuopt.use_backend("triton"), stream:
        for step in range(3):
            optimizer.step(there(cupy, host_arrays(step + 1)))
    stream.synchronize()
    for step in range(3):
        expected.step(host_arrays(step + 1))
    assert_same(cupy, on_device, here)


@pytest.mark.parametrize("backend", BACKENDS)
def test_cupys_default_stream_is_waited_for(cupy, torch, backend):
    """The gradient is written behind products that take the device milliseconds."""
    param, grad = (cupy.zeros(1 << 22, cupy.float32) for _ in range(2))
    with gpuopt.use_backend(backend):
        optimizer = gpuopt.SGD([param], lr=1.0)
        optimizer.step([grad])
        cupy.cuda.Device().synchronize()
        large = cupy.full((4096, 4096), 1e-4, cupy.float32)
        for _ in range(3):
            large = large @ large
        grad += 1 + 0 * large[0, 0]
        optimizer.step([grad])
        grad *= 0  # and it is read before it changes again
    assert (cupy.asnumpy(param) == -1).all()


def test_torch_takes_cupys_default_stream_for_its_own(torch, device):
    """torch makes a new stream where it is given the handle of none."""
    torch_memory = pytest.importorskip("gpuopt.kernels.torch_memory")
    for handle in (0, 1):
        assert torch_memory.stream_of(handle, torch.device(device)).cuda_stream == 0


@pytest.mark.parametrize("backend", BACKENDS)
def test_gradients_that_move_at_each_step(torch, device, backend):
    """Their addresses go through pinned memory, which must not change before it is copied."""
    rows, kinds, steps = 64, 7, 200
    drawn = torch.randn(kinds, rows, 4096, generator=torch.Generator().manual_seed(0))
    param, moving = torch.zeros(rows, 4096, device=device), drawn.to(device)
    with gpuopt.use_backend(backend):
        optimizer = gpuopt.SGD(list(param), lr=1.0)
        for step in range(steps):
            optimizer.step(list(moving[step % kinds]))
    expected = torch.zeros(rows, 4096)
    for step in range(steps):
        expected -= drawn[step % kinds]
    assert_equal([param], [expected])


TAIL = {"clip_norm": 1.0, "skip_nonfinite": True, "ema_decay": 0.9, "stats": True}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("tail", [{}, TAIL], ids=["plain", "tail"])
def test_a_step_does_not_wait_for_the_device(torch, device, backend, tail):
    params = tensors(torch, 0, device=device)
    optimizer = gpuopt.Adam(params, **tail)
    grads = [tensors(torch, step, device=device) for step in range(5)]
    with gpuopt.use_backend(backend):
        for moved in grads[:2]:
            optimizer.step(moved)
        torch.cuda.synchronize()
        with no_waiting(torch):
            for moved in (*grads[2:], grads[-1]):
                optimizer.step(moved)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("tail", [{}, TAIL], ids=["plain", "tail"])
def test_a_drop_in_does_not_wait_for_the_device(torch, ours, device, backend, tail):
    params = [torch.ones(n, device=device, requires_grad=True) for n in (7, 8193, 100_003)]
    optimizer = ours.Adam(params, lr=1e-3, **tail)

    def step():
        for param in params:
            param.grad = torch.ones_like(param)
        optimizer.step()

    with gpuopt.use_backend(backend):
        for _ in range(2):
            step()
        torch.cuda.synchronize()
        with no_waiting(torch):
            for _ in range(3):
                step()
            optimizer.step()

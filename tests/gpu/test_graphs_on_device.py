"""Steps in CUDA graphs: replays use the current learning rate, and agree with the host."""

import numpy as np
import pytest

import gpuopt
from tests.gpu.arrays import BACKENDS, assert_equal, assert_same, host_arrays, tensors, there


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_replay_between_ordinary_steps(torch, device, backend):
    param, twin = torch.zeros(1000, device=device), torch.zeros(1000)
    first, second = (torch.full((1000,), value, device=device) for value in (1.0, 10.0))
    optimizer, expected = gpuopt.SGD([param], lr=1.0), gpuopt.SGD([twin], lr=1.0)
    with gpuopt.use_backend(backend):
        optimizer.step([first])
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            optimizer.step([first])
        for grads in (second, None, second, None, None):
            if grads is None:
                graph.replay()
            else:
                optimizer.step([grads])
    for grad in (1.0, 10.0, 1.0, 10.0, 1.0, 1.0):
        expected.step([torch.full((1000,), grad)])
    assert_equal([param], [twin])
    assert optimizer.state[0]["step"] == 6


@pytest.mark.parametrize("backend", BACKENDS)
def test_replays_with_a_changed_lr(torch, device, backend):
    on_device, here = tensors(torch, 0, device=device), tensors(torch, 0)
    grads, host_grads = tensors(torch, 1, device=device), tensors(torch, 1)
    lr = torch.tensor(0.1, device=device)
    captured, expected = gpuopt.Adam(on_device, lr=lr), gpuopt.Adam(here, lr=0.1)
    with gpuopt.use_backend(backend):
        captured.step(grads)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            captured.step(grads)
    for rate in (0.1, 0.05, 0.0):
        lr.fill_(rate)
        graph.replay()
    expected.step(host_grads)
    for rate in (0.1, 0.05, 0.0):
        expected.lr = float(np.float32(rate))
        expected.step(host_grads)
    assert_equal(on_device, here)
    assert {s["step"] for s in captured.state.values()} == {4}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    "tail", [{}, {"clip_norm": 1.0, "skip_nonfinite": True}], ids=["plain", "tail"]
)
def test_a_drop_in_before_in_and_after_a_graph(torch, ours, device, backend, tail):
    params = [torch.ones(1000, device=d, requires_grad=True) for d in (device, "cpu")]
    for param in params:
        param.grad = torch.ones_like(param)
    lr = torch.tensor(0.1, device=device)
    optimizer, expected = ours.AdamW(params[:1], lr=lr, **tail), ours.AdamW(params[1:], **tail)
    with gpuopt.use_backend(backend):
        optimizer.step()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            optimizer.step()
        for rate in (0.1, 0.05, 0.025):
            lr.fill_(rate)
            graph.replay()
        optimizer.step()
    for rate in (0.1, 0.1, 0.05, 0.025, 0.025):
        expected.param_groups[0]["lr"] = float(np.float32(rate))
        expected.step()
    assert_equal(*([param.detach()] for param in params))
    assert optimizer.state[params[0]]["step"].item() == 5


def test_cupys_graph_replays_with_a_changed_lr(cupy):
    here, host_grads = host_arrays(0), host_arrays(1)
    on_device, grads = there(cupy, here), there(cupy, host_grads)
    lr = cupy.asarray(np.float32(0.1))
    optimizer, expected = gpuopt.Adam(on_device, lr=lr), gpuopt.Adam(here, lr=0.1)
    cupy.cuda.get_current_stream().synchronize()
    stream = cupy.cuda.Stream(non_blocking=True)
    with stream:
        optimizer.step(grads)
        stream.begin_capture()
        optimizer.step(grads)
        graph = stream.end_capture()
        for rate in (0.1, 0.05, 0.0):
            lr.fill(rate)
            graph.launch(stream)
        stream.synchronize()
        steps = {state["step"] for state in optimizer.state.values()}
    expected.lr = float(np.float32(0.1))
    expected.step(host_grads)
    for rate in (0.1, 0.05, 0.0):
        expected.lr = float(np.float32(rate))
        expected.step(host_grads)
    assert steps == {4}
    assert_same(cupy, on_device, here)

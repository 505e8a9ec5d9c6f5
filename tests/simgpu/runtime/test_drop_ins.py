"""The drop-ins on the machine, as torch's own recipes use them; a twin on the host agrees."""

import numpy as np
import pytest

import gpuopt
from tests.helpers.exact import assert_same_bits

torch = pytest.importorskip("torch")

from gpuopt import torch as drop_ins  # noqa: E402  (it needs torch)

SIZE = 70
BAD = 2
"""The step whose gradients are not finite."""


def drawn(seed):
    return np.random.default_rng(seed).standard_normal(SIZE).astype(np.float32)


@pytest.fixture(params=["triton", "cupy"])
def backend(request, machine):
    if request.param == "cupy":
        pytest.importorskip("cupy")
        pytest.importorskip("cuda.bindings")
    with gpuopt.use_backend(request.param):
        yield request.param


def params(devices):
    return [torch.from_numpy(drawn(i)).to(d).requires_grad_() for i, d in enumerate(devices)]


def step(optimizer, seed, scale=None, found=None):
    """Step with new gradients; with a scale, as GradScaler lets optimizers of its protocol."""
    for group in optimizer.param_groups:
        for param in group["params"]:
            param.grad = torch.from_numpy(drawn(seed)).to(param.device)
    if scale is not None:
        optimizer.grad_scale, optimizer.found_inf = scale, found
    optimizer.step()
    if scale is not None:
        del optimizer.grad_scale, optimizer.found_inf
    optimizer.zero_grad()


def assert_equal(there, here):
    for mine, theirs in zip(there, here):
        assert_same_bits(mine.detach().cpu().numpy(), theirs.detach().numpy())


@pytest.mark.parametrize("devices", [["cuda:1"], ["cuda:0", "cuda:1"]], ids=["one", "two"])
def test_scaled_gradients_and_a_skipped_step(backend, devices):
    there, here = params(devices), params(["cpu"] * len(devices))
    optimizer = drop_ins.AdamW(there, lr=0.1)
    for seed in range(4):
        scale, found = (torch.tensor(v, device=devices[0]) for v in (2.0, float(seed == BAD)))
        step(optimizer, seed, scale, found)
    with gpuopt.use_backend("numpy"):
        twin = drop_ins.AdamW(here, lr=0.1)
        for seed in range(4):
            if seed != BAD:
                step(twin, seed, torch.tensor(2.0), torch.tensor(0.0))
    assert_equal(there, here)


def test_a_state_dict_moves_to_another_optimizer(backend):
    (first,), (second,), (here,) = params(["cuda:1"]), params(["cuda:1"]), params(["cpu"])
    optimizer = drop_ins.AdamW([first], lr=0.1)
    step(optimizer, 1)
    resumed = drop_ins.AdamW([second], lr=0.1)
    with torch.no_grad():
        second.copy_(first)
    resumed.load_state_dict(optimizer.state_dict())
    step(resumed, 2)
    with gpuopt.use_backend("numpy"):
        twin = drop_ins.AdamW([here], lr=0.1)
        step(twin, 1)
        step(twin, 2)
    assert_equal([second], [here])


def train(optimizer, param):
    optimizer.zero_grad()
    (param * param).sum().backward()
    optimizer.step()


def test_torchs_recipe_for_a_captured_training_step(backend):
    """Warm up in a stream of its own, capture, replay; then ordinary steps and replays mixed."""
    (there,), (here,) = params(["cuda"]), params(["cpu"])
    optimizer, side = drop_ins.Adam([there], lr=0.1), torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            train(optimizer, there)
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        train(optimizer, there)
    graph.replay()
    train(optimizer, there)
    graph.replay()
    with gpuopt.use_backend("numpy"):
        twin = drop_ins.Adam([here], lr=0.1)
        for _ in range(6):
            train(twin, here)
    assert_equal([there], [here])
    assert optimizer.state[there]["step"] == 6

"""The Triton backend on a CUDA device, bit for bit with the reference on the host."""

import numpy as np
import pytest

import gpuopt
from tests.helpers.exact import assert_same_bits
from tests.helpers.values import values
from tests.helpers.waiting import no_waiting

OPTIMIZERS = {
    "sgd": lambda params: gpuopt.SGD(params, lr=0.1),
    "momentum": lambda params: gpuopt.Momentum(params, lr=0.1, nesterov=True),
    "rmsprop": lambda params: gpuopt.RMSProp(params, centered=True, momentum=0.5),
    "adam": lambda params: gpuopt.Adam(params, weight_decay=0.1),
    "amsgrad": lambda params: gpuopt.Adam(params, amsgrad=True, maximize=True),
    "adamw": lambda params: gpuopt.AdamW(params),
    "adagrad": lambda params: gpuopt.Adagrad(params, lr_decay=0.1),
}
SIZES = (0, 1, 7, 64, 8191, 8192, 8193, 100_003)


def tensors(torch, seed, dtype="float32", device="cpu"):
    kinds = ("ordinary", "mixed", "denormal", "huge")
    made = [torch.from_numpy(values(kinds[n % 4], (n,), "float32", seed)) for n in SIZES]
    return [t.to(getattr(torch, dtype)).to(device) for t in made]


def assert_equal(actual, expected):
    for a, b in zip(actual, expected):
        assert_same_bits(a.float().cpu().numpy(), b.float().cpu().numpy())


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16"])
@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_same_bits_as_the_host(torch, device, make, dtype):
    there, here = tensors(torch, 0, dtype, device), tensors(torch, 0, dtype)
    on_device, on_host = make(there), make(here)
    for step in range(3):
        on_device.step(tensors(torch, step + 1, dtype, device))
        on_host.step(tensors(torch, step + 1, dtype))
    assert on_device.backend == "triton"
    assert_equal(there, here)


@pytest.mark.parametrize("backend", ["triton", "cupy"])
def test_groups_misaligned_views_gaps_and_resting_tensors(torch, device, backend):
    """Several dtypes, groups of other options, views off their alignment, and None."""

    def made(where, seed):
        flat = [t.to(where) for t in tensors(torch, seed)]
        wide = torch.cat(flat)
        views = [wide[1:9000], wide[9001:20_001:2], wide[30_000:40_000].view(100, 100).t()]
        return [*flat, *views], [t.bfloat16().to(where) for t in tensors(torch, seed + 50)]

    results = []
    for where in (device, "cpu"):
        params, low = (list(map(torch.clone, group)) for group in made(where, 0))
        base = torch.zeros(30_001, device=where)
        params += [base[1:10_001], base[10_001:30_001:2]]
        groups = [{"params": params}, {"params": low, "lr": 0.5, "weight_decay": 0.1}]
        with gpuopt.use_backend(backend if where == device else None):
            optimizer = gpuopt.Adam(groups, lr=0.1)
            for step in range(3):
                grads, low_grads = made(where, step + 1)
                grads += [torch.ones_like(p) * (step + 1) for p in params[len(grads) :]]
                grads[step] = None
                optimizer.step([grads, [g.float() for g in low_grads]])
        results.append([*params, *low])
    assert_equal(*results)


def test_a_replay_between_ordinary_steps(torch, device):
    param, twin = torch.zeros(1000, device=device), torch.zeros(1000)
    first, second = (torch.full((1000,), value, device=device) for value in (1.0, 10.0))
    optimizer, expected = gpuopt.SGD([param], lr=1.0), gpuopt.SGD([twin], lr=1.0)
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


def test_a_graph_replays_with_a_changed_lr(torch, device):
    there, here = tensors(torch, 0, device=device), tensors(torch, 0)
    grads, host_grads = tensors(torch, 1, device=device), tensors(torch, 1)
    lr = torch.tensor(0.1, device=device)
    captured, expected = gpuopt.Adam(there, lr=lr), gpuopt.Adam(here, lr=0.1)
    captured.step(grads)
    expected.step(host_grads)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured.step(grads)
    for rate in (0.1, 0.05, 0.0):
        lr.fill_(rate)
        expected.lr = float(np.float32(rate))
        graph.replay()
        expected.step(host_grads)
    assert_equal(there, here)
    assert {s["step"] for s in captured.state.values()} == {4}


def test_steps_on_another_stream(torch, device):
    there, here = tensors(torch, 0, device=device), tensors(torch, 0)
    optimizer, expected = gpuopt.Adam(there), gpuopt.Adam(here)
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for step in range(3):
            optimizer.step(tensors(torch, step + 1, device=device))
    torch.cuda.current_stream().wait_stream(stream)
    for step in range(3):
        expected.step(tensors(torch, step + 1))
    assert_equal(there, here)


def test_a_step_does_not_wait_for_the_device(torch, device):
    params = tensors(torch, 0, device=device)
    optimizer = gpuopt.Adam(params)
    optimizer.step(tensors(torch, 1, device=device))
    grads = [tensors(torch, step, device=device) for step in range(3)]
    torch.cuda.synchronize()
    with no_waiting(torch):
        for moved in grads:
            optimizer.step(moved)


def test_arrays_on_two_devices(torch, device):
    if torch.cuda.device_count() < 2:
        pytest.skip("there is one CUDA device")
    devices = (device, "cuda:1")
    there = [t for d in devices for t in tensors(torch, 0, device=d)]
    here = [t for _ in devices for t in tensors(torch, 0)]
    optimizer, expected = gpuopt.Adam(there), gpuopt.Adam(here)
    optimizer.step([t for d in devices for t in tensors(torch, 1, device=d)])
    expected.step([t for _ in devices for t in tensors(torch, 1)])
    assert_equal(there, here)


def test_a_tensor_beyond_2_to_the_31_elements(torch, device):
    count = (1 << 31) + 8192 + 5
    if torch.cuda.mem_get_info()[0] < 2 * 2 * count + (1 << 30):
        pytest.skip("the device has too little free memory")
    param = torch.zeros(count, dtype=torch.float16, device=device)
    grad = torch.zeros(count, dtype=torch.float16, device=device)
    grad[-5:] = 1.0
    gpuopt.SGD([param], lr=0.5).step([grad])
    assert param[-5:].tolist() == [-0.5] * 5
    assert not param[:-5].any()

"""The Triton backend on a CUDA device, bit for bit with the reference on the host."""

import pytest

import gpuopt
from tests.gpu.arrays import BACKENDS, OPTIMIZERS, assert_equal, tensors


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


@pytest.mark.parametrize("backend", BACKENDS)
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

"""gpuopt.torch on a CUDA device: beside torch.optim, and bit for bit with the CPU."""

import pytest

import gpuopt
from gpuopt.rules.definitions import DEFINITIONS
from tests.gpu.arrays import BACKENDS
from tests.rules.oracles import training

SHAPES = ((3, 4), (7,), (), (0,), (300, 40))


def parameters(torch, device, dtype=None):
    generator = torch.Generator().manual_seed(0)
    made = [torch.randn(shape, generator=generator) for shape in SHAPES]
    return [m.to(device, dtype or torch.float32).requires_grad_() for m in made]


def give_gradients(torch, params, step):
    generator = torch.Generator().manual_seed(step + 1)
    for param in params:
        drawn = torch.randn(param.shape, generator=generator)
        param.grad = drawn.to(param.device, param.dtype)


@pytest.mark.parametrize("name", DEFINITIONS)
@pytest.mark.parametrize("backend", BACKENDS)
def test_same_bits_as_on_the_cpu(torch, ours, device, backend, name):
    there, here = parameters(torch, device), parameters(torch, "cpu")
    on_device, on_host = (getattr(ours, name)(p, lr=0.1, **training(name)) for p in (there, here))
    with gpuopt.use_backend(backend):
        for step in range(4):
            give_gradients(torch, there, step)
            on_device.step()
        saved = on_device.state_dict()
    for step in range(4):
        give_gradients(torch, here, step)
        on_host.step()
    assert all(a.cpu().equal(b) for a, b in zip(there, here))
    for mine, theirs in zip(saved["state"].values(), on_host.state_dict()["state"].values()):
        assert all(mine[key].cpu().equal(theirs[key]) for key in theirs)


@pytest.mark.parametrize("infinite", [0, 2])
def test_grad_scaler_skips_on_the_device(torch, ours, device, infinite):
    results = []
    for module in (ours, torch.optim):
        params = parameters(torch, device)
        optimizer = module.Adam(params, lr=0.1, fused=True)
        scaler = torch.amp.GradScaler("cuda", init_scale=8.0)
        for step in range(4):
            scaler.scale(torch.ones((), device=device))
            give_gradients(torch, params, step)
            with torch.no_grad():
                for param in params:
                    param.grad.mul_(8.0)
            if step == infinite:
                params[1].grad[0] = float("inf")
            scaler.step(optimizer)
            scaler.update()
        results.append((params, [s["step"].item() for s in optimizer.state.values()]))
    (mine, steps), (theirs, expected) = results
    assert steps == expected
    for a, b in zip(mine, theirs):
        torch.testing.assert_close(a, b)


def test_parameters_on_two_kinds_of_device_in_one_optimizer(torch, ours, device):
    params = [torch.ones(5, device=device), torch.ones(5)]
    optimizer = ours.SGD(params, lr=0.5)
    for param in params:
        param.grad = torch.ones_like(param)
    optimizer.step()
    assert params[0].tolist() == params[1].tolist() == [0.5] * 5


def test_a_model_that_is_moved_after_some_steps(torch, ours, device):
    param = torch.ones(5, requires_grad=True)
    optimizer = ours.Adam([param], lr=0.5)
    param.grad = torch.ones(5)
    optimizer.step()
    param.grad = None
    param.data = param.data.to(device)
    param.grad = torch.ones(5, device=device)
    optimizer.step()
    assert optimizer.state[param]["exp_avg"].device == param.device
    assert optimizer.state[param]["step"].item() == 2

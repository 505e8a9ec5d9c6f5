"""The norm of several processes on a CUDA device, through NCCL; one process is all it takes."""

import pytest

from gpuopt.verify.devices import no_waiting


@pytest.fixture
def nccl(torch, device):
    dist = torch.distributed
    store = dist.HashStore()
    dist.init_process_group(
        "nccl", store=store, rank=0, world_size=1, device_id=torch.device(device)
    )
    yield
    dist.destroy_process_group()


def test_a_step_of_several_processes_does_not_wait_for_the_device(torch, device, nccl):
    from gpuopt.torch import Adam

    results = []
    for group in (None, "world"):
        param = torch.full((70_001,), 0.5, device=device, requires_grad=True)
        param.grad = torch.full_like(param, 0.25)
        opt = Adam([param], lr=0.1, clip_norm=1.0, skip_nonfinite=True, norm_group=group)
        opt.step()  # compiles, and makes what the collective needs
        with no_waiting(torch):
            opt.step()
        results.append((param.detach().clone(), opt.grad_norm, opt.skipped_steps))
    (alone, norm, _), (together, same, skipped) = results
    assert torch.equal(alone, together)
    assert (norm, 0) == (same, skipped)

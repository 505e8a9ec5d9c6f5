"""More than one process, on the CPU over gloo; each test starts them, and checks many things.

Most run NumPy, which compiles nothing: the bits are those of any backend, and cores are few.
"""

import subprocess
import sys

import pytest

from tests.distributed.processes import run

torch = pytest.importorskip("torch")
if not torch.distributed.is_available() or not torch.distributed.is_gloo_available():
    pytest.skip("torch was built without gloo", allow_module_level=True)
pytest.importorskip("torch.distributed.tensor", reason="torch before 2.6 has no FSDP2 there")


def test_two_processes(tmp_path):
    run("sharded replicas", 2, tmp_path)


def test_four_processes(tmp_path):
    run("meshes", 4, tmp_path)


@pytest.mark.nightly
def test_four_shards(tmp_path):
    run("sharded", 4, tmp_path)


def test_compiled_on_the_host(tmp_path):
    run("sharded:COMPILED", 2, tmp_path, "llvm")


def test_the_tables_of_a_device(tmp_path):
    run("sharded:ON_A_DEVICE", 2, tmp_path, "triton", TRITON_INTERPRET="1")


@pytest.mark.parametrize("others", [0, pytest.param(4, marks=pytest.mark.nightly)])
def test_checkpoints_across_changes_of_processes_and_after_a_kill(tmp_path, others):
    run("checkpoints:WRITTEN checkpoints:KILLED", 2, tmp_path, expected=[3, -9])
    if others:
        run("checkpoints:READ checkpoints:HANDED_ON", others, tmp_path)
    again = " checkpoints:READ_AGAIN" if others else ""
    run(f"checkpoints:READ{again}", 1, tmp_path)


def test_nothing_of_torchs_sharding_is_imported_to_begin_with():
    text = (
        "import sys, torch; before = set(sys.modules); import gpuopt.torch;"
        "print([n for n in set(sys.modules) - before if n.startswith('torch.distributed')])"
    )
    told = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True)
    assert told.stdout == "[]\n"


def test_a_world_that_is_not_there_changes_nothing():
    from gpuopt.torch import SGD

    param = torch.nn.Parameter(torch.ones(2))
    param.grad = torch.ones(2)
    with pytest.raises(ValueError, match="norm_group: got 'world', expected init_process_group"):
        SGD([param], lr=0.5, clip_norm=1.0, norm_group="world").step()
    assert torch.equal(param, torch.ones(2))


def test_a_collective_runs_where_its_group_can(monkeypatch):
    from gpuopt.torch.process_groups import device_for

    class Group:
        def __init__(self, *kinds):
            self._device_types = [torch.device(kind) for kind in kinds]

    monkeypatch.setattr(torch.cuda, "current_device", lambda: 3)
    host, device = torch.device("cpu"), torch.device("cuda", 1)
    assert device_for(Group("cpu", "cuda"), host) == host
    assert device_for(Group("cpu", "cuda"), device) == device
    assert device_for(Group("cuda"), host) == torch.device("cuda", 3)  # CPU offload over NCCL
    assert device_for(Group("cpu"), device) == host

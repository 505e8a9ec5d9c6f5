"""More than one process, on the CPU over gloo; each test starts them, and checks many things.

Four processes compile nothing: the bits are those of any backend, and they share few cores.
"""

import subprocess
import sys

import pytest

from tests.distributed.processes import run

torch = pytest.importorskip("torch")
if not torch.distributed.is_available() or not torch.distributed.is_gloo_available():
    pytest.skip("torch was built without gloo", allow_module_level=True)
pytest.importorskip("torch.distributed.tensor", reason="torch before 2.6 has no FSDP2 there")


@pytest.mark.parametrize(("world", "backend"), [(2, "numba"), (4, "numpy")])
def test_sharded_parameters(world, backend, tmp_path):
    run("sharded", world, tmp_path, backend)


def test_two_dimensions(tmp_path):
    run("meshes", 4, tmp_path, "numpy")


def test_checkpoints_across_a_change_of_processes(tmp_path):
    run("checkpoints:WRITTEN", 2, tmp_path)
    run("checkpoints:READ", 4, tmp_path, "numpy")
    run("checkpoints:READ", 1, tmp_path, "numpy")


def test_a_killed_process_leaves_the_last_checkpoint(tmp_path):
    run("checkpoints:KILLED", 2, tmp_path, expected=[3, -9])
    run("checkpoints:LOADED", 1, tmp_path, "numpy")


def test_replicas(tmp_path):
    run("replicas", 2, tmp_path)


def test_the_tables_of_a_device(tmp_path):
    run("sharded:ON_A_DEVICE", 2, tmp_path, "triton", TRITON_INTERPRET="1")


def test_nothing_of_torchs_sharding_is_imported_to_begin_with():
    text = (
        "import sys, torch; before = set(sys.modules); import gpuopt.torch;"
        "print([n for n in set(sys.modules) - before if n.startswith('torch.distributed')])"
    )
    told = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True)
    assert told.stdout == "[]\n"


def test_a_collective_runs_where_its_group_can(monkeypatch):
    from gpuopt.torch.shards import _served

    class Group:
        def __init__(self, *kinds):
            self._device_types = [torch.device(kind) for kind in kinds]

    monkeypatch.setattr(torch.cuda, "current_device", lambda: 3)
    host, device = torch.device("cpu"), torch.device("cuda", 1)
    assert _served(Group("cpu", "cuda"), host) == host
    assert _served(Group("cpu", "cuda"), device) == device
    assert _served(Group("cuda"), host) == torch.device("cuda", 3)  # CPU offload over NCCL
    assert _served(Group("cpu"), device) == host

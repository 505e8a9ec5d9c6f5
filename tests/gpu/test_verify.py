"""`gpuopt verify` on a CUDA device."""

import json
from pathlib import Path

import pytest

from gpuopt.verify import runner
from gpuopt.verify.command import verify
from tests.verify import bad_worker


@pytest.fixture(autouse=True)
def empty_folder(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)


def test_all_checks_of_this_machine(torch, cupy, capsys):
    code = verify("", ["triton", "cupy"], Path("-"), None)
    found = json.loads(capsys.readouterr().out)
    assert [check for check in found["checks"] if check["outcome"] != "same"] == []
    assert code == 0
    kinds = {(check["check"]["backend"], check["check"]["kind"]) for check in found["checks"]}
    for backend in ("triton", "cupy"):
        for kind in ("rule", "streams", "order", "graph", "pinned", "no waiting"):
            assert (backend, kind) in kinds


def test_a_hard_error_ends_one_process_alone(torch, monkeypatch, capsys):
    faults, targets = {"sgd_momentum": "access"}, (("triton", "torch"),)
    monkeypatch.setattr(runner, "WORKER", bad_worker.command(faults, targets))
    monkeypatch.setattr(runner, "usable_cores", lambda: 1)
    assert verify("sgd_ float32", [], Path("-"), None) == 1
    plain = bad_worker.plain(json.loads(capsys.readouterr().out))
    assert plain["sgd_momentum"]["outcome"] in ("error", "died")
    assert plain["sgd_nesterov"]["outcome"] == "same"

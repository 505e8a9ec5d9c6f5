import json

import pytest

pytest.importorskip("torch")

from benchmarks import torch_step


def test_the_command_times_all_and_writes_it_down(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(torch_step.MODELS, "tiny500", ((4,), (2, 3)))
    file = tmp_path / "times.json"
    arguments = ["--models", "tiny500", "--optimizers", "Adam", "Rprop", "--rounds", "2"]
    assert torch_step.main([*arguments, "--json", str(file)]) == 0
    out = capsys.readouterr().out
    assert out.count("tiny500") == 2
    found = {(row["optimizer"], row["contender"]) for row in json.loads(file.read_text())}
    assert ("Adam", "torch fused") in found
    assert ("Rprop", "torch fused") not in found
    assert {("Adam", "gpuopt"), ("Rprop", "gpuopt"), ("Rprop", "torch for-loop")} <= found


def test_a_step_inside_the_backward_pass_holds_fewer_gradients():
    found = torch_step.largest_gradients(layers=4, width=8)
    one = (8 * 8 + 8) * 4
    assert found["step after backward"] == 4 * one
    assert found["step inside backward"] <= one

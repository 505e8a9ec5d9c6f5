"""The command, its processes and its files; the workers compare small arrays."""

import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest

import gpuopt
from gpuopt.command import plain
from gpuopt.doctor import doctor
from gpuopt.system.worker import Worker
from gpuopt.verify import runner
from gpuopt.verify.checks import TARGETS
from gpuopt.verify.command import verify
from tests.verify import bad_worker

pytest.importorskip("llvmlite")

TWO = "sgd_ float32"
"""Words of the names of two checks, by rules that few others need."""

SCHEMA = {
    "type": "object",
    "required": ["ok", "seconds", "machine", "unseen", "counts", "checks"],
    "additionalProperties": False,
    "properties": {
        "ok": {"type": "boolean"},
        "seconds": {"type": "number"},
        "machine": {"type": "object", "required": ["gpuopt", "python", "packages", "devices"]},
        "unseen": {"type": "array", "items": {"type": "string"}},
        "counts": {"type": "object", "additionalProperties": {"type": "integer"}},
        "checks": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["name", "check", "outcome", "seconds", "text", "differences"],
                "additionalProperties": False,
                "properties": {
                    "name": {"type": "string"},
                    "check": {"type": "object", "additionalProperties": {"type": "string"}},
                    "outcome": {
                        "enum": ["same", "differs", "error", "died", "hung", "not run"],
                    },
                    "seconds": {"type": "number"},
                    "text": {"type": "string"},
                    "differences": {
                        "type": "array",
                        "items": {
                            "type": "object",
                            "required": ["what", "dtype", "elements", "differ", "first"],
                        },
                    },
                },
            },
        },
    },
}


@pytest.fixture(autouse=True)
def one_process(monkeypatch, tmp_path):
    """One at a time, in an empty folder, without a backend from the environment."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GPUOPT_BACKEND", raising=False)
    monkeypatch.setattr(runner, "usable_cores", lambda: 1)


@pytest.fixture
def with_faults(monkeypatch):
    """Let the workers have faults."""

    def put(faults, **others):
        others.setdefault("without", ("torch", "triton", "cupy"))  # which take seconds to import
        monkeypatch.setattr(runner, "WORKER", bad_worker.command(faults, **others))

    return put


@pytest.fixture
def run(with_faults, capsys):
    """Return what becomes of `TWO` under some faults: the exit code, and the results by rule."""

    def run_two(faults):
        with_faults(faults)
        code = verify(TWO, [], Path("-"), None)
        return code, bad_worker.plain(json.loads(capsys.readouterr().out))

    return run_two


# --- nothing is wrong -------------------------------------------------------------------------


def test_a_line_for_each_check_a_table_and_a_verdict(with_faults, capsys, tmp_path):
    with_faults({})
    assert verify(TWO, ["llvm"], None, None) == 0
    out, err = capsys.readouterr()
    lines = [line for line in out.splitlines() if line.startswith("same ")]
    assert {line.split("  ")[-1] for line in lines} >= {
        "llvm, NumPy arrays: sgd_momentum float32",
        "llvm, NumPy arrays: sgd_nesterov float32",
    }
    n = len(lines)
    assert re.search(rf"llvm, NumPy arrays +{n} +{n} +0 +0 +0\n", out)
    assert "Not seen on this machine:\n" in out
    assert "streams, CUDA graphs" in out
    assert re.search(rf"\n{n} checks: the same bits as NumPy in each, in \d+ s\.\n$", out)
    assert err == ""
    assert list(tmp_path.iterdir()) == []


def test_json_has_a_form(with_faults, capsys, tmp_path):
    jsonschema = pytest.importorskip("jsonschema")
    with_faults({"sgd_momentum": "bit"})
    assert verify(TWO, [], Path("all.json"), None) == 1
    assert "DIFFERS" in capsys.readouterr().out
    data = json.loads((tmp_path / "all.json").read_text())
    jsonschema.validate(data, SCHEMA)
    assert (data["ok"], data["counts"]["differs"] >= 1) == (False, True)
    assert data["machine"]["gpuopt"] == gpuopt.__version__


def test_json_on_standard_output_is_nothing_but_json(with_faults, capsys):
    with_faults({})
    assert verify(TWO, [], Path("-"), None) == 0
    assert json.loads(capsys.readouterr().out)["ok"]


def test_a_report_that_is_asked_for_is_written_though_nothing_is_wrong(with_faults, tmp_path):
    with_faults({})
    assert verify(TWO, [], None, Path("mine.md")) == 0
    text = (tmp_path / "mine.md").read_text()
    assert text.startswith("# gpuopt verify\n")
    for words in (
        "## Machine",
        f"gpuopt {gpuopt.__version__}",
        f"numpy {np.__version__}",
        "## Not seen",
    ):
        assert words in text


# --- something is -----------------------------------------------------------------------------


def test_one_wrong_bit_is_named_with_its_element(with_faults, capsys, tmp_path):
    with_faults({"sgd_momentum": "bit"})
    assert verify(TWO, [], None, None) == 1
    out, err = capsys.readouterr()
    name = "llvm, NumPy arrays: sgd_momentum float32"
    assert re.search(rf"^DIFFERS .* {name}$", out, re.MULTILINE)
    assert re.search(r"^same .*: sgd_nesterov float32$", out, re.MULTILINE)
    found = re.search(
        rf"\n{name}\n  param 3: 1 of 80 elements of float32 differ\n    at \[5\]: (.*), not (.*)\n",
        out,
    )
    bits = [int(re.search(r"\(0x(\w+)\)", one).group(1), 16) for one in found.groups()]
    assert 0 < abs(bits[0] - bits[1]) <= 3  # one in each of three steps
    assert err == "Report, for an issue: gpuopt-verify.md\n"
    report = (tmp_path / "gpuopt-verify.md").read_text()
    assert f"## differs: {name}" in report
    assert found.group(1) in report


@pytest.mark.parametrize(
    ("fault", "outcome", "text"),
    [
        ("exit", "died", "its process ended with code 7"),
        ("segfault", "died", "its process was killed by signal 11"),
        ("raise", "error", "ValueError: no such luck"),
        ("device", "error", "CUDA error: an illegal memory access"),
    ],
)
def test_a_check_that_ends_its_process_is_reported_and_the_others_go_on(run, fault, outcome, text):
    code, found = run({"sgd_momentum": fault})
    assert code == 1
    assert found["sgd_momentum"]["outcome"] == outcome
    assert text in found["sgd_momentum"]["text"]
    assert found["sgd_nesterov"]["outcome"] == "same"


def test_a_process_whose_device_is_broken_runs_no_other_check(with_faults, monkeypatch):
    """Without a new process, the other check would find the broken device, too."""
    with_faults({"sgd_momentum": "device"})
    started = []
    monkeypatch.setattr(
        runner, "Worker", lambda command: started.append(command) or Worker(command)
    )
    verify(TWO, [], None, None)
    assert len(started) > 1


def test_a_check_that_hangs_is_ended(run, monkeypatch):
    monkeypatch.setattr(runner, "CHECK_LIMIT", 1.0)
    monkeypatch.setattr(runner, "START_LIMIT", 8.0)
    code, found = run({"sgd_momentum": "hang"})
    assert code == 1
    assert found["sgd_momentum"]["outcome"] == "hung"
    assert found["sgd_momentum"]["text"] == "its process gave no answer in 1 s"
    assert found["sgd_nesterov"]["outcome"] == "same"


def test_a_backend_that_ends_one_process_after_another_is_left_alone(with_faults, capsys):
    with_faults({"sgd_momentum": "exit"})
    assert verify("sgd_momentum", [], Path("-"), None) == 1
    checks = json.loads(capsys.readouterr().out)["checks"]
    outcomes = [check["outcome"] for check in checks]
    assert outcomes == 3 * ["died"] + (len(outcomes) - 3) * ["not run"]
    assert len(outcomes) > 3


def test_no_backend_can_be_looked_for(monkeypatch, capsys):
    monkeypatch.setattr(runner, "WORKER", (sys.executable, "-c", "import os; os._exit(5)"))
    assert verify("", [], None, None) == 1
    said = capsys.readouterr().err
    assert said == "gpuopt verify: the process that looks for usable backends ended with code 5.\n"


# --- what is missing ----------------------------------------------------------------------------


def test_nothing_but_numpy(with_faults, capsys):
    with_faults({}, without=("llvmlite", "torch", "triton", "cupy", "ml_dtypes"), targets=TARGETS)
    assert verify("", [], None, None) == 0
    out = capsys.readouterr().out
    assert "  llvm: " in out and "pip install 'gpuopt[cpu]'" in out
    assert out.endswith("Nothing was compared: NumPy is the only backend that is usable here.\n")
    assert verify("", ["llvm"], None, None) == 1
    assert "required, but not checked: llvm" in capsys.readouterr().err


def test_without_torch_rich_and_typer(with_faults, capsys, monkeypatch):
    for name in ("rich", "typer"):
        monkeypatch.setitem(sys.modules, name, None)
    with_faults({}, without=("torch", "rich", "typer"), targets=TARGETS)
    assert plain(["verify", "--only", TWO]) == 0
    out = capsys.readouterr().out
    assert "  torch tensors: " in out
    assert "llvm, NumPy arrays" in out


# --- options ------------------------------------------------------------------------------------


def test_an_unknown_backend_is_a_bad_argument(capsys):
    assert verify("", ["nomba"], None, None) == 2
    assert "unknown backend 'nomba'; known: triton" in capsys.readouterr().err


def test_words_that_no_check_has_are_a_bad_argument(with_faults, capsys):
    with_faults({})
    assert verify("adam florat32", [], None, None) == 2
    err = capsys.readouterr().err
    assert "no check of this machine has 'adam florat32' in its name. Not seen on this machi" in err
    assert "\n  streams, CUDA graphs, " in err


def test_files_that_cannot_be_written_are_a_bad_argument(with_faults, capsys, tmp_path):
    with_faults({})
    assert verify(TWO, [], tmp_path, None) == 2
    assert f"cannot write {tmp_path}: " in capsys.readouterr().err
    assert verify(TWO, [], None, tmp_path) == 2
    assert f"cannot write {tmp_path}: " in capsys.readouterr().err


def test_a_report_is_written_where_the_json_cannot_be(with_faults, capsys, tmp_path):
    with_faults({"sgd_momentum": "raise"})
    assert verify(TWO, [], tmp_path / "none" / "all.json", None) == 1
    assert "cannot write" in capsys.readouterr().err
    assert "no such luck" in (tmp_path / "gpuopt-verify.md").read_text()


def test_what_is_wrong_counts_more_than_a_report_that_cannot_be_written(
    with_faults, capsys, tmp_path
):
    """As in a folder that can only be read."""
    with_faults({"sgd_momentum": "raise"})
    (tmp_path / "gpuopt-verify.md").mkdir()
    assert verify(TWO, [], None, None) == 1
    assert "cannot write gpuopt-verify.md: " in capsys.readouterr().err


def test_what_is_required_and_was_not_checked_is_named_where_a_file_cannot_be_written(
    with_faults, capsys, tmp_path
):
    with_faults({})
    assert verify(TWO, ["triton"], tmp_path, None) == 1
    err = capsys.readouterr().err
    assert "cannot write" in err and "required, but not checked: triton" in err


def test_the_options_reach_the_command(monkeypatch):
    given = []
    monkeypatch.setattr("gpuopt.verify.command.verify", lambda *options: given.append(options) or 7)
    words = [
        "verify",
        "--only",
        "adam",
        "--require",
        "llvm",
        "--require",
        "cupy",
        "--json",
        "a",
        "--report",
        "b",
    ]
    assert plain(words) == 7
    assert plain(["verify"]) == 7
    assert given == [
        ("adam", ["llvm", "cupy"], Path("a"), Path("b")),
        ("", [], None, None),
    ]


def test_doctor_points_to_it(capsys):
    assert doctor([], None) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("gpuopt verify runs every usable ")

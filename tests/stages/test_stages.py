"""Stages: what each runs, what becomes of the rest if something fails, and what is reported."""

import json
import re
import sys
from pathlib import Path

import pytest

from tests.gpu import __main__ as command
from tests.gpu.stages import machine, plans
from tests.gpu.stages.plans import Settings, workers_here
from tests.gpu.stages.stage import Report, run_stage
from tests.gpu.stages.step import ROOT, Step

if sys.platform == "win32":
    pytest.skip("the stages run where CUDA's tools are: on Linux", allow_module_level=True)


def says(name, code="pass", *needs):
    return Step(name, 30, (sys.executable, "-S", "-c", code), needs)


@pytest.fixture
def report(tmp_path):
    return Report(tmp_path, {"missing": {"ncu": "the counters"}})


def verdicts(report, stage="smoke"):
    data = json.loads((report.folder / f"{stage}.json").read_text())
    return data["well"], {step["name"]: step["verdict"] for step in data["steps"]}


def test_no_step_stops_a_stage(report, capsys):
    steps = [says("bad", "raise SystemExit(3)"), says("counters", "pass", "ncu"), says("good")]
    assert not run_stage("smoke", steps, 60, report)
    found = {"bad": "FAILED", "counters": "skipped", "good": "ok"}
    assert verdicts(report) == (False, found)
    summary = (report.folder / "summary.txt").read_text()
    assert re.search(r"^\[smoke\] bad: FAILED with 3 after \d+ s$", summary, re.MULTILINE)
    assert "[smoke] counters: skipped: needs ncu\n" in summary
    assert capsys.readouterr().out == summary


def test_a_stage_is_well_if_something_ran_and_nothing_failed(report):
    assert run_stage("smoke", [says("counters", "pass", "ncu"), says("good")], 60, report)
    assert not run_stage("smoke", [says("counters", "pass", "ncu")], 60, report)
    assert verdicts(report) == (False, {"counters": "skipped"})


def test_a_stage_ends_in_time(report):
    steps = [says("long", "import time; time.sleep(30)"), says("late")]
    assert not run_stage("smoke", steps, 1.0, report, least=0.5)
    assert verdicts(report) == (False, {"long": "STOPPED", "late": "NOT BEGUN"})


def test_the_results_of_tests_are_in_the_json(report):
    file = report.folder / "smoke" / "tests.xml"
    code = f"""if True:
        with open({str(file)!r}, "w") as file:
            file.write('''<testsuites><testsuite>
            <testcase classname="a" name="good"/>
            <testcase classname="a" name="bad"><failure message="one&#10;two"/></testcase>
            <testcase classname="a" name="left"><skipped message="no device"/></testcase>
            </testsuite></testsuites>''')
    """
    step = Step("tests", 30, (sys.executable, "-c", code), junit=file)
    run_stage("smoke", [step, says("other")], 60, report)
    (tests, other) = json.loads((report.folder / "smoke.json").read_text())["steps"]
    failures = [{"test": "a::bad", "message": "one"}]
    assert tests["results"] == {"tests": 3, "failed": 1, "skipped": 1, "failures": failures}
    assert "results" not in other


def test_nothing_of_an_earlier_run_is_left(report):
    (report.folder / "smoke").mkdir()
    (report.folder / "smoke" / "old.json").write_text("{}")
    run_stage("smoke", [says("good")], 60, report)
    assert [file.name for file in (report.folder / "smoke").iterdir()] == ["good.log"]


# --- what the stages run --------------------------------------------------------------------------


@pytest.mark.parametrize("dry", [False, True])
@pytest.mark.parametrize("stage", command.STAGES)
def test_what_the_stages_name_is_there(stage, dry, tmp_path):
    steps = list(command.STAGES[stage](Settings(tmp_path, dry=dry)))
    assert len({step.name for step in steps}) == len(steps)
    for step in steps:
        assert all(name in machine.MODULES or name in machine.TOOLS for name in step.needs)
        assert all(isinstance(part, str) for part in step.command)
        for part in step.command:
            if part.startswith("tests/"):
                file, _, name = part.partition("::")
                assert (
                    f"def {name}(" in (ROOT / file).read_text() if name else (ROOT / file).exists()
                )
            if part.startswith("tests."):
                assert (ROOT / f"{part.replace('.', '/')}.py").exists(), part


@pytest.mark.parametrize("stage", command.STAGES)
def test_a_stage_fits_into_ten_minutes_with_time_to_spare_for_no_more_than_a_step(stage, tmp_path):
    steps = list(command.STAGES[stage](Settings(tmp_path)))
    assert all(step.seconds <= command.SECONDS for step in steps)
    assert command.SECONDS < 600


def test_the_tests_of_a_missing_backend_are_left_out(tmp_path):
    missing = frozenset({"cupy", "xdist"})
    step = plans.test(Settings(tmp_path, missing=missing))[1]
    assert step.command[step.command.index("-k") + 1] == "not cupy" and "-n" not in step.command
    step = plans.test(Settings(tmp_path, workers=5))[2]
    assert "-k" not in step.command and step.command[step.command.index("-n") + 1] == "5"


def test_runs_are_compared_with_earlier_ones_that_are_there(tmp_path):
    before, out = tmp_path / "before", tmp_path / "out"
    for file in (before / "update.json", out / "bench/update.json", out / "bench/tail.json"):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("{}")
    names = [step.name for step in command.STAGES["bench"](Settings(out, before=before))]
    assert [name for name in names if name.startswith("compare")] == ["compare-update"]
    names = [step.name for step in command.STAGES["bench"](Settings(out))]
    assert not [name for name in names if name.startswith("compare")]


def test_the_device_has_memory_for_all_workers(monkeypatch):
    monkeypatch.setattr(plans.os, "cpu_count", lambda: 16)
    assert [workers_here({"memory_mib": mib}) for mib in (80 << 10, 16 << 10, 1)] == [12, 8, 1]
    monkeypatch.setattr(plans.os, "cpu_count", lambda: 4)
    assert workers_here({}) == 2


# --- the command ----------------------------------------------------------------------------------


@pytest.fixture
def a_device(monkeypatch):
    monkeypatch.setattr(command.machine, "device", lambda: ({"name": "GPU"}, None))


def test_without_a_device_one_line_and_code_3(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert command.main(["smoke", "--out", str(tmp_path / "out")]) == 3
    said = capsys.readouterr()
    why = "neither torch nor CuPy finds a CUDA device"
    assert (said.out, said.err) == ("", f"tests.gpu: nothing was done: {why}\n")
    assert not (tmp_path / "out").exists()


def test_the_exit_code_says_that_stages_failed_however_many(
    tmp_path, monkeypatch, a_device, capsys
):
    """Three that failed are not taken for a machine without a device."""
    stages = {
        name: lambda asked: [says("bad", "raise SystemExit(1)")]
        for name in ("smoke", "bench", "profile")
    }
    stages["test"] = lambda asked: [says("good")]
    monkeypatch.setattr(command, "STAGES", stages)
    assert command.main([*stages, "--out", str(tmp_path)]) == 1
    assert capsys.readouterr().out.endswith("== 3 of 4 stages failed: smoke, bench, profile\n")
    about = json.loads((tmp_path / "test.json").read_text())
    assert about["device"] == {"name": "GPU"} and about["well"] and "numpy" in about["packages"]
    assert command.main(["test", "--out", str(tmp_path)]) == 0


def test_what_is_missing_is_named(tmp_path, monkeypatch, a_device, capsys):
    monkeypatch.setattr(machine, "MODULES", {"json": "all", "gpuopt_none": "some tests"})
    monkeypatch.setattr(machine, "TOOLS", {"gpuopt-none": "a stage"})
    monkeypatch.setattr(command, "STAGES", {"smoke": lambda asked: [says("it", "", "gpuopt_none")]})
    assert command.main(["smoke", "--out", str(tmp_path)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == [
        "missing: gpuopt_none, for some tests",
        "missing: gpuopt-none, for a stage",
    ]
    assert lines[3] == "[smoke] it: skipped: needs gpuopt_none"


def test_a_run_is_not_compared_with_itself(tmp_path, capsys):
    folder = str(tmp_path / "bench")
    with pytest.raises(SystemExit):
        command.main(["bench", "--out", str(tmp_path), "--before", folder])
    assert "copy the folder first" in capsys.readouterr().err


def test_a_program_of_the_cuda_toolkit_is_found_off_the_path(tmp_path, monkeypatch):
    file = tmp_path / "bin" / "ncu"
    file.parent.mkdir()
    file.write_text("#!/bin/sh\n")
    file.chmod(0o755)
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("CUDA_HOME", str(tmp_path))
    assert machine.tool("ncu") == str(file)
    assert machine.tool("nvidia-smi") is None


def test_each_stage_has_a_target_of_make_and_a_line_in_its_help():
    makefile = Path(ROOT, "Makefile").read_text()
    for stage in command.STAGES:
        assert f"gpu-{stage}" in makefile
        assert f"# make gpu-{stage}" in makefile

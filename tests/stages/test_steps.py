"""A step runs a command with a limit, keeps its output, and leaves no process behind."""

import os
import re
import signal
import subprocess
import sys
import time

import pytest

from tests.gpu.stages import step as steps
from tests.gpu.stages.junit import results
from tests.gpu.stages.step import Step, run

if os.name != "posix":
    pytest.skip("the stages run where CUDA's tools are: on Linux", allow_module_level=True)


def python(code, seconds=60.0, **more):
    """A step of an interpreter that starts at once, on a busy machine, too."""
    return Step("one", seconds, (sys.executable, "-I", "-S", "-c", code), **more)


def log_of(folder):
    return (folder / "one.log").read_text()


def test_a_step_that_ends_well(tmp_path):
    outcome = run(python("print('first'); print('last'); print()"), tmp_path, 60)
    assert (outcome.verdict, outcome.code, outcome.said) == ("ok", 0, "last")
    assert "first\nlast\n" in log_of(tmp_path)
    assert re.fullmatch(r"one: ok after \d+ s: last", outcome.line())


def test_a_step_that_fails(tmp_path):
    outcome = run(python("raise SystemExit('why')"), tmp_path, 60)
    assert (outcome.verdict, outcome.code, outcome.said) == ("FAILED", 1, "why")
    assert outcome.line().startswith("one: FAILED with 1 after ")


def test_a_program_that_is_not_there(tmp_path):
    outcome = run(Step("one", 5, (str(tmp_path / "none"),)), tmp_path, 60)
    assert outcome.verdict == "FAILED" and "none" in outcome.said


@pytest.mark.parametrize(("own", "left"), [(3.0, 60.0), (60.0, 3.0)])
def test_a_step_that_takes_too_long_may_still_write_what_it_knows(tmp_path, own, left):
    code = """if True:
        import time
        print("begun", flush=True)
        try:
            time.sleep(60)
        except KeyboardInterrupt:
            print("written")
    """
    outcome = run(python(code, own), tmp_path, left)
    assert (outcome.verdict, outcome.said) == ("STOPPED", "written")
    assert 3 <= outcome.seconds < 30


def test_a_step_that_does_not_listen_is_killed_with_all_that_it_started(tmp_path):
    code = """if True:
        import os, signal, subprocess, sys, time
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        print(child.pid, flush=True)
        time.sleep(60)
    """
    outcome = run(python(code), tmp_path, 3.0, grace=0.2)
    assert (outcome.verdict, outcome.code) == ("STOPPED", -9)
    ends_soon(int(outcome.said))


def test_what_a_step_leaves_running_ends(tmp_path):
    code = """if True:
        import subprocess, sys
        print(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]).pid)
    """
    outcome = run(python(code), tmp_path, 60)
    assert outcome.verdict == "ok"
    ends_soon(int(outcome.said))


def ends_soon(pid):
    for _ in range(100):
        try:
            with open(f"/proc/{pid}/stat") as file:
                if file.read().rpartition(")")[2].split()[0] == "Z":
                    return
        except OSError:
            return
        time.sleep(0.05)
    raise AssertionError("it still runs")


def test_a_step_has_the_variables_of_its_own(tmp_path):
    code = "import os; print(os.environ['OWN'], os.environ['PYTHONUNBUFFERED'], os.getcwd())"
    outcome = run(python(code, environment={"OWN": "mine"}), tmp_path, 60)
    assert outcome.said == f"mine 1 {steps.ROOT}"


def test_pytest_writes_what_it_knows_when_it_is_interrupted(tmp_path):
    """A step that takes too long is interrupted: the results before a test that hangs are kept."""
    pytest.importorskip("xdist")
    (tmp_path / "test_it.py").write_text("""if True:
        import pathlib, time
        def test_first():
            pass
        def test_that_hangs():
            pathlib.Path("begun").touch()
            time.sleep(300)
    """)
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--rootdir", tmp_path]
    command += ["-n", "1", "--junitxml", tmp_path / "it.xml", "test_it.py"]
    interrupted = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL)
    try:
        for _ in range(1200):
            if (tmp_path / "begun").exists():
                break
            time.sleep(0.1)
        interrupted.send_signal(signal.SIGINT)
        interrupted.wait(60)
    finally:
        interrupted.kill()
        interrupted.wait()
    assert results(tmp_path / "it.xml")["tests"] >= 1

"""`pytest --cuda` with several ways: as many runs of the same tests, of which none is swallowed."""

import subprocess
import sys

import pytest

from tests.helpers.scripts import ROOT


def run_pytest(*arguments):
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.nightly
def test_each_way_is_a_run_and_the_worst_result_counts():
    pytest.importorskip("torch")
    pytest.importorskip("triton")
    wanted = "host_looks and triton-sm_90"
    where = ("--collect-only", "-k", wanted, "tests/backends/test_skip.py")
    done = run_pytest("--cuda", "interpret,sim", *where)
    _, *runs = done.stdout.split("== --cuda ")
    assert [run.split()[0] for run in runs] == ["interpret", "sim"]
    for run, target in zip(runs, ("no tests collected", "triton-sm_90")):
        assert target in run
    assert done.returncode == pytest.ExitCode.NO_TESTS_COLLECTED


def test_grids_are_thinned_on_a_gpu_too_unless_all_is_asked_for():
    pytest.importorskip("torch")
    counts = []
    for more in ((), ("--all",)):
        done = run_pytest(
            "--cuda", "gpu", "--collect-only", *more, "tests/backends/test_layouts.py"
        )
        counts.append(sum("::" in line for line in done.stdout.splitlines()))
    assert 100 < counts[0] < 0.7 * counts[1]


def test_another_way_is_refused():
    done = run_pytest("--cuda", "sim,fast", "tests/test_ways.py")
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "--cuda: expected some of interpret, sim, gpu, got 'sim,fast'" in done.stderr

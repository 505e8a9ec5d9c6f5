"""A CUDA error ends the process that met it, and the other tests run in another."""

import os
import subprocess
import sys

import pytest

from tests.gpu.broken_context import BROKEN
from tests.gpu.stages.junit import results
from tests.gpu.stages.step import ROOT

TESTS = """
import os

import pytest

broken = False


def uses_the_device():
    if broken:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")


@pytest.mark.parametrize("number", range(6))
def test_before(number):
    uses_the_device()


def test_that_breaks_the_context():
    global broken
    broken = True
    uses_the_device()


@pytest.mark.parametrize("number", range(6))
def test_behind(number):
    uses_the_device()


def test_that_fails():
    assert False, "an ordinary failure"
"""


def run(folder, *options):
    (folder / "test_it.py").write_text(TESTS)
    junit, log = folder / "it.xml", folder / "broken.txt"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", folder]
    command += ["-p", "tests.gpu.broken_context", "--broken-contexts", log, "--junitxml", junit]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
    done = subprocess.run(
        [*map(str, command), *options, "test_it.py"],
        env={**environment, "PYTHONPATH": str(ROOT)},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
    )
    return done, results(junit), log.read_text()


@pytest.mark.parametrize("workers", ["1", "2"])
def test_the_worker_is_replaced(tmp_path, workers):
    pytest.importorskip("xdist")
    done, found, log = run(tmp_path, "-n", workers, "--max-worker-restart", "200")
    assert done.returncode == 1, done.stdout
    assert found["tests"] == 14 and found["failed"] == 2, found
    broken, failed = sorted(found["failures"], key=lambda one: one["test"])
    assert "crashed" in broken["message"] and "breaks_the_context" in broken["test"]
    assert failed["message"].startswith("AssertionError: an ordinary failure")
    assert log.startswith("==== test_it.py::test_that_breaks_the_context (call)\n")
    assert "an illegal memory access" in log and log.count("====") == 1


def test_without_workers_the_session_stops(tmp_path):
    done, found, log = run(tmp_path, "-p", "no:xdist")
    assert done.returncode == 2, done.stdout
    assert found["tests"] == 7 and found["failed"] == 1
    assert "test_it.py::test_that_breaks_the_context broke the CUDA context" in done.stdout
    assert log.count("====") == 1


@pytest.mark.parametrize(
    ("text", "breaks"),
    [
        ("RuntimeError: CUDA error: device-side assert triggered", True),
        ("torch.AcceleratorError: CUDA error: unspecified launch failure", True),
        ("RuntimeError: Triton Error [CUDA]: misaligned address", True),
        ("CUDARuntimeError: cudaErrorIllegalAddress: an illegal memory access", True),
        ("CUDADriverError: CUDA_ERROR_ILLEGAL_ADDRESS: an illegal memory access", True),
        ("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 20 GiB", False),
        ("RuntimeError: CUDA error: out of memory", False),
        ("CUDARuntimeError: cudaErrorMemoryAllocation: out of memory", False),
        ("CUDADriverError: CUDA_ERROR_OUT_OF_MEMORY: out of memory", False),
        ("AssertionError: 3 of 8 elements differ", False),
    ],
)
def test_what_breaks_a_context(text, breaks):
    assert bool(BROKEN.search(text)) == breaks

"""Run the tests of each mutant in a copy of the checkout."""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

TIMEOUT = 300.0
"""Seconds for the tests of one mutant."""

OPTIONS = ("-x", "-q", "-p", "no:cacheprovider", "--assert=plain", "--tb=short")

KILLED, SURVIVED, INVALID = "killed", "SURVIVED", "INVALID"


@dataclass(frozen=True)
class Outcome:
    """What became of a mutant.

    Attributes:
        mutant: the mutant.
        verdict: `KILLED`, `SURVIVED` or `INVALID`.
        reason: why it is invalid; else empty.
        seconds: that its tests took.
    """

    mutant: object
    verdict: str
    reason: str
    seconds: float


@dataclass(frozen=True)
class Run:
    """A run of pytest.

    Attributes:
        code: its exit code; None if it was ended after `TIMEOUT`.
        output: what it has printed.
        seconds: that it took.
    """

    code: int | None
    output: str
    seconds: float

    @property
    def last_line(self):
        """The summary."""
        return (self.output.strip().splitlines() or ["no output"])[-1]


def run_all(mutants, root, workers=1, report=lambda outcome: None, timeout=TIMEOUT):
    """Return the outcome of each mutant, in the order in which they end.

    Args:
        mutants: the mutants.
        root: the checkout, of which git knows the files.
        workers: how many copies of it are worked in at a time.
        report: called with each outcome.
        timeout: seconds for the tests of one mutant.
    """
    by_tests = {}
    for mutant in mutants:
        by_tests.setdefault(mutant.tests, []).append(mutant)
    found = []
    with _copies(root, workers) as borrowed, ThreadPoolExecutor(workers) as pool:
        futures = [pool.submit(_outcomes, borrowed, own, timeout) for own in by_tests.values()]
        try:
            for future in as_completed(futures):
                for outcome in future.result():
                    found.append(outcome)
                    report(outcome)
        finally:
            pool.shutdown(cancel_futures=True)
    return found


@contextmanager
def _copies(root, count):
    """Return a function that lends one of several copies of the checkout, as a context."""
    free = SimpleQueue()

    @contextmanager
    def borrowed():
        copy = free.get()
        try:
            yield copy
        finally:
            free.put(copy)

    with tempfile.TemporaryDirectory(prefix="gpuopt-mutants-") as folder:
        for i in range(count):
            free.put(copy_checkout(root, Path(folder, str(i))))
        yield borrowed


def copy_checkout(root, target):
    """Copy the files that git tracks, as they are now, and return the folder."""
    command = ["git", "-C", str(root), "ls-files", "-z"]
    names = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    for name in filter(None, names.split("\0")):
        source, copy = Path(root, name), Path(target, name)
        if source.is_file():  # and not a submodule, or removed
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, copy)
    return Path(target)


def _outcomes(borrowed, mutants, timeout):
    """Return the outcomes of mutants with the same tests, which must pass without any."""
    with borrowed() as copy:
        run = pytest_in(copy, mutants[0].arguments, timeout)
        if run.code != 0 or not re.search(r"\b\d+ passed", run.last_line):
            reason = f"without a mutant, its tests do not pass: {run.last_line}"
            return [Outcome(mutant, INVALID, reason, run.seconds) for mutant in mutants]
        return [_outcome(copy, mutant, timeout) for mutant in mutants]


def _outcome(copy, mutant, timeout):
    try:
        with _mutated(copy / mutant.file, mutant):
            run = pytest_in(copy, mutant.arguments, timeout)
    except ValueError as error:
        return Outcome(mutant, INVALID, str(error), 0.0)
    return Outcome(mutant, *judged(run, mutant.hangs), run.seconds)


@contextmanager
def _mutated(file, mutant):
    before = file.read_bytes()
    file.write_bytes(mutant.applied(before.decode()).encode())
    try:
        yield
    finally:
        file.write_bytes(before)


def judged(run, hangs=False):
    """Return the verdict on a mutant, and the reason if that is `INVALID`.

    A mutant whose tests cannot be collected, or whose process crashes, says nothing of the tests.
    """
    if run.code is None:
        return (KILLED, "") if hangs else (INVALID, f"not ended after {run.seconds:.0f} s")
    if run.code == 0:
        return SURVIVED, ""
    if run.code == 1 and "ERROR collecting" not in run.output:
        return KILLED, ""
    return INVALID, f"exit code {run.code}: {run.last_line}"


def pytest_in(folder, arguments, timeout=TIMEOUT):
    """Run tests in a copy of the checkout, with its own sources and fresh caches.

    In CI, pytest shows what differs in full: of large arrays, that would take minutes.
    """
    command = [sys.executable, "-m", "pytest", *OPTIONS, *arguments]
    start = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="gpuopt-mutants-caches-") as caches:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=_environment(folder, caches),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        try:
            output, _ = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            _end(process)
            return Run(None, "", time.perf_counter() - start)
        except BaseException:
            _end(process)
            raise
    return Run(process.returncode, output, time.perf_counter() - start)


def _end(process):
    """End a run of pytest and all that it has started."""
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def _environment(folder, caches):
    """Return the environment: examples of hypothesis that are always the same, and no bytecode.

    Two versions of a file with one size and one second of change have the same bytecode file.
    """
    return {
        **os.environ,
        **dict.fromkeys(("GPUOPT_CACHE_DIR", "XDG_CACHE_HOME"), caches),
        "CI": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPATH": str(folder),
    }

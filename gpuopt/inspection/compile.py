"""Facts of cases, from the cache or from compilers in subprocesses."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Timer
from typing import IO

from ..system.search_path import module_command
from .cache import entry_of, read_facts
from .cases import Case
from .facts import Facts

TIMEOUT = 600.0
"""Seconds per kernel."""

WORKER = module_command("gpuopt.inspection.worker")
"""The command of a compiler process."""

_STDERR = 600
"""Characters at the end of a dead process's stderr that are shown."""


@dataclass(frozen=True)
class Result:
    """The facts of a case, or the error."""

    case: Case
    facts: Facts | None
    error: str = ""


def compile_cases(
    cases: Sequence[Case],
    progress: Callable[[int, int], None] = lambda done, total: None,
    workers: int = 0,
) -> list[Result]:
    """Return the results of cases, in order.

    Args:
        cases: what to compile.
        progress: called with the number of compiled cases and the number of all uncached ones.
        workers: number of processes; 0 for one per core.
    """
    found = {case: read_facts(entry_of(case)) for case in cases}
    missing = [case for case, facts in found.items() if facts is None]
    results = {case: Result(case, facts) for case, facts in found.items()}
    if missing:
        for done, result in enumerate(_compile(missing, workers or _cores()), 1):
            results[result.case] = result
            progress(done, len(missing))
    return [results[case] for case in cases]


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _compile(cases: Sequence[Case], workers: int) -> Iterator[Result]:
    waiting: SimpleQueue[Case] = SimpleQueue()
    done: SimpleQueue[Result] = SimpleQueue()
    for case in cases:
        waiting.put(case)
    count = min(workers, len(cases))
    with ThreadPoolExecutor(count) as pool:
        threads = [pool.submit(_serve, waiting, done) for _ in range(count)]
        try:
            for _ in cases:
                yield done.get()
        finally:
            _empty(waiting)
        for thread in threads:
            thread.result()


def _empty(waiting: SimpleQueue[Case]) -> None:
    """Discard the waiting cases, so that the threads end."""
    while True:
        try:
            waiting.get_nowait()
        except Empty:
            return


def _serve(waiting: SimpleQueue[Case], done: SimpleQueue[Result]) -> None:
    """Compile cases until none is left, with a new process after each crash."""
    worker: _Worker | None = None
    while True:
        try:
            case = waiting.get_nowait()
        except Empty:
            break
        worker = worker or _Worker()
        error = worker.compile(case)
        facts = None if error else read_facts(entry_of(case))
        if facts is None:
            error = error or "its result could not be read from the cache"
        done.put(Result(case, facts, error))
        if not worker.alive:
            worker = None
    if worker is not None:
        worker.stop()


class _Worker:
    """A process that compiles cases one by one, with a temporary Triton cache."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="gpuopt-inspect-")
        self._errors = Path(self._folder.name, "stderr")
        with self._errors.open("wb") as errors:
            self._process = subprocess.Popen(
                WORKER,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env=_environment(self._folder.name),
            )
        self.alive = True

    def compile(self, case: Case) -> str:
        """Compile a case and write its cache entry; return the error, or an empty string."""
        request = json.dumps({"case": case.to_json(), "entry": str(entry_of(case))})
        timer = Timer(TIMEOUT, self._process.kill)
        timer.start()
        try:
            answer = self._exchange(request)
        finally:
            timer.cancel()
        if answer:
            return str(json.loads(answer).get("error", ""))
        reason = self._reason()
        self.stop()
        return reason

    def _exchange(self, request: str) -> str:
        try:
            print(request, file=_pipe(self._process.stdin), flush=True)
            return _pipe(self._process.stdout).readline()
        except BrokenPipeError:
            return ""

    def _reason(self) -> str:
        code = self._process.wait()
        how = f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"
        said = self._errors.read_text(errors="replace").strip()
        return " ".join(f"the compiler's process {how}. {said[-_STDERR:]}".split())

    def stop(self) -> None:
        """End the process and delete its files."""
        self.alive = False
        for pipe in (self._process.stdin, self._process.stdout):
            with suppress(BrokenPipeError):
                _pipe(pipe).close()
        self._process.wait()
        self._folder.cleanup()


def _pipe(pipe: IO[str] | None) -> IO[str]:
    assert pipe is not None
    return pipe


def _environment(folder: str) -> dict[str, str]:
    """Return the environment of a worker, without Triton's variables except tool paths.

    With the interpreter, overrides or dumps, the code would differ from that of a launch.
    """
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("TRITON_") or name.endswith("_PATH")
    }
    return {**kept, "TRITON_CACHE_DIR": folder}

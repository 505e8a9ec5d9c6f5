"""Facts of cases, from the cache or from compilers in subprocesses."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from queue import Empty, SimpleQueue

from ..kernels.thread_count import usable_cores
from ..system.search_path import module_command
from ..system.worker import Worker
from .cache import entry_of, read_facts
from .cases import Case
from .facts import Facts

TIMEOUT = 600.0
"""Seconds per kernel."""

WORKER = module_command("gpuopt.inspection.worker")
"""The command of a compiler process."""


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
        for done, result in enumerate(_compile(missing, workers or usable_cores()), 1):
            results[result.case] = result
            progress(done, len(missing))
    return [results[case] for case in cases]


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
    worker: _Compiler | None = None
    while True:
        try:
            case = waiting.get_nowait()
        except Empty:
            break
        worker = worker or _Compiler()
        error = worker.compile(case)
        facts = None if error else read_facts(entry_of(case))
        if facts is None:
            error = error or "its result could not be read from the cache"
        done.put(Result(case, facts, error))
        if not worker.alive:
            worker = None
    if worker is not None:
        worker.stop()


class _Compiler:
    """A process that compiles cases one by one, with a temporary Triton cache."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="gpuopt-inspect-")
        self._worker = Worker(WORKER, _environment(self._folder.name))

    @property
    def alive(self) -> bool:
        return self._worker.alive

    def compile(self, case: Case) -> str:
        """Compile a case and write its cache entry; return the error, or an empty string."""
        request = json.dumps({"case": case.to_json(), "entry": str(entry_of(case))})
        answer = self._worker.ask(request, TIMEOUT)
        if answer:
            return str(json.loads(answer).get("error", ""))
        reason = f"the compiler's process {self._worker.how_it_ended()}"
        self.stop()
        return reason

    def stop(self) -> None:
        """End the process and delete its files."""
        self._worker.stop()
        self._folder.cleanup()


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

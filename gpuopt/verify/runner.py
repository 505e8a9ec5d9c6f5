"""Checks in processes, which are replaced where one of them dies or hangs."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import Any

from ..kernels.thread_count import usable_cores
from ..system.search_path import module_command
from ..system.worker import Worker
from .checks import Check
from .compare import Difference
from .plan import Plan, plan_from

WORKER = module_command("gpuopt.verify.worker")
"""The command of a process that runs checks."""

MOST_PROCESSES = 8
"""Each has a CUDA context, of half a gigabyte."""

CHECK_LIMIT = 60.0
"""Seconds to wait for the result of a check, which may compile."""

START_LIMIT = 120.0
"""Seconds to wait longer for the first answer of a process, which imports torch and CUDA."""

LOSSES = 3
"""Processes that may die or hang over a backend's checks; then the rest of them is not run."""

SAME, DIFFERS, ERROR, DIED, HUNG, NOT_RUN = "same", "differs", "error", "died", "hung", "not run"

Answer = dict[str, Any]


@dataclass(frozen=True)
class Result:
    """What became of a check.

    Attributes:
        check: the check.
        outcome: ``"same"``, ``"differs"``, ``"error"``, ``"died"``, ``"hung"`` or ``"not run"``.
        seconds: how long it took, compilation included.
        text: the error, or how the process ended.
        differences: what differs.
    """

    check: Check
    outcome: str
    seconds: float = 0.0
    text: str = ""
    differences: Sequence[Difference] = field(default=())

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON data."""
        return {
            "name": self.check.name,
            "check": self.check.to_json(),
            "outcome": self.outcome,
            "seconds": round(self.seconds, 3),
            "text": self.text,
            "differences": list(self.differences),
        }


class PlanError(RuntimeError):
    """The process that looks for backends has ended, or has not answered."""


class Runner:
    """Some processes, of which each runs one check at a time."""

    def __init__(self) -> None:
        """Start none yet."""
        self._idle: SimpleQueue[Worker] = SimpleQueue()
        self._lost: Counter[str] = Counter()

    def plan(self) -> Plan:
        """Return what can be checked here.

        Raises:
            PlanError: no process can say.
        """
        answer, problem, _ = self._ask({"plan": True})
        if answer is None:
            raise PlanError(f"the process that looks for usable backends {problem}")
        return plan_from(answer["plan"])

    def run(self, checks: Sequence[Check]) -> Iterator[Result]:
        """Run checks, and return their results as they come."""
        with ThreadPoolExecutor(min(usable_cores(), MOST_PROCESSES)) as pool:
            futures = [pool.submit(self._result, check) for check in checks]
            try:
                for future in as_completed(futures):
                    yield future.result()
            finally:
                pool.shutdown(wait=False, cancel_futures=True)

    def stop(self) -> None:
        """End the processes."""
        while True:
            try:
                self._idle.get_nowait().stop()
            except Empty:
                return

    def _result(self, check: Check) -> Result:
        if self._lost[check.target] >= LOSSES:
            return Result(check, NOT_RUN, text=f"{LOSSES} processes died or hung before it")
        answer, problem, late = self._ask({"check": check.to_json()})
        if answer is None or answer["broken"]:
            self._lost[check.target] += 1
        if answer is None:
            return Result(check, HUNG if late else DIED, text=f"its process {problem}")
        differ = answer["differences"]
        outcome = ERROR if answer["error"] else DIFFERS if differ else SAME
        return Result(check, outcome, answer["seconds"], answer["error"], differ)

    def _ask(self, request: Answer) -> tuple[Answer | None, str, bool]:
        """Return the answer of some process, or how it ended, and whether it was too late."""
        limit = CHECK_LIMIT
        try:
            worker = self._idle.get_nowait()
        except Empty:
            worker, limit = Worker(WORKER), START_LIMIT + CHECK_LIMIT
        said = worker.ask(json.dumps(request), limit)
        if not said:
            how = f"gave no answer in {limit:g} s" if worker.late else worker.how_it_ended()
            worker.stop()
            return None, how, worker.late
        answer: Answer = json.loads(said)
        if answer.get("broken"):
            worker.stop()
        else:
            self._idle.put(worker)
        return answer, "", False

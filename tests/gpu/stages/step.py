"""A step: one command with a time limit, a log and a verdict."""

import os
import re
import shlex
import signal
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[3]

GRACE = 10.0
"""Seconds in which an interrupted command may write its results."""

OK, FAILED, STOPPED = "ok", "FAILED", "STOPPED"
SKIPPED, NOT_BEGUN = "skipped", "NOT BEGUN"

VARIABLES = {
    "PYTHONUNBUFFERED": "1",
    "PYTHONFAULTHANDLER": "1",
    "TORCH_SHOW_CPP_STACKTRACES": "0",
}
"""For logs that have everything up to a crash, and each error in few lines."""


@dataclass(frozen=True)
class Step:
    """A command of a stage.

    Attributes:
        name: of the log, too.
        seconds: the time limit.
        command: the program and its arguments.
        needs: modules and tools without which the step is skipped.
        environment: variables to set.
        junit: the JUnit file that the command writes.
    """

    name: str
    seconds: float
    command: tuple[str, ...]
    needs: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    junit: Path | None = None


@dataclass(frozen=True)
class Outcome:
    """What became of a step.

    Attributes:
        name: of the step.
        verdict: `OK`, `FAILED`, `STOPPED`, `SKIPPED` or `NOT_BEGUN`.
        said: the last line of the log, or the reason.
        seconds: that it took.
        code: the exit code, negative for a signal; None where nothing ran.
    """

    name: str
    verdict: str
    said: str
    seconds: float = 0.0
    code: int | None = None

    def line(self):
        """Return the line of the summary."""
        if self.code is None:
            return f"{self.name}: {self.verdict}: {self.said}"
        how = f" with {self.code}" if self.verdict == FAILED else ""
        said = f": {self.said}" if self.said else ""
        return f"{self.name}: {self.verdict}{how} after {self.seconds:.0f} s{said}"


def run(step, folder, limit, grace=GRACE):
    """Run a step.

    Args:
        step: the step.
        folder: where its log is written.
        limit: seconds, at most those of the step.
        grace: seconds for an interrupted command before it is killed.
    """
    log = folder / f"{step.name}.log"
    start = time.monotonic()
    with log.open("w", encoding="utf-8") as file:
        file.write(f"$ {shlex.join(step.command)}\n")
        file.flush()
        begin = file.tell()
        try:
            code, stopped = _run(step, file, min(limit, step.seconds), grace)
        except OSError as error:
            return Outcome(step.name, FAILED, str(error), code=127)
    verdict = STOPPED if stopped else FAILED if code else OK
    return Outcome(step.name, verdict, _last_line(log, begin), time.monotonic() - start, code)


def _run(step, file, limit, grace):
    """Return the exit code, and whether the time was up."""
    process = subprocess.Popen(
        step.command,
        cwd=ROOT,
        env={**os.environ, **VARIABLES, **step.environment},
        stdin=subprocess.DEVNULL,
        stdout=file,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    stopped = False
    try:
        process.wait(limit)
    except subprocess.TimeoutExpired:
        stopped = True
        process.send_signal(signal.SIGINT)  # pytest then writes what it knows
        with suppress(subprocess.TimeoutExpired):
            process.wait(grace)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # also what the command has started
    return process.wait(), stopped


def _last_line(log, begin):
    """Return the last line behind a position of the log that has a letter or a digit."""
    with log.open("rb") as file:
        file.seek(max(begin, log.stat().st_size - 8192))
        lines = file.read().decode(errors="replace").splitlines()
    said = [line.strip() for line in lines if re.search(r"\w", line)]
    return said[-1][:150] if said else ""

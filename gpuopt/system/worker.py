"""A process that answers requests, and may die or hang over one of them."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from threading import Timer
from typing import IO, TextIO

_STDERR = 600
"""The number of characters shown from the end of a dead process's stderr."""

_PATIENCE = 10.0
"""Seconds to wait for a process to end; one that is killed inside a driver may not."""


class Worker:
    """A process that answers each line of its input with one line.

    Attributes:
        alive: whether it accepts requests.
        late: whether it was killed because it did not answer in time.
    """

    def __init__(
        self, command: Sequence[str], environment: Mapping[str, str] | None = None
    ) -> None:
        """Start it, with this process's environment by default."""
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - `stop` closes it
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env=environment,
        )
        self.alive, self.late = True, False

    def ask(self, request: str, limit: float) -> str:
        """Return the answer to a line, or an empty string if the process ends without one.

        Args:
            request: the line.
            limit: seconds after which the process is killed.
        """
        timer = Timer(limit, self._kill)
        timer.start()
        try:
            answer = self._exchange(request)
        finally:
            timer.cancel()
        self.alive = bool(answer)
        return answer

    def how_it_ended(self) -> str:
        """Return how a process that did not answer ended, and its last output."""
        try:
            code = self._process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            return "does not end, though it was killed"
        how = f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"
        self._errors.seek(0)
        said = self._errors.read().decode(errors="replace").strip()
        return " ".join(f"{how}. {said[-_STDERR:]}".split())

    def stop(self) -> None:
        """End the process by closing its input."""
        self.alive = False
        for pipe in (self._process.stdin, self._process.stdout):
            with suppress(BrokenPipeError):
                _pipe(pipe).close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_PATIENCE)
        self._process.kill()
        self._errors.close()

    def _exchange(self, request: str) -> str:
        try:
            print(request, file=_pipe(self._process.stdin), flush=True)
            answer = _pipe(self._process.stdout).readline()
            return answer if answer.endswith("\n") else ""  # killed while it wrote
        except BrokenPipeError:
            return ""

    def _kill(self) -> None:
        self.late = True
        self._process.kill()


def _pipe(pipe: IO[str] | None) -> IO[str]:
    assert pipe is not None
    return pipe


def private_output() -> TextIO:
    """Return standard output for a worker's answers, and redirect other output to its errors."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    return answers

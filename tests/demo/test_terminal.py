"""The command as a program: with a terminal, without one, and under Ctrl-C."""

import os
import re
import signal
import subprocess
import sys
import threading

import pytest

from tests.helpers.backends import REFERENCE
from tests.helpers.scripts import ROOT

pty = pytest.importorskip("pty")  # there is none on Windows

COMMAND = (sys.executable, "-W", "error", "-m", "gpuopt")
QUICK = ("--epochs", "1", "--backend", REFERENCE)
DECORATION = re.compile("[\x00-\x09\x0b-\x1f\x7f]")


def environment(**variables):
    return {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm-256color", **variables}


class OnATerminal:
    """A program whose errors go to a terminal and whose output goes into a pipe."""

    def __init__(self, folder, *arguments):
        self.seen = ""
        self._news = threading.Condition()
        self._terminal, terminal = pty.openpty()
        self.program = subprocess.Popen(
            [*COMMAND, *arguments],
            cwd=folder,
            env=environment(COLUMNS="120"),
            stdout=subprocess.PIPE,
            stderr=terminal,
            text=True,
        )
        os.close(terminal)
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self):
        while True:
            try:
                news = os.read(self._terminal, 65536)
            except OSError:  # the program has ended
                news = b""
            with self._news:
                self.seen += news.decode(errors="replace")
                self._news.notify()
            if not news:
                return

    def wait_for(self, text, timeout=60):
        """Wait until the terminal shows a text."""
        with self._news:
            assert self._news.wait_for(lambda: text in self.seen, timeout), self.seen

    def finish(self, timeout=60):
        """Wait for the end; return the exit code and the output."""
        output, _ = self.program.communicate(timeout=timeout)
        self._reader.join()
        os.close(self._terminal)
        return self.program.returncode, output


def test_without_a_terminal_there_are_no_control_codes_and_no_bars(tmp_path):
    done = subprocess.run(
        [*COMMAND, "compare", *QUICK],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0
    assert not DECORATION.search(done.stdout + done.stderr)
    assert "batch GD" in done.stdout and "…" not in done.stdout
    assert done.stderr == "Picture: compare.png\n"


def test_on_a_terminal_bars_show_every_method(tmp_path):
    program = OnATerminal(tmp_path, "compare", *QUICK)
    code, output = program.finish()
    assert code == 0
    assert not DECORATION.search(output)
    for label in ("batch GD", "stochastic GD", "mini-batch GD", "Momentum", "RMSProp", "Adam"):
        assert re.search(rf"{label} .*1/1.*train loss", program.seen)
    assert program.seen.endswith("Picture: compare.png\r\n")


def test_ctrl_c_ends_the_training_and_gives_the_terminal_back(tmp_path):
    program = OnATerminal(tmp_path, "compare", "--epochs", "100", "--backend", REFERENCE)
    program.wait_for("stochastic GD")
    program.program.send_signal(signal.SIGINT)
    code, output = program.finish()
    assert code == 130
    assert "batch GD" in output and "stochastic GD" not in output
    assert "Interrupted with 1 of 6 finished" in program.seen
    assert program.seen.rindex("\x1b[?25h") > program.seen.rindex("\x1b[?25l")  # the cursor is back
    assert "Traceback" not in program.seen
    assert not list(tmp_path.iterdir())

"""Programs of their own: for what happens at exit, after a fork, or without a library."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

ROOT = Path(__file__).parents[2]


def run_script(code, *, timeout=120, quiet=True, **environment):
    """Run a program in a fresh interpreter, with warnings as errors; return what it prints.

    Args:
        code: its text; it may import `tests.helpers`.
        timeout: seconds after which it counts as hanging.
        quiet: whether anything on stderr is a failure, too.
        environment: variables set for it; None removes one.
    """
    variables = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    try:
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", textwrap.dedent(code)],
            env={name: value for name, value in variables.items() if value is not None},
            capture_output=True,
            text=True,
            timeout=timeout,
        )
    except subprocess.TimeoutExpired as error:
        raise AssertionError(f"hangs: {error.stdout!r} {error.stderr!r}") from None
    assert done.returncode == 0, f"exit status {done.returncode}: {done.stderr}"
    assert not (quiet and done.stderr), done.stderr
    return done.stdout

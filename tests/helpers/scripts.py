"""Scripts in subprocesses, to test exits, forks and missing libraries."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

ROOT = Path(__file__).parents[2]


def run_script(code, *, timeout=120, quiet=True, cwd=None, **environment):
    """Run a script in a new interpreter, with warnings as errors; return its output.

    Args:
        code: the script; it may import `tests.helpers`.
        timeout: in seconds.
        quiet: fail on any output to stderr.
        cwd: the folder in which it runs; by default the caller's.
        environment: variables to set; None removes one.
    """
    variables = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    try:
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", textwrap.dedent(code)],
            cwd=cwd,
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

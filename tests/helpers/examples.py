"""The scripts in `examples/`, run as a user runs them, and the diffs on top of them."""

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
SCRIPTS = sorted(EXAMPLES.glob("*.py"))

LIMIT = 300
"""Seconds of a script, which takes less than ten on an idle core."""


def run_example(script, folder, device="cpu"):
    """Run a script in a folder; return the lines that it prints."""
    variables = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}
    variables |= {"OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "default"}
    if device == "cpu":
        variables["CUDA_VISIBLE_DEVICES"] = ""
    done = subprocess.run(
        [sys.executable, str(script)],
        cwd=folder,
        env=variables,
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()


def numbers(lines, name):
    """Return the numbers behind a name, of all lines that have it: ``loss: 0.5``, ``loss 0.5``."""
    found = [re.search(rf"{name}\W+([\d.]+)", line) for line in lines]
    return [float(match[1]) for match in found if match]


def has_diff(script):
    """Return whether a script starts with a diff."""
    return "```diff\n" in script.read_text(encoding="utf-8")


def before(script):
    """Return the text of a script before its diff was applied.

    Each hunk, its added lines with those around them, must stand in the script exactly once.
    """
    text = script.read_text(encoding="utf-8")
    _, doc, code = text.split('"""', 2)
    (diff,) = re.findall(r"^```diff\n(.*?)^```$", doc, re.MULTILINE | re.DOTALL)
    for hunk in diff.split("@@\n"):
        lines = hunk.splitlines()
        assert {line[0] for line in lines} <= set(" +-"), hunk
        new, old = (
            "".join(f"\n{line[1:]}" for line in lines if line[0] in kept) for kept in (" +", " -")
        )
        assert code.count(new + "\n") == 1, f"{script.name}: {new}"
        code = code.replace(new + "\n", old + "\n")
    return code

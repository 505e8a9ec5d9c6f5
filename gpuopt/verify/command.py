"""`gpuopt verify`: run the checks of this machine, and report."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from ..engine.dispatch import BACKENDS
from ..messages import tables
from .plan import Plan
from .report import Findings, data_of, line_of, markdown_of, summary_of, table_of
from .runner import PlanError, Result, Runner

REPORT = Path("gpuopt-verify.md")
"""Where the report goes if something is wrong and no other file is named."""

STANDARD_OUTPUT = Path("-")


def verify(
    only: str, require: Sequence[str], json_path: Path | None, report_path: Path | None
) -> int:
    """Run the checks, print, write, and return the exit code.

    Args:
        only: words that the names of the checks must contain.
        require: names of backends, possibly comma-separated, of which some check must run.
        json_path: a file for the findings as JSON; ``-`` prints only JSON.
        report_path: a file for the report; None for `REPORT`, if something is wrong.

    Returns:
        0 if every check gave the bits of NumPy, 1 if one did not or a required backend was not
        checked; else 2 for options that cannot be used or a file that cannot be written.
    """
    wanted = [name.strip() for text in require for name in text.split(",") if name.strip()]
    for name in wanted:
        if name not in BACKENDS:
            return _fail(2, f"unknown backend {name!r}; known: {', '.join(BACKENDS)}")
    quiet = json_path == STANDARD_OUTPUT
    try:
        found = _found(only.split(), quiet)
    except PlanError as error:
        return _fail(1, str(error))
    if only and not found.plan.checks:
        unseen = "".join(f"\n  {one}" for one in found.plan.unseen)
        why = f". Not seen on this machine:{unseen}" if unseen else ""
        return _fail(2, f"--only: no check of this machine has {only!r} in its name{why}")
    if not quiet:
        print()
        if found.results:
            tables.show(table_of(found.results))
            print()
        print(summary_of(found))
    written = _write(found, json_path, report_path)
    missing = [name for name in wanted if name not in {c.backend for c in found.plan.checks}]
    if missing:
        _fail(1, f"required, but not checked: {', '.join(missing)}")
    return 1 if missing or found.bad else 0 if written else 2


def _found(words: Sequence[str], quiet: bool) -> Findings:
    start, runner = time.perf_counter(), Runner()
    results: list[Result] = []
    try:
        plan = runner.plan()
        chosen = [check for check in plan.checks if all(word in check.name for word in words)]
        plan = Plan(plan.machine, chosen, plan.unseen)
        for result in runner.run(chosen):
            results.append(result)
            if not quiet:
                print(line_of(result), flush=True)
    finally:
        runner.stop()
    return Findings(plan, results, time.perf_counter() - start)


def _write(found: Findings, json_path: Path | None, report_path: Path | None) -> bool:
    """Write what is asked for; return whether each file could be written."""
    data = json.dumps(data_of(found), indent=2) + "\n"
    well = True
    if json_path == STANDARD_OUTPUT:
        print(data, end="")
    elif json_path is not None:
        well = _written(json_path, data)
    report = report_path or (REPORT if found.bad else None)
    if report is None:
        return well
    if not _written(report, markdown_of(found)):
        return False
    print(f"Report, for an issue: {report}", file=sys.stderr)
    return well


def _written(path: Path, text: str) -> bool:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        _fail(2, f"cannot write {path}: {error.strerror}")
        return False
    return True


def _fail(code: int, message: str) -> int:
    print(f"gpuopt verify: {message}", file=sys.stderr)
    return code

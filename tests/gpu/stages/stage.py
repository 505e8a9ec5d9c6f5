"""A stage: its steps one after the other, whatever each finds, within a time limit."""

import json
import shutil
import time
from datetime import datetime, timezone

from tests.gpu.stages import step as steps
from tests.gpu.stages.junit import results
from tests.gpu.stages.step import NOT_BEGUN, OK, SKIPPED, Outcome

LEAST = 10.0
"""Seconds that must be left to begin a step."""


class Report:
    """The lines of the summary, printed and kept.

    Attributes:
        folder: where everything is written.
        about: what the JSON says of the machine.
    """

    def __init__(self, folder, about):
        self.folder, self.about = folder, about
        folder.mkdir(parents=True, exist_ok=True)

    def say(self, text):
        print(text, flush=True)
        with (self.folder / "summary.txt").open("a", encoding="utf-8") as file:
            file.write(f"{text}\n")

    def write(self, stage, data):
        """Write the results of a stage so far."""
        text = json.dumps({"stage": stage, **self.about, **data}, indent=2)
        (self.folder / f"{stage}.json").write_text(f"{text}\n", encoding="utf-8")


def run_stage(name, plan, seconds, report, least=LEAST):
    """Run the steps of a stage and return whether all is well: nothing failed, something ran.

    Args:
        name: of the stage.
        plan: its steps, each asked for when those before it have run.
        seconds: for all of them.
        report: takes the lines and the results.
        least: seconds that must be left to begin a step.
    """
    folder = report.folder / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    end, done = time.monotonic() + seconds, []
    started = datetime.now(timezone.utc).isoformat(timespec="seconds")
    report.say(f"== {name}, {started}")
    for step in plan:
        outcome = _outcome(step, folder, end - time.monotonic(), report.about["missing"], least)
        done.append(_record(step, outcome))
        report.say(f"[{name}] {outcome.line()}")
        report.write(name, {"started": started, "well": _well(done), "steps": done})
    return _well(done)


def _outcome(step, folder, left, missing, least):
    if lacking := [name for name in step.needs if name in missing]:
        return Outcome(step.name, SKIPPED, f"needs {', '.join(lacking)}")
    if left < least:
        return Outcome(step.name, NOT_BEGUN, "the time of the stage is used up")
    return steps.run(step, folder, left)


def _record(step, outcome):
    found = {**vars(outcome), "command": list(step.command)}
    if step.junit is not None and outcome.code is not None:
        found["results"] = results(step.junit)
    return found


def _well(done):
    verdicts = {record["verdict"] for record in done}
    return verdicts <= {OK, SKIPPED} and OK in verdicts

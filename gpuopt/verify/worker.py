"""A process that runs checks: a request a line, and an answer a line, both in JSON."""

from __future__ import annotations

import json
import sys
import time
import traceback
import warnings
from typing import Any

from ..system.worker import private_output
from .checks import Check
from .devices import DEVICES
from .libraries import device_of
from .plan import plan
from .ways import run

LINES = 12
"""Lines at the end of a traceback that a report shows."""


def main() -> None:
    """Answer requests until the input ends, or a device is of no more use."""
    warnings.simplefilter("ignore")
    with private_output() as answers:
        for line in sys.stdin:
            answer = answer_to(json.loads(line))
            print(json.dumps(answer), file=answers, flush=True)
            if answer.get("broken"):
                return


def answer_to(request: dict[str, Any]) -> dict[str, Any]:
    """Return the answer: ``{"plan": ...}``, or of a check what differs, or its error."""
    if "plan" in request:
        return {"plan": plan().to_json()}
    check, start = Check(**request["check"]), time.perf_counter()
    answer: dict[str, Any] = {"differences": [], "error": "", "broken": False}
    try:
        answer["differences"] = run(check)
    except Exception:
        answer["error"] = "\n".join(traceback.format_exc().strip().splitlines()[-LINES:])
        answer["broken"] = _is_broken(check)
    return {**answer, "seconds": time.perf_counter() - start}


def _is_broken(check: Check) -> bool:
    """Whether the device fails from now on, as it does in a process after a hard CUDA error."""
    if device_of(check.backend) == "cpu":
        return False
    try:
        DEVICES[check.library].synchronize()
    except Exception:
        return True
    return False


if __name__ == "__main__":
    main()

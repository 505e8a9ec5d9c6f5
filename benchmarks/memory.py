"""The memory that a step allocates beyond parameters, gradients and states."""

from __future__ import annotations

import gc
from pathlib import Path

from .step import Step

_STATUS, _RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def extra_bytes(step: Step) -> int | None:
    """Return the rise of the peak resident memory during two steps.

    None if the operating system does not report it (Linux does, but not in every container).
    """
    gc.collect()
    try:
        _RESET.write_text("5")  # resets the peak
        before = resident_bytes()
        with step.context():
            step.run()
            step.run()
        return max(_status("VmHWM") - before, 0)
    except OSError:
        return None


def resident_bytes() -> int:
    """Return the resident memory of this process.

    Raises:
        OSError: the operating system does not report it.
    """
    return _status("VmRSS")


def _status(field: str) -> int:
    for line in _STATUS.read_text().splitlines():
        if line.startswith(field + ":"):
            return 1024 * int(line.split()[1])
    raise OSError(f"{_STATUS} has no {field}")

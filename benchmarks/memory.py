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
        reset_peak()
        before = resident_bytes()
        with step.context():
            step.run()
            step.run()
        return risen_bytes(before)
    except OSError:
        return None


def reset_peak() -> None:
    """Let the peak of the resident memory begin anew.

    Raises:
        OSError: the operating system does not do that.
    """
    _RESET.write_text("5")


def risen_bytes(before: int) -> int:
    """Return by how much the peak is above what was resident.

    Raises:
        OSError: the operating system does not report it.
    """
    return max(_status("VmHWM") - before, 0)


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

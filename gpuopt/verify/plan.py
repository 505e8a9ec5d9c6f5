"""What can be checked on this machine, and what cannot be seen."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from .. import doctor
from ..engine.dispatch import BACKENDS
from .checks import TARGETS, Check, checks_for
from .devices import DEVICES
from .libraries import LIBRARIES, device_of

ON_A_GPU = "streams, CUDA graphs, learning rates and skipped steps on the device, pinned memory"


@dataclass(frozen=True)
class Plan:
    """The checks of this machine.

    Attributes:
        machine: the report of `gpuopt doctor`.
        checks: what can be checked.
        unseen: what cannot, and why.
    """

    machine: dict[str, Any] = field(default_factory=dict)
    checks: list[Check] = field(default_factory=list)
    unseen: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON data."""
        checks = [check.to_json() for check in self.checks]
        return {"machine": self.machine, "checks": checks, "unseen": self.unseen}


def plan_from(data: dict[str, Any]) -> Plan:
    """Return the plan of JSON data."""
    return Plan(data["machine"], [Check(**one) for one in data["checks"]], data["unseen"])


def plan() -> Plan:
    """Return the checks of this machine; imports every library that it has."""
    made = Plan(doctor.report())
    problems = {name: backend.problem() for name, backend in BACKENDS.items() if name != "numpy"}
    made.unseen.extend(f"{name}: {problem}" for name, problem in problems.items() if problem)
    lacking = {name: library.problem() for name, library in LIBRARIES.items()}
    made.unseen.extend(
        f"{LIBRARIES[name].label}: {problem}" for name, problem in lacking.items() if problem
    )
    full = set()
    for backend, library in TARGETS:
        if problems[backend] or lacking[library]:
            continue
        devices = 0
        if device_of(backend) != "cpu":
            devices, problem = _count(library)
            if problem:
                made.unseen.append(f"{backend} with {LIBRARIES[library].label}: {problem}")
                continue
        made.checks.extend(checks_for(backend, library, backend not in full, devices))
        full.add(backend)
        if LIBRARIES[library].lacks("bfloat16"):
            label = LIBRARIES[library].label
            lacking_it = "ml_dtypes is not installed; to install it: pip install ml_dtypes"
            made.unseen.append(f"{backend}: bfloat16 in {label}: {lacking_it}")
    made.unseen.extend(_of_devices(made.checks))
    return made


def _count(library: str) -> tuple[int, str]:
    """Return the number of devices that a library finds, and why there is none."""
    try:
        count = DEVICES[library].count()
    except Exception as error:  # CuPy has errors of its own for each part of CUDA
        return 0, f"{type(error).__name__}: {error}"
    return count, "" if count else f"{library} finds no CUDA device"


def _of_devices(checks: list[Check]) -> list[str]:
    """Return what no check sees for want of devices."""
    kinds = {check.kind for check in checks}
    if "streams" not in kinds:
        return [f"{ON_A_GPU}: no backend for a GPU is usable"]
    return [] if "devices" in kinds else ["arrays on two devices: there is one"]

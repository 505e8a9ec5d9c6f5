"""The gate: what a kernel's code fails to meet, and what of it is exempt."""

from __future__ import annotations

from dataclasses import dataclass

from .cases import Case
from .checks import CHECKS
from .exemptions import reason_for
from .facts import Facts


@dataclass(frozen=True)
class Finding:
    """A failed check of a kernel; ``exempt`` is the reason if it is exempt."""

    case: Case
    check: str
    message: str
    exempt: str = ""


def findings(facts: Facts) -> list[Finding]:
    """Return the failed checks of a kernel."""
    return [
        Finding(facts.case, name, message, reason_for(name, message, facts.case))
        for name, check in CHECKS.items()
        for message in check(facts)
    ]

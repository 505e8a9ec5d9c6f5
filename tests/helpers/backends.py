"""The backends that can run here."""

import pytest

from gpuopt.engine.dispatch import BACKENDS

REFERENCE = "numpy"


def on_cpu(*, reference=True):
    """Return a parameter for each CPU backend; those that cannot run here are skipped."""
    found = []
    for name, backend in BACKENDS.items():
        if "cpu" in backend.devices and (reference or name != REFERENCE):
            problem = backend.problem()
            marks = [pytest.mark.skip(reason=f"backend {name}: {problem}")] if problem else []
            found.append(pytest.param(name, marks=marks))
    return found

"""The backends that can run here."""

import pytest

from gpuopt.engine.dispatch import BACKENDS

REFERENCE = "numpy"


def on_cpu(*, reference=True):
    """Every backend for CPU arrays as a parameter; one that cannot run here says why it skips."""
    found = []
    for name, backend in BACKENDS.items():
        if "cpu" in backend.devices and (reference or name != REFERENCE):
            problem = backend.problem()
            marks = [pytest.mark.skip(reason=f"backend {name}: {problem}")] if problem else []
            found.append(pytest.param(name, marks=marks))
    return found

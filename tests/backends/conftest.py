"""The backends that the tests of this folder run on."""

import pytest

import gpuopt
from gpuopt.dispatch import BACKENDS
from tests.helpers import simulated_cupy
from tests.helpers.stepping import REFERENCE

KNOWN = {**BACKENDS, "cupy": simulated_cupy.BACKEND}
"""The backends as the tests of this folder see them."""

# Those that run here; test_dispatch.py says once for each other one why it does not.
OTHERS = [
    name
    for name, backend in KNOWN.items()
    if name != REFERENCE and backend.problem() is None and backend.takes("cpu")
]


@pytest.fixture(params=OTHERS or [REFERENCE])
def backend(request):
    """A backend that must agree with the reference."""
    return request.param


@pytest.fixture(params=[REFERENCE, *OTHERS])
def any_backend(request):
    """The reference or another backend."""
    return request.param


@pytest.fixture(autouse=True)
def cuda_c_on_the_cpu(monkeypatch):
    """The CuPy backend runs its CUDA C here, compiled by g++."""
    monkeypatch.setitem(BACKENDS, "cupy", KNOWN["cupy"])


@pytest.fixture(autouse=True)
def nothing_forced(monkeypatch):
    """No test inherits a forced backend or a number of threads, or leaves one behind."""
    monkeypatch.delenv("GPUOPT_BACKEND", raising=False)
    monkeypatch.delenv("GPUOPT_NUM_THREADS", raising=False)
    with gpuopt.use_backend(None):
        yield

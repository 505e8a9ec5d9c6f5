"""The simulated machine, and what runs on it."""

import pytest

pytest.importorskip("torch")
pytest.importorskip("triton")

from .. import build


@pytest.fixture
def machine(request):
    """A machine; what went wrong on it fails the test."""
    if request.config.way != "sim":
        pytest.skip(f"the CUDA backends run otherwise here: {request.config.way}")
    if problem := build.problem():
        pytest.skip(problem)
    from .shipped import simulated

    with simulated() as made:
        yield made


LIBRARIES = {
    "torch": ("torch", "triton"),
    "cupy": ("cupy", "cupy"),
    "torch-by-cupy": ("torch", "cupy"),
    "cupy-by-triton": ("cupy", "triton"),
}


@pytest.fixture(params=LIBRARIES)
def library(request, machine):
    """The arrays of a library, updated by a backend."""
    name, backend = LIBRARIES[request.param]
    if "cupy" in (name, backend):
        pytest.importorskip("cupy")
        pytest.importorskip("cuda.bindings")
    from .libraries import by

    with by(name, backend) as found:
        yield found

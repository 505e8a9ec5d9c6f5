"""The backends that the tests of this folder run on: see tests/helpers/targets.py."""

import pytest

from gpuopt.engine.dispatch import BACKENDS
from tests.helpers.stepping import REFERENCE
from tests.helpers.targets import ARCHS, Target, stand_ins, targets


def pytest_generate_tests(metafunc):
    """Run a test on all that it asks for; a fixture of a module's own goes before."""
    way = metafunc.config.way
    every = metafunc.definition.get_closest_marker("every_arch")
    for fixture in {"backend", "any_backend", "device"} & set(metafunc.fixturenames):
        if hasattr(metafunc.module, fixture):
            continue
        found = targets(way, ARCHS if every else (90,))
        if fixture == "device":
            found = [t for t in found if t.how]
        elif fixture == "any_backend" or not found:
            found = [Target(REFERENCE), *found]
        marked = [pytest.param(t, marks=GPU) if t.how == "gpu" else t for t in found]
        metafunc.parametrize(fixture, marked, indirect=True, ids=str)


GPU = pytest.mark.gpu


@pytest.fixture
def backend(request, monkeypatch):
    """A backend that must agree with the reference."""
    with request.param.in_force(monkeypatch):
        yield request.param.name


@pytest.fixture
def any_backend(request, monkeypatch):
    """The reference or another backend."""
    with request.param.in_force(monkeypatch):
        yield request.param.name


@pytest.fixture
def device(request, monkeypatch):
    """A backend for a device."""
    with request.param.in_force(monkeypatch):
        yield request.param.name


@pytest.fixture(autouse=True)
def simulated(request, monkeypatch):
    """The CUDA backends run here, without a GPU."""
    for name, backend in stand_ins(request.config.way).items():
        monkeypatch.setitem(BACKENDS, name, backend)


@pytest.fixture(autouse=True)
def no_variables(monkeypatch):
    """No test inherits a backend or a number of threads from the environment."""
    monkeypatch.delenv("GPUOPT_BACKEND", raising=False)
    monkeypatch.delenv("GPUOPT_NUM_THREADS", raising=False)

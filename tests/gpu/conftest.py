"""Tests that need a CUDA device: skipped without one, failed under GPUOPT_REQUIRE_GPU=1."""

import os
from importlib import import_module
from pathlib import Path

import pytest

from tests.gpu.device import missing


def pytest_collection_modifyitems(items):
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.gpu)


@pytest.fixture(autouse=True)
def device():
    """The name of the first CUDA device."""
    problem = missing()
    if problem is None:
        return "cuda:0"
    leave(problem)


def leave(problem):
    """Skip, or fail where all that these tests need must be there."""
    if os.environ.get("GPUOPT_REQUIRE_GPU") == "1":
        pytest.fail(f"GPUOPT_REQUIRE_GPU=1, but {problem}")
    pytest.skip(problem)


@pytest.fixture
def torch(device):
    return required("torch")


@pytest.fixture
def cupy(device):
    return required("cupy")


@pytest.fixture
def ours(torch):
    return import_module("gpuopt.torch")


def required(name):
    """Return a library that finds the device."""
    try:
        library = import_module(name)
    except ImportError:
        leave(f"{name} is not installed")
    if not library.cuda.is_available():
        leave(f"{name} finds no CUDA device")
    return library

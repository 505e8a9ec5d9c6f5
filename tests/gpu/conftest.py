"""Tests that need a CUDA device: skipped without one, failed under GPUOPT_REQUIRE_GPU=1."""

import os

import pytest


def _missing():
    try:
        import torch
    except ImportError:
        return "torch is not installed"
    return None if torch.cuda.is_available() else "there is no CUDA device"


def pytest_collection_modifyitems(items):
    for item in items:
        if "/gpu/" in item.path.as_posix():
            item.add_marker(pytest.mark.gpu)


@pytest.fixture(autouse=True)
def device():
    """The name of the first CUDA device."""
    missing = _missing()
    if missing is None:
        return "cuda:0"
    if os.environ.get("GPUOPT_REQUIRE_GPU") == "1":
        pytest.fail(f"GPUOPT_REQUIRE_GPU=1, but {missing}")
    pytest.skip(missing)

"""The maths is tested on the reference; a test that wants another backend forces it."""

import pytest

import gpuopt


@pytest.fixture(autouse=True)
def reference():
    """The rules run as NumPy runs them."""
    with gpuopt.use_backend("numpy"):
        yield

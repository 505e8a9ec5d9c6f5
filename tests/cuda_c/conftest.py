"""The CUDA C runs here through g++."""

import pytest

from tests.helpers import cuda_on_cpu


@pytest.fixture(autouse=True, scope="session")
def compiler():
    """Skip where the CUDA C cannot be compiled for the CPU."""
    if problem := cuda_on_cpu.problem():
        pytest.skip(problem)

"""Trials of faults: short ones always, longer ones with GPUOPT_LONG_FAULTS=1."""

import os

import pytest


@pytest.fixture
def seconds():
    """How long a trial goes on."""
    return 60 if os.environ.get("GPUOPT_LONG_FAULTS") == "1" else 0.5

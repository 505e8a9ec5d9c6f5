"""What holds for all tests."""

import os

import pytest
from hypothesis import settings

pytest.register_assert_rewrite("tests.helpers", "tests.tolerances")

# No deadline: a first call may compile a kernel. In CI the same examples every time.
settings.register_profile("gpuopt", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("gpuopt")


def pytest_addoption(parser):
    default = "interpret" if os.environ.get("TRITON_INTERPRET") == "1" else "sim"
    how = (
        "how the CUDA backends run: interpret, sim or gpu, or several; see tests/helpers/targets.py"
    )
    parser.addoption("--cuda", default=default, metavar="HOW", help=how)


def pytest_configure(config):
    from tests.helpers.targets import prepare, ways_of

    try:
        config.ways = ways_of(config.getoption("--cuda"))
    except ValueError as error:
        raise pytest.UsageError(str(error)) from None
    prepare(config.ways)

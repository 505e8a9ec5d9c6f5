"""What holds for all tests."""

import os

import pytest
from hypothesis import settings

pytest.register_assert_rewrite("tests.helpers", "tests.tolerances")

# No deadline: a first call may compile a kernel. In CI the same examples every time.
settings.register_profile("gpuopt", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("gpuopt")

import pytest

import gpuopt


@pytest.fixture(params=["numpy", "llvm"])
def backend(request):
    """Each backend of the CPU in turn."""
    if request.param == "llvm":
        pytest.importorskip("llvmlite")
    with gpuopt.use_backend(request.param):
        yield request.param


@pytest.fixture
def numpy_backend():
    """Where every backend runs the same lines: the one that has nothing to compile."""
    with gpuopt.use_backend("numpy"):
        yield

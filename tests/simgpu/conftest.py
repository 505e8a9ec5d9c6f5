"""The compilers whose kernels run on the simulated device."""

import pytest

COMPILERS = {"triton": "triton", "cupy": "cuda.bindings"}


@pytest.fixture(params=COMPILERS)
def backend(request):
    """A backend whose compiler is installed."""
    pytest.importorskip(COMPILERS[request.param])
    if request.param == "triton" and request.config.way == "interpret":
        pytest.skip("Triton is interpreted here")
    return request.param
